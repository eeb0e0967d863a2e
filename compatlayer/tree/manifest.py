r"""The manifest of a tree: all its entries, under one Merkle root.

Two trees are equal exactly when their roots are. The root can be computed again by anybody, from the format alone:

- the *record* of an entry is the JSON object of ``Entry.record`` in ``canonical_json``'s form
- the digest of a file or link is the SHA-256 of ``compatlayer-tree-1``, a line feed, its record, and a line feed
- the digest of a directory goes on with a line for each child, ``["name","digest"]`` in the same form of JSON (digests
  are hexadecimal), in the order of the names' bytes. The root of a tree is the digest of its topmost directory.

On disk a manifest is JSON Lines: a header ``{"entries":N,"format":"compatlayer-manifest-1","root":"…"}``, then for each
entry, in canonical order, ``["path",record]``. Every byte counts: a file that was altered in any place does not load.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from compatlayer.errors import StageError
from compatlayer.journal import write_atomically
from compatlayer.tree.beneath import ROOT, Beneath, join, parts_of
from compatlayer.tree.changes import ChangeList
from compatlayer.tree.entries import Entry, Kind, canonical_json, entry_at, scan

FORMAT = "compatlayer-manifest-1"
_PREFIX = b"compatlayer-tree-1\n"


# A line of the file. What is between the quotes has each quote and backslash escaped.
_LINE = re.compile(rb'\["((?:[^"\\\x00-\x1f]|\\.)*)",(\{.*\})\]')
_IS_DIRECTORY = b'{"kind":"directory"'


@dataclass(frozen=True, slots=True)
class _Node:
    """An entry's record, its digest, and for a directory its children by name, in canonical order. Shared by manifests."""

    record: bytes
    digest: bytes
    children: dict[str, _Node] | None


class Manifest:
    """The entries of one tree, and their root. It never changes; ``update`` makes another that shares what is equal."""

    __slots__ = ("_top",)

    def __init__(self, top: _Node) -> None:
        self._top = top

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Manifest:
        """The manifest of ``entries``, which come in canonical order, the root first. Raises ``StageError`` when they do
        not.
        """
        return cls(_tree((entry.path, canonical_json(entry.record())) for entry in entries))

    @classmethod
    def of_tree(cls, root: Path) -> Manifest:
        """The manifest of the tree at ``root``; reads all of it."""
        return cls.of(scan(root))

    @property
    def root(self) -> str:
        """The Merkle root, 64 hexadecimal digits."""
        return self._top.digest.hex()

    def __iter__(self) -> Iterator[Entry]:
        """All entries in canonical order."""
        for path, node in _walk(self._top):
            yield _entry(path, node)

    def __bool__(self) -> bool:
        """A tree has at least its root; without this, asking whether there is a manifest would count its entries."""
        return True

    def __len__(self) -> int:
        return sum(1 for _ in _walk(self._top))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and self.root == other.root

    def __hash__(self) -> int:
        return hash(self.root)

    def get(self, path: str) -> Entry | None:
        """The entry at ``path``, or None."""
        node = self._find(path)
        return _entry(path, node) if node else None

    def names(self, path: str) -> Collection[str] | None:
        """What the directory at ``path`` holds; None where there is no directory."""
        node = self._find(path)
        return node.children if node else None

    def digest(self, path: str) -> str | None:
        """The digest of the subtree at ``path``, or None: equal for equal subtrees, wherever they are."""
        node = self._find(path)
        return node.digest.hex() if node else None

    def differences(self, other: Manifest) -> Iterator[tuple[Entry | None, Entry | None]]:
        """What differs, as pairs of this manifest's and the other's entry; None where one has none. Equal subtrees
        cost nothing.
        """
        yield from _differences(ROOT, self._top, other._top)

    def to_bytes(self) -> bytes:
        """The file format, the same bytes for the same tree."""
        content = io.BytesIO()
        content.write(self._header())
        for path, node in _walk(self._top):
            content.write(b"[%b,%b]\n" % (canonical_json(path), node.record))
        return content.getvalue()

    def write(self, file: Path) -> None:
        """Store it; the file holds the old or the new manifest, whole."""
        write_atomically(file, self.to_bytes())

    @classmethod
    def from_bytes(cls, content: bytes, name: str = "manifest") -> Manifest:
        """The manifest in ``content``; ``name`` is for messages. Raises ``StageError`` when it is not exactly what was
        written.
        """
        return cls._load(io.BytesIO(content), name)

    @classmethod
    def read(cls, file: Path) -> Manifest:
        """The manifest stored in ``file``. Raises ``StageError`` when it was altered or is missing."""
        try:
            with file.open("rb") as stream:
                return cls._load(stream, str(file))
        except OSError as error:
            raise StageError(f"{file} cannot be read", cause=error.strerror) from error

    @classmethod
    def _load(cls, lines: BinaryIO, name: str) -> Manifest:
        header = lines.readline()
        try:
            manifest = cls(_tree(_parsed(line) for line in lines))
        except (ValueError, StageError) as error:
            raise _damaged(name, str(error)) from error
        # The root covers every record and name, so the header covers every line.
        if header != manifest._header():
            raise _damaged(name, f"its entries make the header {manifest._header()!r}, it has {header[:200]!r}")
        return manifest

    def _header(self) -> bytes:
        return canonical_json({"format": FORMAT, "root": self.root, "entries": len(self)}) + b"\n"

    def _find(self, path: str) -> _Node | None:
        node: _Node | None = self._top
        for name in parts_of(path):
            node = node.children.get(name) if node and node.children else None
        return node


