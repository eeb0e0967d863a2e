"""One worker's part of the pass: look at the named entries of a directory, and read those files that somebody wants."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from compatlayer.tree.beneath import ROOT, Beneath
from compatlayer.verify.reading.ownership import Ownership, Record
from compatlayer.verify.reading.visitor import Seen, Visitor

CHUNK_BYTES = 1 << 18
# A device or FIFO that took a file's place must neither block us nor act; opening a FIFO so does not wait for its other end.
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY


class Slice(NamedTuple):
    """Some of the names in one directory."""

    directory: str
    names: Sequence[str]


class Tally(NamedTuple):
    """What one order came to."""

    entries: int
    files_read: int
    bytes_read: int
    found: dict[str, list[object]]


class Reader:
    """Answers orders, which are lists of slices."""

    def __init__(self, tree: Path, ownership: Ownership, visitors: dict[str, Visitor]) -> None:
        self._below = Beneath(tree)
        self._ownership = ownership
        self._visitors = visitors
        self._all = tuple(visitors.values())
        self._readers = tuple(visitor for visitor in self._all if visitor.reads)
        self._known: tuple[str, dict[str, list[Record]]] = ("", {})
        self._files_read = self._bytes_read = 0

    def __call__(self, order: Sequence[Slice]) -> Tally:
        """Look at the slices of ``order``; visitors' findings go back with the tally."""
        self._files_read = self._bytes_read = entries = 0
        for part in order:
            entries += len(part.names)
            self._slice(part)
        found = {name: drained for name, visitor in self._visitors.items() if (drained := visitor.drain())}
        return Tally(entries, self._files_read, self._bytes_read, found)

    def _slice(self, part: Slice) -> None:
        if self._known[0] != part.directory:
            self._known = (part.directory, self._ownership.records(part.directory))
        records = self._known[1]
        below = "" if part.directory == ROOT else f"{part.directory}/"
        try:
            descriptor = self._below.directory(part.directory)
        except OSError:
            self._below.forget()
            for name in part.names:
                self._gone(below + name, records.get(name, ()))
            return
        for name in part.names:
            self._entry(name, descriptor, below + name, records.get(name, ()))

    def _entry(self, name: str, inside: int, path: str, records: Sequence[Record]) -> None:
        try:
            status = os.stat(name, dir_fd=inside, follow_symlinks=False)
            is_link = stat.S_ISLNK(status.st_mode)
            seen = Seen(path, name, status, records, os.readlink(name, dir_fd=inside) if is_link else "")
        except OSError:
            self._gone(path, records)
            return
        for visitor in self._all:
            visitor.entry(seen)
        if self._readers and stat.S_ISREG(status.st_mode):
            wanting = [visitor for visitor in self._readers if visitor.wants(seen)]
            if wanting:
                self._read(seen, inside, wanting)

    def _gone(self, path: str, records: Sequence[Record]) -> None:
        for visitor in self._all:
            visitor.vanished(path, records)

    def _read(self, seen: Seen, inside: int, visitors: Sequence[Visitor]) -> None:
        try:
            descriptor = os.open(seen.name, _OPEN, dir_fd=inside)
        except FileNotFoundError:
            self._gone(seen.path, seen.records)
            return
        except OSError as error:
            for visitor in visitors:
                visitor.failed(seen, error)
            return
        try:
            self._content(seen, descriptor, visitors)
        except OSError as error:
            for visitor in visitors:
                visitor.failed(seen, error)
        finally:
            seen.descriptor = -1
            os.close(descriptor)

    def _content(self, seen: Seen, descriptor: int, visitors: Sequence[Visitor]) -> None:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            self._gone(seen.path, seen.records)
            return
        seen.status = status
        seen.descriptor = descriptor
        self._files_read += 1
        offset, size = 0, status.st_size
        # A file that grows as fast as we read would keep us for ever; twice what it was is enough to call it changed.
        limit = 2 * size + CHUNK_BYTES
        while True:
            wanted = min(CHUNK_BYTES, max(size - offset, 0) + 1)
            chunk = os.read(descriptor, wanted)
            is_last = (len(chunk) < wanted and (offset + len(chunk) >= size or not chunk)) or offset > limit
            for visitor in visitors:
                visitor.content(seen, chunk, offset, is_last=is_last)
            offset += len(chunk)
            if is_last:
                self._bytes_read += offset
                return
