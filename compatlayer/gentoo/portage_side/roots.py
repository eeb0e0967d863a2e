"""Configuration roots: load Portage's view of one, and say which Portage this is."""

from __future__ import annotations

import atexit
import gc
import os
import platform
import secrets
import shutil
import sys
import tempfile
from typing import Any, Dict

import portage
import portage.const
import portage.data
import portage.output

from .refusal import Refused

# Portage keeps settings of "the" system in lazy globals; as its own programs do, say that we bring our own.
portage._internal_caller = True
portage.output.havecolor = 0
# Whoever runs this is Portage's user, also where /etc/passwd has no name for them, as in some containers; Portage would take
# the group 0 then, and fail to give files to it.
portage.data.portage_uid, portage.data.portage_gid = os.getuid(), os.getgid()
portage.data._initialized_globals.update(("portage_uid", "portage_gid"))
# Where this Portage itself lives, before any root is loaded.
OWN_EPREFIX = portage.const.EPREFIX
# Where Portage sources an ebuild whose metadata nobody has cached; it makes the directory when it comes to that. Its default
# below /var/tmp belongs to whoever has built there first.
_TEMPORARY = os.path.join(tempfile.gettempdir(), f"compatlayer-portage-{os.getpid()}-{secrets.token_hex(8)}")
atexit.register(shutil.rmtree, _TEMPORARY, ignore_errors=True)


def hello(request: Dict[str, Any]) -> Dict[str, Any]:
    """Versions, and where this Portage keeps the files that every root needs a copy of."""
    directory = portage.const.GLOBAL_CONFIG_PATH.lstrip("/")
    return {
        "python": platform.python_version(),
        "portage": portage.VERSION,
        "eprefix": OWN_EPREFIX,
        "global_config": os.path.join(OWN_EPREFIX or "/", directory),
        "pid": os.getpid(),
        "executable": sys.executable,
    }


def load(config_root: str) -> Any:
    """Portage's ``emerge_config`` of one root, read anew each time: files may have changed since the last request."""
    from _emerge.actions import load_emerge_config

    root = os.path.normpath(config_root)
    if not os.path.isdir(os.path.join(root, "etc/portage")):
        raise Refused([{"kind": "configuration", "detail": f"{root} has no etc/portage"}])
    release()
    # Everything that Portage derives from the EPREFIX of its installation must lead to this root, else it adds a second one.
    portage.const.EPREFIX = root
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
        "NOCOLOR": "true",
        "PORTAGE_CONFIGROOT": root,
        "ROOT": "/",
        "EPREFIX": root,
        "PORTAGE_TMPDIR": _TEMPORARY,
    }
    for name in ("PORTAGE_USERNAME", "PORTAGE_GRPNAME", "HOME"):
        if name in os.environ:
            environment[name] = os.environ[name]
    try:
        config = load_emerge_config(env=environment)
    except (portage.exception.PortageException, KeyError) as error:
        raise Refused([{"kind": "configuration", "detail": f"{type(error).__name__}: {error}"}]) from error
    # A profile that cannot be parsed is only a message to Portage, which goes on without any.
    own = os.path.join(root, "etc/portage/profile")
    if not [profile for profile in config.target_config.settings.profiles if os.path.normpath(profile) != own]:
        said = [line for line in getattr(sys.stderr, "text", "").splitlines() if "ParseError" in line]
        detail = said[-1].replace("!!! ParseError: ", "") if said else f"{root}/etc/portage/make.profile is not a profile"
        raise Refused([{"kind": "configuration", "detail": detail}])
    return config


def release() -> None:
    """Free what the last root left behind: Portage's objects refer to each other, so it takes a collection."""
    gc.collect()
