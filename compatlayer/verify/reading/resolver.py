"""Where a path leads inside a prefix. Absolute links are read as they will be where the prefix lives, never from this host."""

from __future__ import annotations

import enum
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from compatlayer.tree.beneath import ROOT, Beneath

MAX_LINKS = 40  # what the kernel follows on one path (path_resolution(7))
# A CernVM-FS variant symlink: https://cvmfs.readthedocs.io/en/stable/cpt-repo.html#variant-symlinks
VARIANT = "$("


class Where(enum.Enum):
    """How following a path ends."""

    INSIDE = "inside"  # at something that is there
    MISSING = "missing"  # at a name that is not there
    OUTSIDE = "outside"  # at a path of the host, which is not looked at
    VARIANT = "variant"  # at a link whose target each client decides
    LOOP = "loop"


class Leads(NamedTuple):
    """The end of a path: a tree path (``INSIDE``, ``MISSING``, ``LOOP``), an absolute one (``OUTSIDE``), or a link's target
    as written (``VARIANT``).
    """

    where: Where
    path: str
    status: os.stat_result | None = None


@dataclass(slots=True)
class _Way:
    """How far one path was followed: the parts to come, the last first; the real directory so far; links met."""

    pending: list[str]
    here: list[str] = field(default_factory=list)
    links: int = 0


class Resolver:
    """Follows tree paths below a root; holds descriptors, so use it in a ``with`` block or until the process ends."""

    def __init__(self, tree: Path, prefix: str) -> None:
        self._below = Beneath(tree)
        self._prefix = prefix.rstrip("/")

    def __enter__(self) -> Resolver:
        return self

    def __exit__(self, *ending: object) -> None:
        self._below.__exit__(None, None, None)

    def follow(self, path: str) -> Leads:
        """Follow every link on the way to ``path``, and at its end, as the kernel would in a prefix at home."""
        way = _Way(_reversed(path))
        while way.pending:
            part = way.pending.pop()
            if part == "..":
                if not way.here and (outside := self._climb(way)) is not None:
                    return Leads(Where.OUTSIDE, outside)
                del way.here[-1:]
            elif part not in ("", ".") and (end := self._step(way, part)) is not None:
                return end
        found = "/".join(way.here) or ROOT
        return Leads(Where.INSIDE, found, self._lstat(found))

    def read(self, path: str, limit_bytes: int) -> bytes | None:
        """The content of the file that ``path`` leads to; None where that is no file of ours, or a longer one."""
        end = self.follow(path)
        if end.where is not Where.INSIDE or end.status is None or not stat.S_ISREG(end.status.st_mode):
            return None
        try:
            directory, name = self._below.parent(end.path)
            file = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        except OSError:
            return None
        with open(file, "rb") as content:  # noqa: PTH123 - it is a descriptor
            try:
                found = content.read(limit_bytes + 1)
            except OSError:
                return None
        return found if len(found) <= limit_bytes else None

    def _step(self, way: _Way, part: str) -> Leads | None:
        """Go on to ``part``; where that ends, or None when the way goes on."""
        path = "/".join([*way.here, part])
        status = self._lstat(path)
        if status is None or (way.pending and not stat.S_ISDIR(status.st_mode) and not stat.S_ISLNK(status.st_mode)):
            return Leads(Where.MISSING, path)
        if not stat.S_ISLNK(status.st_mode):
            way.here.append(part)
            return None
        way.links += 1
        if way.links > MAX_LINKS:
            return Leads(Where.LOOP, path)
        target = self._readlink(path)
        if VARIANT in target:
            return Leads(Where.VARIANT, target)
        if target.startswith("/"):
            inside = within(target, self._prefix)
            if inside is None:
                return Leads(Where.OUTSIDE, os.path.normpath("/".join([target, *reversed(way.pending)])))
            way.here, target = [], inside
        way.pending += _reversed(target)
        return None

    def _climb(self, way: _Way) -> str | None:
        """Handle ``..`` at the root: the path on the host where that ends, or None when it comes back in."""
        end = os.path.normpath("/".join([self._prefix, "..", *reversed(way.pending)]))
        inside = within(end, self._prefix)
        if inside is None:
            return end
        way.pending = _reversed(inside)
        return None

    def _lstat(self, path: str) -> os.stat_result | None:
        try:
            return self._below.lstat(path)
        except OSError:
            return None  # a directory nobody may enter; the walk reports it

    def _readlink(self, path: str) -> str:
        try:
            directory, name = self._below.parent(path)
            return os.readlink(name, dir_fd=directory)
        except OSError:
            return path.rpartition("/")[2]  # gone meanwhile: a link to itself is as broken


def _reversed(path: str) -> list[str]:
    return path.split("/")[::-1]


def within(path: str, prefix: str) -> str | None:
    """An absolute ``path`` relative to ``prefix`` (empty for the prefix itself), or None when it lies elsewhere.

    What follows the prefix stays as written, ``..`` included: with links on the way, only following tells where that leads.
    """
    while "//" in path:
        path = path.replace("//", "/")
    path = path.replace("/./", "/")
    if path in (prefix, f"{prefix}/"):
        return ""
    return path[len(prefix) + 1 :] if path.startswith(f"{prefix}/") else None
