"""The pass itself: walk, compare the names with what is recorded, and let the workers look at the entries."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from compatlayer.errors import StageError
from compatlayer.gentoo.packages import Inventory
from compatlayer.tree.beneath import ROOT, join
from compatlayer.tree.manifest import Manifest
from compatlayer.verify.reading import pool
from compatlayer.verify.reading.memory import keep, recall
from compatlayer.verify.reading.ownership import Damage, Kind, Ownership, Record, load, owned_directories
from compatlayer.verify.reading.reader import Reader, Slice
from compatlayer.verify.reading.visitor import Visitor
from compatlayer.verify.reading.walk import Listing, Problem, walk

# Enough names in an order to make up for its way through a pipe, few enough that the last one does not take long.
ORDER_NAMES = 192
# Orders fit into a socket's buffer, two at a time: a worker that is telling us something does not take new ones.
ORDER_BYTES = 1 << 14
# An empty file of this name makes its directory the root of a nested catalog.
CATALOG_MARK = ".cvmfscatalog"
# What CernVM-FS itself puts into a tree as it publishes it (.cvmfsdirtab) or shows in it.
CVMFS_OWN = frozenset({CATALOG_MARK, ".cvmfsautocatalog", ".cvmfs"})


class Absent(NamedTuple):
    """A recorded path that is not there."""

    path: str
    record: Record


class Collision(NamedTuple):
    """A path that several packages claim, and it is not a directory of all of them."""

    path: str
    records: tuple[Record, ...]


@dataclass(slots=True)
class Statistics:
    """What the pass came to. ``files_trusted`` were not read again, since nothing about them has changed (``--quick``)."""

    directories: int = 0
    entries: int = 0
    files_read: int = 0
    bytes_read: int = 0
    files_trusted: int = 0


@dataclass(slots=True)
class _Outcome:
    reports: dict[str, list[Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    collisions: list[Collision] = field(default_factory=list)
    unowned: list[Listing] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    catalog_roots: list[str] = field(default_factory=list)
    case_groups: dict[str, list[list[str]]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    statistics: Statistics = field(default_factory=Statistics)


class Reading:
    """One pass over the prefix at ``tree`` whose home is ``prefix``. It happens when the first result is asked for.

    What it saw is kept in the directory ``memory``, if there is one; ``quick`` trusts what was kept there by the pass before.
    ``manifest`` is what the tree is said to hold, where somebody recorded that.
    """

    def __init__(
        self,
        tree: Path,
        prefix: str,
        inventory: Inventory,
        *,
        memory: Path | None = None,
        quick: bool = False,
        manifest: Manifest | None = None,
        workers: int | None = None,
    ) -> None:
        self.tree = tree
        self.prefix = prefix
        self._inventory = inventory
        self._memory = memory
        self._quick = quick
        self._manifest = manifest
        self._workers = workers or pool.processors()
        self._visitors: dict[str, Callable[[], Visitor]] = {}
        self._ownership: Ownership | None = None
        self._outcome: _Outcome | None = None

    def join(self, name: str, visitor: Callable[[], Visitor]) -> None:
        """Let a check look along; before the pass, of course."""
        if self._outcome is not None:
            raise ValueError(f"{name} comes late: the tree has been read")
        self._visitors[name] = visitor

    @property
    def ownership(self) -> Ownership:
        """Who owns what. Raises ``StageError`` when the tree itself cannot be opened."""
        if self._ownership is None:
            try:
                self._ownership = load(self.tree, self.prefix, self._inventory)
            except OSError as error:
                raise StageError(f"{self.tree} cannot be read", cause=error.strerror or str(error)) from error
        return self._ownership

    @property
    def damage(self) -> Sequence[Damage]:
        """What could not be understood of any CONTENTS."""
        return self.ownership.damage

    def reports(self, name: str) -> list[Any]:
        """What the visitors of the check ``name`` found, in no particular order."""
        return self._done().reports.get(name, [])

    @property
    def problems(self) -> Sequence[Problem]:
        """Directories that were left out."""
        return self._done().problems

    @property
    def absent(self) -> Sequence[Absent]:
        """What is recorded and not there, directories included."""
        return self._done().absent

    @property
    def collisions(self) -> Sequence[Collision]:
        """Paths with several owners."""
        return self._done().collisions

    @property
    def unowned(self) -> Sequence[Listing]:
        """What is there and recorded nowhere: names by directory, below unowned directories too. A directory that holds what
        somebody owns does not count.
        """
        return self._done().unowned

    @property
    def statistics(self) -> Statistics:
        """How much was looked at."""
        return self._done().statistics

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many names each directory holds."""
        return self._done().sizes

    @property
    def catalog_roots(self) -> Sequence[str]:
        """Directories in which a nested CernVM-FS catalog begins."""
        return self._done().catalog_roots

    @property
    def lost(self) -> Sequence[str]:
        """What the manifest has and the tree has not; of a directory, only itself."""
        return self._done().lost

    @property
    def added(self) -> Sequence[str]:
        """What the tree has and the manifest has not; of a directory, only itself."""
        return self._done().added

    @property
    def case_groups(self) -> Mapping[str, Sequence[Sequence[str]]]:
        """By directory, the groups of names that differ only in case."""
        return self._done().case_groups

    def _done(self) -> _Outcome:
        if self._outcome is None:
            self._outcome = self._run()
        return self._outcome

    def _run(self) -> _Outcome:
        outcome = _Outcome()
        ownership = self.ownership
        remembered = recall(self._memory, self.tree) if self._memory and self._quick else {}

        def make() -> Reader:
            visitors = {name: visitor() for name, visitor in self._visitors.items()}
            return Reader(self.tree, ownership, visitors, remembered, remembers=self._memory is not None)

        quiet: dict[str, dict[str, str]] = {}
        for tally in pool.run(self._orders(outcome), make, self._workers):
            outcome.statistics.entries += tally.entries
            outcome.statistics.files_read += tally.files_read
            outcome.statistics.bytes_read += tally.bytes_read
            outcome.statistics.files_trusted += tally.files_trusted
            for name, found in tally.found.items():
                outcome.reports.setdefault(name, []).extend(found)
            for name, slices in tally.quiet.items():
                quiet.setdefault(name, {}).update(slices)
        if self._memory is not None:
            keep(self._memory, self.tree, quiet)
        return outcome

    def _orders(self, outcome: _Outcome) -> Iterator[list[Slice]]:
        """Walk, compare names, and put together what the workers are to look at."""
        sees_unowned = any(visitor().sees_unowned for visitor in self._visitors.values())
        order: list[Slice] = []
        room, length = ORDER_NAMES, 0
        comparison = _Comparison(self.ownership, outcome)
        for listing in walk(self.tree, outcome.problems):
            _note(listing, outcome)
            if self._manifest is not None:
                _against(self._manifest, listing, outcome)
            owned = comparison.listing(listing)
            names = listing.names if sees_unowned else owned
            # Always cut at the same places, so that a slice is known again.
            for start in range(0, len(names), ORDER_NAMES):
                part = names[start : start + ORDER_NAMES]
                order.append(Slice(listing.path, start, part))
                room -= len(part)
                length += len(listing.path)
                if room <= 0 or length > ORDER_BYTES:
                    yield order
                    order, room, length = [], ORDER_NAMES, 0
        if order:
            yield order
        comparison.finish()


