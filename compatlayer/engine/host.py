"""Looking at the host: who we are, how many processors there are, and which versions of which programs it has."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
from collections.abc import Mapping, Sequence

from compatlayer import process
from compatlayer.engine.base import Host
from compatlayer.errors import HostError

VERSION = re.compile(r"\d+(?:\.\d+)+")

# How a program tells its version, where `--version` is not the way.
ASK: Mapping[str, tuple[str, ...]] = {
    "gcc": ("gcc", "-dumpfullversion"),
    "g++": ("g++", "-dumpfullversion"),
    "bzip2": ("bzip2", "--help"),
    "perl": ("perl", "-e", "printf '%vd', $^V"),
}


def look(needed: Sequence[str], useful: Sequence[str]) -> Host:
    """Describe this machine. ``needed`` programs must be there (else ``HostError``, naming all that are not); ``useful`` may be."""
    missing = [name for name in needed if shutil.which(name, path=process.SYSTEM_PATH) is None]
    if missing:
        raise missing_programs(missing)
    versions = {}
    for name in (*needed, *useful):
        if shutil.which(name, path=process.SYSTEM_PATH):
            versions[name] = _version(name)
    uid, gid = os.getuid(), os.getgid()
    return Host(
        user=_user_name(uid),
        group=_group_name(gid),
        uid=uid,
        gid=gid,
        cpu_count=len(os.sched_getaffinity(0)),
        versions=versions,
    )


def missing_programs(names: Sequence[str]) -> HostError:
    """The error for programs a build needs, with one command that installs all of them."""
    apt = " ".join(sorted({process.PROVIDERS.get(name, (name, name))[0] for name in names}))
    dnf = " ".join(sorted({process.PROVIDERS.get(name, (name, name))[1] for name in names}))
    return HostError(
        f"this machine lacks programs that building needs: {', '.join(names)}",
        hint=f"apt-get install {apt}\nor, on Fedora: dnf install {dnf}",
    )


def _version(name: str) -> str:
    said = process.run(ASK.get(name, (name, "--version")), check=False, timeout_s=20)
    found = VERSION.search(said.stdout + said.stderr)
    return found.group() if found else "0"


def _user_name(uid: int) -> str:
    """A user's name; its number where it has none, which Portage takes as well."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
