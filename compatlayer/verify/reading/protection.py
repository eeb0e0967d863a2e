"""Which paths are a person's to change: CONFIG_PROTECT and CONFIG_PROTECT_MASK (make.conf(5)), as env-update left them."""

from __future__ import annotations

import os
import re
import shlex
import stat
from pathlib import Path

from compatlayer.tree.beneath import Beneath
from compatlayer.verify.reading.expected import PROTECTED, UNPROTECTED
from compatlayer.verify.reading.resolver import within

_PROFILE_ENV = "etc/profile.env"
_MAX_BYTES = 1 << 20
_VARIABLE = re.compile(r"^export (CONFIG_PROTECT(?:_MASK)?)=(.*)$", re.MULTILINE)


class Protection:
    """Answers whether a tree path is protected: the longest directory that names it decides, as in Portage."""

    def __init__(self, protected: tuple[str, ...], masked: tuple[str, ...]) -> None:
        self._protected = protected
        self._masked = masked

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, str):
            return False
        return _longest(path, self._protected) > _longest(path, self._masked)


def protection_of(tree: Path, prefix: str) -> Protection:
    """What the prefix at ``tree`` protects; the defaults of Portage where its own word cannot be read."""
    values = dict(_VARIABLE.findall(_profile_env(tree)))
    protected = (*PROTECTED, *_paths(values.get("CONFIG_PROTECT", ""), prefix))
    masked = (*UNPROTECTED, *_paths(values.get("CONFIG_PROTECT_MASK", ""), prefix))
    return Protection(protected, masked)


def _longest(path: str, directories: tuple[str, ...]) -> int:
    return max((len(one) for one in directories if path == one or path.startswith(f"{one}/")), default=-1)


def _paths(value: str, prefix: str) -> list[str]:
    """The words of a value, relative to the prefix: Portage takes them with it and without."""
    try:
        words = " ".join(shlex.split(value)).split()
    except ValueError:
        return []  # a damaged file protects nothing more than the defaults do
    found = [within(word, prefix) if within(word, prefix) is not None else word.strip("/") for word in words]
    return [path.strip("/") for path in found if path and path.strip("/")]


def _profile_env(tree: Path) -> str:
    try:
        with Beneath(tree) as below:
            directory, name = below.parent(_PROFILE_ENV)
            file = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return ""
        return os.read(file, _MAX_BYTES).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
    finally:
        os.close(file)
