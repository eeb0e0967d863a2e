"""The change list: what a stage changes, read from its upper directory alone.

It is applied in this order: ``deletes`` take away a path with all below it; ``opaque`` directories lose what was in
them; ``puts`` set a path to what the source (the upper directory) holds, where a directory keeps what is in it and
anything else replaces what was there.

For a plain stage everything is a put and the root is opaque: the stage is the whole tree. For an overlay stage the
marks are those of the kernel's overlayfs (Documentation/filesystems/overlayfs.rst): a whiteout is a 0/0 character
device, or an empty file with the attribute ``overlay.whiteout``; an opaque directory has ``overlay.opaque`` = ``y``.
Attributes count in both of their name spaces, ``user.`` (mounted with ``userxattr``, as our views are) and
``trusted.``.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from compatlayer.errors import StageError
from compatlayer.tree.beneath import ROOT, join, order, parts_of
from compatlayer.tree.entries import Kind, kind_of


@dataclass(frozen=True, slots=True)
class Put:
    """A path that is set to what the source holds; its content is read when it is applied."""

    path: str
    kind: Kind
    mode: int
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ChangeList:
    """What changes, each part in canonical order; paths are tree paths. Raises ``StageError`` when made of anything
    else.
    """

    puts: tuple[Put, ...] = ()
    deletes: tuple[str, ...] = ()
    opaque: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for paths in (tuple(put.path for put in self.puts), self.deletes, self.opaque):
            keys = [order(path) for path in paths]
            if any(after <= before for before, after in itertools.pairwise(keys)):
                raise StageError("a change list is not in canonical order, or names a path twice")
        if ROOT in self.deletes:
            raise StageError("a change list cannot delete the root of a tree")
        directories = {put.path for put in self.puts if put.kind is Kind.DIRECTORY}
        if stray := set(self.opaque) - directories:
            raise StageError(f"{min(stray)} is opaque, and yet no directory is put there")
        for put in self.puts:
            above = "/".join(parts_of(put.path)[:-1]) or ROOT
            if above not in directories:
                raise StageError(f"{put.path} is put, and yet not the directory above it")

    def __len__(self) -> int:
        """The number of changes; a directory that is put for the sake of what is in it counts as well."""
        return len(self.puts) + len(self.deletes)

    @property
    def size_bytes(self) -> int:
        """The size of all files that are put."""
        return sum(put.size_bytes for put in self.puts)


def read_plain(upper: Path) -> ChangeList:
    """The change list of a stage that stands on nothing: all of ``upper``. Raises ``StageError`` for what a layer
    cannot hold.
    """
    puts = tuple(Put(*item.described()) for item in _walk(upper))
    return ChangeList(puts, (), (ROOT,))


def read_overlay(upper: Path) -> ChangeList:
    """The change list of an overlay's ``upper`` directory; costs what the change costs, the lower tree is not looked
    at.

    Raises ``StageError`` for what a layer cannot hold, and for an upper directory that refers to its lower one
    (redirected directories, metadata-only copies): our mounts make neither, and it could not be published without
    the other.
    """
    puts, deletes, opaque = [], [], []
    for item in _walk(upper):
        if _is_whiteout(item):
            deletes.append(item.path)
            continue
        put = Put(*item.described())
        marks = _marks(item)
        if unusable := marks.keys() & {"redirect", "metacopy"}:
            raise StageError(
                f"{item.path} in {upper} only refers to the tree below",
                cause=f"overlayfs attribute {min(unusable)}: the overlay was not mounted by compatlayer",
                hint="mount it with redirect_dir=off,metacopy=off, and make the change again",
            )
        puts.append(put)
        if put.kind is Kind.DIRECTORY and marks.get("opaque") == b"y":
            opaque.append(item.path)
    return ChangeList(tuple(puts), tuple(deletes), tuple(opaque))


@dataclass(frozen=True, slots=True)
class _Item:
    """Something found in an upper directory: its tree path, where it is, and its status."""

    path: str
    where: str
    status: os.stat_result

    def described(self) -> tuple[str, Kind, int, int]:
        kind = kind_of(self.status.st_mode, self.path)
        mode = 0 if kind is Kind.SYMLINK else stat.S_IMODE(self.status.st_mode)
        return self.path, kind, mode, self.status.st_size if kind is Kind.FILE else 0


def _walk(upper: Path) -> Iterator[_Item]:
    """All of a directory in canonical order, the root first. Follows no link; nobody may write meanwhile (the stage
    is locked).
    """
    top = os.fspath(upper)
    stack = [iter([_Item(ROOT, top, os.lstat(top))])]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
            continue
        yield item
        if stat.S_ISDIR(item.status.st_mode):
            try:
                with os.scandir(item.where) as found:
                    entries = sorted(found, key=_name_bytes)
            except OSError as error:
                raise StageError(f"{item.where} cannot be read", cause=error.strerror) from error
            stack.append(iter([_Item(join(item.path, e.name), e.path, e.stat(follow_symlinks=False)) for e in entries]))


def _name_bytes(entry: os.DirEntry[str]) -> bytes:
    return os.fsencode(entry.name)


def _is_whiteout(item: _Item) -> bool:
    if stat.S_ISCHR(item.status.st_mode):
        return item.status.st_rdev == os.makedev(0, 0)
    return stat.S_ISREG(item.status.st_mode) and item.status.st_size == 0 and "whiteout" in _marks(item)


def _marks(item: _Item) -> dict[str, bytes]:
    """Overlayfs's own attributes of a file or directory, without their prefix."""
    if stat.S_ISLNK(item.status.st_mode):
        return {}
    marks = {}
    for name in os.listxattr(item.where, follow_symlinks=False):
        space, _, mark = name.partition(".overlay.")
        if mark and space in ("user", "trusted") and "." not in mark:
            marks[mark] = os.getxattr(item.where, name, follow_symlinks=False)
    return marks
