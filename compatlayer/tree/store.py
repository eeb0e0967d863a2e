"""Manifests on disk, directory by directory: what a new one shares with an old one is stored once and read by nobody.

A manifest of 120,000 entries takes seconds to read and write whole. Here a directory is one row, found by its digest, so
that storing the successor of a manifest, or comparing two, costs what they differ by. SQLite keeps the rows: one file,
atomic and durable.

A row is the directory's record, then a line ``["name","digest",record]`` for each child in canonical order; of a child
that is a directory the record is ``null``, it is in the child's own row. Everything is checked against its digest when it
is read: an altered bit is an error, never a different tree.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from compatlayer.errors import StageError
from compatlayer.tree.entries import canonical_json
from compatlayer.tree.manifest import _PREFIX, Manifest, _Node

_SCHEMA = "CREATE TABLE IF NOT EXISTS directory (digest BLOB PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID"


class ManifestStore:
    """The manifests in one SQLite file. Several processes may read; hold the owner's lock to write."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        self._abandoned: list[sqlite3.Connection] = []

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __contains__(self, root: str) -> bool:
        return self.has(bytes.fromhex(root))

    def has(self, digest: bytes) -> bool:
        """Whether the directory with that digest is stored."""
        return self._row(digest) is not None

    def save(self, manifest: Manifest) -> None:
        """Store a manifest; it is on disk on return. What is stored already is not looked at again."""
        with self._errors(), self._open() as connection:
            known: set[bytes] = set()
            rows = list(_new_rows(manifest._top, self, known))  # noqa: SLF001
            connection.executemany("INSERT OR IGNORE INTO directory VALUES (?, ?)", rows)

    def load(self, root: str) -> Manifest:
        """The manifest with that Merkle root; directories are read when they are asked for.

        Raises ``StageError``, here or then, when a row is missing or altered.
        """
        if root not in self:
            raise StageError(f"{self.file} does not know the manifest {root[:12]}", hint="compatlayer transaction status")
        return Manifest(_StoredNode(bytes.fromhex(root), self))

    def keep_only(self, roots: list[str]) -> int:
        """Forget all rows that no manifest of ``roots`` needs; returns how many they were."""
        needed: set[bytes] = set()
        waiting = [bytes.fromhex(root) for root in roots if root in self]
        while waiting:
            digest = waiting.pop()
            if digest in needed:
                continue
            needed.add(digest)
            _, children = self.directory(digest)
            waiting += [node.digest for node in children.values() if isinstance(node, _StoredNode)]
        with self._errors(), self._open() as connection:
            there = {row[0] for row in connection.execute("SELECT digest FROM directory")}
            connection.executemany("DELETE FROM directory WHERE digest = ?", [(digest,) for digest in there - needed])
        return len(there - needed)

    def directory(self, digest: bytes) -> tuple[bytes, dict[str, _Node]]:
        """Record and children of the directory with that digest."""
        content = self._row(digest)
        if content is None:
            raise StageError(f"{self.file} is damaged", cause=f"the directory {digest.hex()} of a manifest is missing")
        try:
            record, children = self._parse(content)
        except (ValueError, TypeError) as error:
            raise self._altered(digest) from error
        # Rendered again, since JSON and hexadecimal digits can be written in more than one way.
        if _digest(record, children) != digest or _rendered(record, children) != content:
            raise self._altered(digest)
        return record, children

    def _parse(self, content: bytes) -> tuple[bytes, dict[str, _Node]]:
        record, *lines = content.split(b"\n")
        children: dict[str, _Node] = {}
        for line in lines:
            name, digest, child = json.loads(line)
            if child is None:
                children[name] = _StoredNode(bytes.fromhex(digest), self)
                continue
            own = canonical_json(child)
            leaf = hashlib.sha256(b"%b%b\n" % (_PREFIX, own)).digest()
            if leaf.hex() != digest:
                raise ValueError(f"the record of {name} was altered")
            children[name] = _Node(own, leaf, None)
        return record, children

    def _row(self, digest: bytes) -> bytes | None:
        if not self.file.exists():
            return None
        with self._errors():
            found = self._connect().execute("SELECT content FROM directory WHERE digest = ?", (digest,)).fetchone()
        return None if found is None else bytes(found[0])

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None and self._process != os.getpid():
            # A fork may neither use its parent's connection nor close it (https://sqlite.org/howtocorrupt.html, 2.6).
            self._abandoned.append(self._connection)
            self._connection = None
        if self._connection is None:
            self._process = os.getpid()
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.file, isolation_level=None)
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute(_SCHEMA)
        return self._connection

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = self._connect()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # the first failure is the one to tell
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            hint = "is the disk full, or not writable?"
            raise StageError(f"{self.file} cannot be used", cause=str(error), hint=hint) from error

    def _altered(self, digest: bytes) -> StageError:
        return StageError(
            f"{self.file} is damaged",
            cause=f"the directory {digest.hex()} of a manifest was altered",
            hint="remove the file: manifests are made again by a scan of the revision, when they are needed",
        )


class _StoredNode(_Node):
    """A directory that is read from its store when somebody looks into it."""

    __slots__ = ("_found", "_store")

    _found: tuple[bytes, dict[str, _Node]] | None
    _store: ManifestStore

    def __init__(self, digest: bytes, store: ManifestStore) -> None:
        object.__setattr__(self, "digest", digest)
        object.__setattr__(self, "_store", store)
        object.__setattr__(self, "_found", None)

    def is_in(self, store: ManifestStore) -> bool:
        """Whether that store is where it is read from."""
        return self._store is store

    @property
    def record(self) -> bytes:
        return self._content()[0]

    @property
    def children(self) -> dict[str, _Node]:
        return self._content()[1]

    def _content(self) -> tuple[bytes, dict[str, _Node]]:
        found = self._found
        if found is None:
            found = self._store.directory(self.digest)
            object.__setattr__(self, "_found", found)
        return found


def _new_rows(node: _Node, store: ManifestStore, known: set[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The rows that a store does not have yet, children first."""
    stack = [(node, False)]
    while stack:
        node, done = stack.pop()
        if done:
            yield node.digest, _row(node)
            continue
        # What another store holds is not in this one: a promotion brings the test repository's manifest along.
        if node.digest in known or (isinstance(node, _StoredNode) and node.is_in(store)):
            continue
        if not isinstance(node, _StoredNode) and node.children is None:
            continue
        known.add(node.digest)
        if store.has(node.digest):
            continue
        assert node.children is not None, "only directories come this far"
        stack.append((node, True))
        stack += [(child, False) for child in node.children.values()]


def _row(node: _Node) -> bytes:
    assert node.children is not None, "only directories have rows"
    return _rendered(node.record, node.children)


def _rendered(record: bytes, children: dict[str, _Node]) -> bytes:
    lines = [record]
    for name, child in children.items():
        is_directory = isinstance(child, _StoredNode) or child.children is not None
        own = b"null" if is_directory else child.record
        lines.append(b'[%b,"%b",%b]' % (canonical_json(name), child.digest.hex().encode(), own))
    return b"\n".join(lines)


def _digest(record: bytes, children: dict[str, _Node]) -> bytes:
    digest = hashlib.sha256(b"%b%b\n" % (_PREFIX, record))
    for name, node in children.items():
        digest.update(b'[%b,"%b"]\n' % (canonical_json(name), node.digest.hex().encode()))
    return digest.digest()
