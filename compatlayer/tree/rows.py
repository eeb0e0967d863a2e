"""What a change list means to a person: which paths come, go, or are different. The text is made elsewhere."""

from __future__ import annotations

import enum
import stat
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from compatlayer.tree.beneath import ROOT, Beneath, join, names_in, order
from compatlayer.tree.changes import ChangeList, Put
from compatlayer.tree.entries import Kind, entry_at
from compatlayer.tree.manifest import Manifest


class Change(enum.StrEnum):
    """What happens to a path. ``REPLACED``: it becomes another kind of thing, or a directory with none of its former
    contents.
    """

    ADDED = "added"
    CHANGED = "changed"
    REPLACED = "replaced"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Row:
    """One path that is different afterwards. ``kind`` and ``size_bytes`` are of what is there afterwards (of a
    deleted path: before).
    """

    change: Change
    path: str
    kind: Kind
    size_bytes: int
    size_before_bytes: int


def rows(changes: ChangeList, source: Path, lower: Path | None) -> tuple[Row, ...]:
    """The differences that ``changes`` (contents in ``source``) make to the tree ``lower`` (None: an empty one), in
    canonical order.

    A put that changes nothing, such as a directory that was copied up for what is in it, gives no row. Of a deleted
    directory only the topmost path is named. Costs what the change costs: files that were put are compared with
    those they replace.
    """
    put = {put.path for put in changes.puts}
    with Beneath(source) as new, Beneath(lower) if lower is not None else nullcontext() as old:
        found = [row for put_ in changes.puts if (row := _put_row(put_, put_.path in changes.opaque, new, old))]
        if old is not None:
            gone = [*changes.deletes, *_hidden(changes, put, old)]
            found += [row for path in gone if (row := _deleted_row(path, old))]
    return tuple(sorted(found, key=lambda row: order(row.path)))


def _put_row(put: Put, is_opaque: bool, new: Beneath, old: Beneath | None) -> Row | None:
    status = old.lstat(put.path) if old is not None else None
    if old is None or status is None:
        return None if put.path == ROOT else Row(Change.ADDED, put.path, put.kind, put.size_bytes, 0)
    size_before_bytes = status.st_size if stat.S_ISREG(status.st_mode) else 0
    before = _kind(status.st_mode)
    if before is not put.kind or (is_opaque and put.path != ROOT):
        change = Change.REPLACED
    elif put.size_bytes != size_before_bytes or _differs(put, new, old):
        change = Change.CHANGED
    else:
        return None
    return Row(change, put.path, put.kind, put.size_bytes, size_before_bytes)


def _differs(put: Put, new: Beneath, old: Beneath) -> bool:
    return entry_at(new, put.path) != entry_at(old, put.path)


def _hidden(changes: ChangeList, put: set[str], old: Beneath) -> Iterator[str]:
    """What was in opaque directories of the lower tree and has no successor: the topmost paths."""
    below = {path for path in put if path != ROOT}
    for opaque in changes.opaque:
        waiting = [opaque]
        while waiting:
            directory = waiting.pop()
            for name in _names(directory, old):
                path = join(directory, name)
                if path not in below:
                    yield path
                elif path not in changes.opaque:
                    waiting.append(path)


def _names(directory: str, tree: Beneath) -> list[str]:
    status = tree.lstat(directory)
    if status is None or not stat.S_ISDIR(status.st_mode):
        return []
    return names_in(tree.directory(directory))


def _deleted_row(path: str, old: Beneath) -> Row | None:
    status = old.lstat(path)
    kind = _kind(status.st_mode) if status is not None else None
    if status is None or kind is None:
        return None
    size_bytes = status.st_size if kind is Kind.FILE else 0
    return Row(Change.DELETED, path, kind, size_bytes, size_bytes)


def _kind(mode: int) -> Kind | None:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.DIRECTORY
    return Kind.SYMLINK if stat.S_ISLNK(mode) else None


def rows_between(before: Manifest, after: Manifest) -> tuple[Row, ...]:
    """The differences of two manifests, in canonical order. Of a deleted directory only the topmost path is named."""
    found: list[Row] = []
    for old, new in before.differences(after):
        if old is not None and new is not None:
            if old.kind is Kind.DIRECTORY and new.kind is Kind.DIRECTORY and old.record() == new.record():
                continue
            change = Change.CHANGED if old.kind is new.kind else Change.REPLACED
            found.append(Row(change, new.path, new.kind, new.size_bytes, old.size_bytes))
        elif new is not None:
            found.append(Row(Change.ADDED, new.path, new.kind, new.size_bytes, 0))
        elif old is not None and not (
            found and found[-1].change in (Change.DELETED, Change.REPLACED) and old.path.startswith(f"{found[-1].path}/")
        ):
            found.append(Row(Change.DELETED, old.path, old.kind, old.size_bytes, old.size_bytes))
    return tuple(found)
