"""What a check sees of the tree while it is read: the hooks of a visitor, and one entry as all visitors see it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Any

from compatlayer.verify.reading.ownership import Record


class Seen:
    """One entry of the tree, as ``lstat`` (and after opening, ``fstat``) described it.

    ``path`` is relative to the prefix; ``records`` says which packages own it (several, where packages collide); ``target`` is
    where a link points, as written. ``descriptor`` is open for reading during ``content``, else -1: a visitor may ``os.pread``
    it, and leaves it open.
    """

    __slots__ = ("descriptor", "name", "path", "records", "status", "target")

    def __init__(self, path: str, name: str, status: os.stat_result, records: Sequence[Record], target: str = "") -> None:
        self.path = path
        self.name = name
        self.status = status
        self.records = records
        self.target = target
        self.descriptor = -1

    @property
    def package(self) -> str:
        """The package that owns it, as ``category/name-version``; empty where none does."""
        return self.records[0].package if self.records else ""

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.status.st_mode)


class Visitor:
    """A check's eyes. The pass makes one per worker process; the hooks of this class do nothing.

    Hooks run in a worker: what a visitor wants to keep goes into ``found`` as values that can be pickled (findings, tuples), and
    ``context.pass_.reports(name)`` gives all of them, from all workers, in no particular order. Anything a visitor needs from the
    context, it takes in its constructor, before the fork, and it must not write to a terminal or a log.
    """

    # Whether entries that no package owns are of interest.
    sees_unowned = True
    # Whether ``content`` is wanted at all; the files are read when any visitor wants them.
    reads = False
    # Whether what it says of an entry depends on that entry and its records alone, so that its silence on the last full pass
    # still counts where nothing has changed (``--quick``). A visitor that collects facts for a comparison later must see all.
    remembers = False
    # How much of a file's beginning is enough (what else is wanted can be had from the descriptor); None: all of it. A file that
    # nobody wants more of is read no further.
    head_bytes: int | None = None

    def __init__(self) -> None:
        self.found: list[Any] = []

    def entry(self, seen: Seen) -> None:
        """Called for every entry: files, directories, links and whatever else there is; nothing is open yet."""

    def wants(self, seen: Seen) -> bool:  # noqa: ARG002 - what overrides it looks
        """Whether this visitor wants the content of ``seen``, a regular file; asked after ``entry``, when ``reads`` is set."""
        return self.reads

    def content(self, seen: Seen, chunk: bytes, offset: int, *, is_last: bool) -> None:
        """Called with each chunk of a file that was wanted, in order; most files are one chunk.

        The first chunk (``offset`` 0) is at least 256 KiB, or the whole file; the last one may be empty. A visitor with
        ``head_bytes`` may get less: that much, or the whole file.
        """

    def failed(self, seen: Seen, error: OSError) -> None:
        """Called instead of, or after, ``content`` when a file that was wanted cannot be opened or read (to its end)."""

    def vanished(self, path: str, records: Sequence[Record]) -> None:
        """Called for an entry that was listed, and is gone when we look at it."""

    def drain(self) -> list[Any]:
        """Hand over what was found since the last time."""
        found, self.found = self.found, []
        return found