def update(manifest: Manifest, changes: ChangeList, source: Path) -> Manifest:
    """The manifest of the tree after ``changes``, whose new contents are below ``source``: equal to that of a fresh
    scan.

    Reads only what was put; costs what the change costs. Raises ``StageError`` when the changes do not fit the tree.
    """
    top = _Draft.thaw(manifest._top)  # noqa: SLF001
    for path in changes.deletes:
        top.remove(parts_of(path))
    for path in changes.opaque:
        top.clear(parts_of(path))
    with Beneath(source) as tree:
        for put in changes.puts:
            top.put(parts_of(put.path), entry_at(tree, put.path))
    return Manifest(top.freeze())


class _Draft:
    """A node that is being made or changed; what is not touched below it stays as it is, digests included."""

    __slots__ = ("children", "record")

    def __init__(self, record: bytes, children: dict[str, _Draft | _Node] | None = None) -> None:
        self.record = record
        self.children: dict[str, _Draft | _Node] | None = None
        if record.startswith(_IS_DIRECTORY):
            self.children = children if children is not None else {}

    @classmethod
    def thaw(cls, node: _Node) -> _Draft:
        return cls(node.record, dict(node.children) if node.children is not None else None)

    def freeze(self) -> _Node:
        if self.children is None:
            return _leaf(self.record)
        digest = hashlib.sha256(b"%b%b\n" % (_PREFIX, self.record))
        frozen = {
            name: child.freeze() if isinstance(child, _Draft) else child
            for name, child in sorted(self.children.items(), key=_name_bytes)
        }
        for name, node in frozen.items():
            digest.update(b'[%b,"%b"]\n' % (canonical_json(name), node.digest.hex().encode("ascii")))
        return _Node(self.record, digest.digest(), frozen)

    def add(self, name: str, child: _Draft | _Node) -> None:
        if self.children is None:
            raise StageError(f"what holds {name} is not a directory")
        self.children[name] = child

    def remove(self, parts: tuple[str, ...]) -> None:
        holder = self.descend(parts[:-1])
        if holder is not None and holder.children is not None:
            holder.children.pop(parts[-1], None)

    def clear(self, parts: tuple[str, ...]) -> None:
        directory = self.descend(parts)
        if directory is not None and directory.children is not None:
            directory.children = {}

    def put(self, parts: tuple[str, ...], entry: Entry) -> None:
        record = canonical_json(entry.record())
        if not parts:
            if entry.kind is not Kind.DIRECTORY:
                raise StageError("the root of a tree is a directory")
            self.record = record
            return
        holder = self.descend(parts[:-1])
        if holder is None:
            raise StageError(f"{entry.path} was put where there is no directory")
        there = holder.descend(parts[-1:]) if entry.kind is Kind.DIRECTORY else None
        holder.add(parts[-1], _Draft(record, there.children if there is not None else None))

    def descend(self, parts: tuple[str, ...]) -> _Draft | None:
        """The draft of what is below, thawed on the way; None where nothing is."""
        here = self
        for name in parts:
            child = here.children.get(name) if here.children is not None else None
            if child is None:
                return None
            if isinstance(child, _Node):
                child = _Draft.thaw(child)
                here.add(name, child)
            here = child
        return here


