"""Where a prefix lives, by its own word: each package's EPREFIX in ``var/db/pkg``."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from compatlayer.gentoo.packages import Inventory
from compatlayer.gentoo.portage_configuration import PACKAGE_DATABASE
from compatlayer.tree.beneath import Beneath

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_BYTES = 4096  # PATH_MAX


def home_of(tree: Path, inventory: Inventory) -> str:
    """The EPREFIX that the first package with a readable one records; ``tree``'s own path where none does.

    Portage leaves the file out for packages of a system whose prefix is ``/``.
    """
    try:
        with Beneath(tree) as below:
            for package in inventory:
                found = _eprefix(below, f"{PACKAGE_DATABASE}/{package.id.cpv}/EPREFIX")
                if found:
                    return found
    except OSError:
        pass
    return str(tree.absolute())


def _eprefix(below: Beneath, path: str) -> str | None:
    try:
        directory, name = below.parent(path)
        file = os.open(name, _OPEN, dir_fd=directory)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        text = os.fsdecode(os.read(file, _MAX_BYTES)).strip().rstrip("/")
    finally:
        os.close(file)
    is_path = text.startswith("/") and "\n" not in text and "\0" not in text
    return text if is_path and not any(part in ("", ".", "..") for part in text[1:].split("/")) else None
