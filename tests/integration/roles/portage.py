"""A prefix on the bench that real Portage can build tiny packages in."""

from __future__ import annotations

import grp
import os
import pwd
import sys
from pathlib import Path

from tests.ebuild_repository import TinyRepository, write_root
from tests.integration.roles.bench import Bench

FEATURES = (
    "-sandbox -usersandbox -userpriv -userfetch -ipc-sandbox -mount-sandbox -network-sandbox -pid-sandbox -news -merge-sync"
)


def program(name: str) -> list[str]:
    """One of Portage's programs, as an argument list."""
    return [sys.executable, str(Path(sys.prefix) / "bin" / name)]


def prepare(bench: Bench) -> TinyRepository:
    """Make the bench's prefix one that Portage knows, and return its only repository."""
    repository = TinyRepository(bench.directory / "repository")
    write_root(bench.prefix, [repository])
    return repository


def environment(bench: Bench) -> dict[str, str]:
    """What Portage needs to work on the bench's prefix as whoever runs the tests."""
    return {
        "PORTAGE_OVERRIDE_EPREFIX": str(bench.prefix),
        "PATH": f"{bench.directory}/tools:/usr/sbin:/usr/bin:/sbin:/bin",
        "PORTAGE_USERNAME": pwd.getpwuid(os.getuid()).pw_name,
        "PORTAGE_GRPNAME": grp.getgrgid(os.getgid()).gr_name,
        "PORTAGE_INST_UID": str(os.getuid()),
        "PORTAGE_INST_GID": str(os.getgid()),
        "FEATURES": FEATURES,
        "LC_ALL": "C.UTF-8",
    }