def _leaf(record: bytes) -> _Node:
    return _Node(record, hashlib.sha256(b"%b%b\n" % (_PREFIX, record)).digest(), None)


def _tree(records: Iterable[tuple[str, bytes]]) -> _Node:
    """The topmost node of a tree that comes as paths and records, in canonical order."""
    stack: list[_Draft] = []  # the directories that are open: the root and those on the way to the last one
    names: list[str] = []  # the names of all of them but the root
    before: tuple[bytes, ...] | None = None

    def close(depth: int) -> None:
        # At once, so that drafts do not pile up.
        while len(stack) > max(depth, 1):
            done = stack.pop()
            stack[-1].add(names.pop(), done.freeze())

    for path, record in records:
        parts = parts_of(path)
        key = tuple(map(os.fsencode, parts))
        if before is not None and key <= before:
            raise StageError(f"{path} is not in canonical order")
        before = key
        close(len(parts))
        if len(stack) != len(parts) or list(parts[:-1]) != names:
            raise StageError(f"{path} comes without its directory")
        if record.startswith(_IS_DIRECTORY):
            names += parts[-1:]
            stack.append(_Draft(record))
        elif not parts:
            raise StageError("the root of a tree is a directory")
        else:
            stack[-1].add(parts[-1], _leaf(record))
    if not stack:
        raise StageError("a tree has at least its root")
    close(1)
    return stack[0].freeze()


def _parsed(line: bytes) -> tuple[str, bytes]:
    """Path and record of one line of the file."""
    found = _LINE.fullmatch(line.removesuffix(b"\n"))
    if found is None or not line.endswith(b"\n"):
        raise ValueError(f"this is not an entry: {line[:200]!r}")
    path = found[1].decode("ascii")
    if "\\" in path:
        path = json.loads(f'"{path}"')
        if canonical_json(path) != b'"%b"' % found[1]:
            raise ValueError(f"a path is not in canonical form: {line[:200]!r}")
    return path, found[2]


def _entry(path: str, node: _Node) -> Entry:
    try:
        return Entry.from_record(path, json.loads(node.record))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StageError(f"{path} has a record that this version does not know", cause=repr(node.record[:200])) from error


def _name_bytes(item: tuple[str, object]) -> bytes:
    return os.fsencode(item[0])


def _walk(top: _Node) -> Iterator[tuple[str, _Node]]:
    stack = [(ROOT, top)]
    while stack:
        path, node = stack.pop()
        yield path, node
        if node.children:
            stack.extend((join(path, name), child) for name, child in reversed(node.children.items()))


def _differences(path: str, ours: _Node | None, theirs: _Node | None) -> Iterator[tuple[Entry | None, Entry | None]]:
    if ours is not None and theirs is not None and ours.digest == theirs.digest:
        return
    if ours is None or theirs is None or ours.record != theirs.record:
        yield _entry(path, ours) if ours else None, _entry(path, theirs) if theirs else None
    ours_below, theirs_below = (ours and ours.children) or {}, (theirs and theirs.children) or {}
    for name in sorted(ours_below.keys() | theirs_below.keys(), key=os.fsencode):
        yield from _differences(join(path, name), ours_below.get(name), theirs_below.get(name))


def _damaged(name: str, cause: str) -> StageError:
    return StageError(f"{name} is damaged", cause=cause, hint="it can be made again by a scan of the tree it describes")