def _note(listing: Listing, outcome: _Outcome) -> None:
    """What a directory's names alone tell."""
    outcome.statistics.directories += 1
    outcome.sizes[listing.path] = len(listing.names)
    if CATALOG_MARK in listing.names:
        outcome.catalog_roots.append(listing.path)
    if len({name.casefold() for name in listing.names}) != len(listing.names):
        groups: dict[str, list[str]] = {}
        for name in listing.names:
            groups.setdefault(name.casefold(), []).append(name)
        outcome.case_groups[listing.path] = [names for names in groups.values() if len(names) > 1]


def _against(manifest: Manifest, listing: Listing, outcome: _Outcome) -> None:
    """The names in a directory against those that the manifest has there."""
    recorded = manifest.names(listing.path)
    if recorded is None:
        return  # named where it begins
    there = set(listing.names)
    outcome.lost += [join(listing.path, name) for name in recorded if name not in there]
    outcome.added += [join(listing.path, name) for name in listing.names if name not in recorded and name not in CVMFS_OWN]


class _Comparison:
    """Names in the tree against names on record."""

    def __init__(self, ownership: Ownership, outcome: _Outcome) -> None:
        self._ownership = ownership
        self._outcome = outcome
        self._left = set(ownership)
        self._directories = owned_directories(ownership)

    def listing(self, listing: Listing) -> list[str]:
        """Compare one directory; returns the names in it that somebody owns."""
        self._left.discard(listing.path)
        recorded = self._ownership.names(listing.path)
        owned = set(recorded)
        if len(owned) != len(recorded):
            self._collide(listing.path)
        there = set(listing.names)
        if missing := owned - there:
            records = self._ownership.records(listing.path)
            for name in sorted(missing):
                self._outcome.absent += [Absent(join(listing.path, name), record) for record in records[name]]
        strange = there - owned
        if not strange:
            return listing.names
        directories = {name for name in listing.directories if name in strange}
        implied = {name for name in directories if join(listing.path, name) in self._directories}
        if unowned := sorted(strange - implied):
            self._outcome.unowned.append(Listing(listing.path, unowned, sorted(directories - implied)))
        return [name for name in listing.names if name in owned]

    def finish(self) -> None:
        """What is recorded in directories that were never met."""
        for directory in sorted(self._left):
            recorded = self._ownership.names(directory)
            if len(set(recorded)) != len(recorded):
                self._collide(directory)
            for name, records in sorted(self._ownership.records(directory).items()):
                path = name if directory == ROOT else f"{directory}/{name}"
                self._outcome.absent += [Absent(path, record) for record in records]

    def _collide(self, directory: str) -> None:
        for name, records in self._ownership.records(directory).items():
            owners = {record.package for record in records}
            if len(owners) > 1 and any(record.kind is not Kind.DIRECTORY for record in records):
                self._outcome.collisions.append(Collision(join(directory, name), tuple(records)))


def by_path(path: str) -> tuple[bytes, ...]:
    """A sort key: names as bytes, a directory before what it holds."""
    return tuple(os.fsencode(path).split(b"/"))
