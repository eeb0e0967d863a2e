"""One worker's part of the pass: look at the named entries of a directory, and read those files that somebody wants."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from compatlayer.tree.beneath import ROOT, Beneath, join
from compatlayer.verify.reading.memory import Remembered, is_file, is_settled, signature
from compatlayer.verify.reading.ownership import Ownership, Record
from compatlayer.verify.reading.visitor import Seen, Visitor

CHUNK_BYTES = 1 << 18
# A device or FIFO that took a file's place must neither block us nor act; opening a FIFO so does not wait for its other end.
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY


class Slice(NamedTuple):
    """Some of the names in one directory, from the ``start``-th on."""

    directory: str
    start: int
    names: Sequence[str]

    @property
    def key(self) -> str:
        """What it is remembered by."""
        return f"{self.directory}\0{self.start}" if self.start else self.directory


class Tally(NamedTuple):
    """What one order came to."""

    entries: int
    files_read: int
    bytes_read: int
    files_trusted: int
    found: dict[str, list[object]]
    quiet: dict[str, dict[str, str]]


class Reader:
    """Answers orders, which are lists of slices."""

    def __init__(
        self, tree: Path, ownership: Ownership, visitors: dict[str, Visitor], remembered: Remembered, *, remembers: bool
    ) -> None:
        self._below = Beneath(tree)
        self._ownership = ownership
        self._visitors = visitors
        self._remembered = remembered
        self._remembers = {name: visitor for name, visitor in visitors.items() if remembers and visitor.remembers}
        self._some_want_heads = any(visitor.head_bytes is not None for visitor in visitors.values())
        self._known: tuple[str, dict[str, list[Record]]] = ("", {})  # no directory is called that
        self._files_read = self._bytes_read = self._files_trusted = 0
        self._quiet: dict[str, dict[str, str]] = {}

    def __call__(self, order: Sequence[Slice]) -> Tally:
        """Look at the slices of ``order``; visitors' findings go back with the tally."""
        self._files_read = self._bytes_read = self._files_trusted = 0
        self._quiet = {name: {} for name in self._remembers}
        entries = 0
        for part in order:
            entries += len(part.names)
            self._slice(part)
        found = {name: drained for name, visitor in self._visitors.items() if (drained := visitor.drain())}
        return Tally(entries, self._files_read, self._bytes_read, self._files_trusted, found, self._quiet)

    def _slice(self, part: Slice) -> None:
        try:
            inside = self._below.directory(part.directory)
        except OSError:
            self._below.forget()
            records = self._records(part.directory)
            for name in part.names:
                self._gone(join(part.directory, name), records.get(name, ()), self._visitors.values())
            return
        if self._remembers:
            self._slice_with_memory(part, inside)
        else:
            self._entries(part, inside, tuple(self._visitors.values()))

    def _slice_with_memory(self, part: Slice, inside: int) -> None:
        now_ns = time.time_ns()
        try:
            statuses = [os.stat(name, dir_fd=inside, follow_symlinks=False) for name in part.names]
        except OSError:
            self._entries(part, inside, tuple(self._visitors.values()))
            return
        looks = signature(part.names, statuses, self._ownership.raw(part.directory))
        trusted = {name for name in self._remembers if self._remembered.get(name, {}).get(part.key) == looks}
        before = {name: len(visitor.found) for name, visitor in self._remembers.items()}
        if visitors := tuple(visitor for name, visitor in self._visitors.items() if name not in trusted):
            self._entries(part, inside, visitors)
        if trusted and not any(visitor.reads for visitor in visitors):
            self._files_trusted += sum(map(is_file, statuses))
        settled = is_settled(statuses, now_ns)
        for name, visitor in self._remembers.items():
            if name in trusted or (settled and len(visitor.found) == before[name]):
                self._quiet[name][part.key] = looks

    def _entries(self, part: Slice, inside: int, visitors: Sequence[Visitor]) -> None:
        records = self._records(part.directory)
        readers = tuple(visitor for visitor in visitors if visitor.reads)
        below = "" if part.directory == ROOT else f"{part.directory}/"
        # A function call for each of 100,000 entries would show, so this one is long.
        for name in part.names:
            owned = records.get(name, ())
            try:
                status = os.stat(name, dir_fd=inside, follow_symlinks=False)
                is_link = stat.S_ISLNK(status.st_mode)
                seen = Seen(below + name, name, status, owned, os.readlink(name, dir_fd=inside) if is_link else "")
            except OSError:
                self._gone(below + name, owned, visitors)
                continue
            for visitor in visitors:
                visitor.entry(seen)
            if readers and stat.S_ISREG(status.st_mode):
                wanting = [visitor for visitor in readers if visitor.wants(seen)]
                if wanting:
                    self._read(seen, inside, wanting)

    def _records(self, directory: str) -> dict[str, list[Record]]:
        if self._known[0] != directory:
            self._known = (directory, self._ownership.records(directory))
        return self._known[1]

    @staticmethod
    def _gone(path: str, records: Sequence[Record], visitors: Iterable[Visitor]) -> None:
        for visitor in visitors:
            visitor.vanished(path, records)

    def _read(self, seen: Seen, inside: int, visitors: Sequence[Visitor]) -> None:
        try:
            descriptor = os.open(seen.name, _OPEN, dir_fd=inside)
        except FileNotFoundError:
            self._gone(seen.path, seen.records, visitors)
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
            self._gone(seen.path, seen.records, visitors)
            return
        seen.status = status
        seen.descriptor = descriptor
        self._files_read += 1
        size = status.st_size
        if self._some_want_heads and all(visitor.head_bytes is not None for visitor in visitors):
            head = os.read(descriptor, max(visitor.head_bytes or 0 for visitor in visitors))
            self._bytes_read += len(head)
            for visitor in visitors:
                visitor.content(seen, head, 0, is_last=True)
            return
        if size < CHUNK_BYTES:
            chunk = os.read(descriptor, size + 1)
            if len(chunk) == size:  # as nearly always: it is what it was, and whole
                self._bytes_read += size
                for visitor in visitors:
                    visitor.content(seen, chunk, 0, is_last=True)
                return
            os.lseek(descriptor, 0, os.SEEK_SET)
        self._long_content(seen, descriptor, visitors)

    def _long_content(self, seen: Seen, descriptor: int, visitors: Sequence[Visitor]) -> None:
        offset, size = 0, seen.status.st_size
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
