"""The change list that leads from one manifest to another: no more than what is really different."""

from __future__ import annotations

from compatlayer.errors import StageError
from compatlayer.tree.beneath import ROOT, order, parts_of
from compatlayer.tree.changes import ChangeList, Put
from compatlayer.tree.entries import Entry, Kind
from compatlayer.tree.manifest import Manifest


def between(before: Manifest | None, after: Manifest) -> ChangeList:
    """What makes the tree of ``before`` (None: nothing at all) that of ``after``. Equal subtrees cost nothing.

    Of a deleted directory only the topmost path is named. A path that turns from a directory into anything else, or
    the other way, is deleted and put.
    """
    if before is None:
        return ChangeList(tuple(_put(entry) for entry in after), (), (ROOT,))
    puts: dict[str, Put] = {}
    deletes: list[str] = []
    for old, new in before.differences(after):
        entry = new or old
        assert entry is not None, "a difference has two sides, or one"
        gone = bool(deletes) and _is_below(entry.path, deletes[-1])
        if old is not None and not gone and (new is None or (old.kind is Kind.DIRECTORY) != (new.kind is Kind.DIRECTORY)):
            deletes.append(old.path)
        if new is not None:
            puts[new.path] = _put(new)
            _put_above(new.path, puts, after)
    return ChangeList(tuple(sorted(puts.values(), key=lambda put: order(put.path))), tuple(deletes), ())


def _put(entry: Entry) -> Put:
    return Put(entry.path, entry.kind, entry.mode, entry.size_bytes)


def _put_above(path: str, puts: dict[str, Put], after: Manifest) -> None:
    parts = parts_of(path)
    for length in range(len(parts)):
        above = "/".join(parts[:length]) or ROOT
        if above not in puts:
            entry = after.get(above)
            if entry is None:
                raise StageError(f"{path} has no directory above it")
            puts[above] = _put(entry)


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(f"{directory}/")
