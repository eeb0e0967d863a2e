"""Verifying the store: every file is hashed again. What is not what it should be goes to quarantine; a repair fetches it anew."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from compatlayer import trees
from compatlayer.errors import DistfileError
from compatlayer.gentoo.packages import SourceUri
from compatlayer.mirror import hashes, tree_bundles
from compatlayer.mirror.distfiles import Wanted, Wants
from compatlayer.mirror.fill import Filled, Options, fill
from compatlayer.mirror.index import Entry, now_utc
from compatlayer.mirror.store import Store
from compatlayer.mirror.tree_bundles import TreeBundles
from compatlayer.progress import Monitor, StepFinished, StepStarted, Transferred
from compatlayer.trees import Pin

_TELL_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not what the index says: what is wrong, and where it is now (None: it is simply not there)."""

    name: str
    what: str
    quarantined: Path | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found: how many files and bytes are right, what was wrong, what the repair fetched, and which git
    bundles of trees that nobody declares any more it could not bring back.
    """

    files: int
    bytes: int
    damage: tuple[Damage, ...]
    repaired: Filled | None
    elapsed_s: float
    lost: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the store holds all it should: nothing was wrong, or all of it was repaired."""
        return not self.damage if self.repaired is None else not (self.repaired.missing or self.lost)


def verify(store: Store, monitor: Monitor, *, jobs: int | None = None) -> Verified:
    """Hash every file of the store, ``jobs`` at once (default: processors), and quarantine what is wrong.

    A file that the index does not know is quarantined, too: nobody vouches for it. Raises ``LockHeldError``.
    """
    began = time.monotonic()
    with store.lock("mirror verify"):
        entries = store.index.entries()
        damage = [_put_aside(store, path, "not in the index") for path in store.strangers()]
        step = "verifying source files"
        monitor.tell(StepStarted(step, len(entries)))
        counted = _Hashing(store, monitor)
        damage += counted.run(entries.values(), jobs or len(os.sched_getaffinity(0)))
        damage += _verify_trees(TreeBundles(store))
        store.sync()
        monitor.tell(StepFinished(step, time.monotonic() - began, "failed" if damage else "done"))
    damage.sort(key=lambda one: one.name)
    return Verified(counted.files, counted.bytes, tuple(damage), None, time.monotonic() - began)


def repair(
    store: Store, found: Verified, pins: Sequence[Pin], ask: Callable[[], Wants], options: Options, monitor: Monitor
) -> Verified:
    """Fetch what is damaged from any source: those that ``ask`` names, else the place where the file came from.

    A git bundle of one of ``pins`` is made or fetched again, before ``ask`` is called, which may need it; ``RepositoryError``
    when its commit cannot be had.
    """
    names = {one.name for one in found.damage}
    tree_bundles.keep(store, [pin for pin in pins if _tree_name(pin.bundle.name) in names], options, monitor)
    files = {name: wanted for name, wanted in ask().files.items() if name in names}
    for entry in store.index.entries().values():
        if entry.name in names and entry.name not in files:
            files[entry.name] = as_wanted(entry)
    filled = fill(store, Wants(files, (), whole=False), options, monitor)
    bundles = TreeBundles(store)
    lost = tuple(one.name for one in bundles.known().values() if _tree_name(one.name) in names and not bundles.has(one.name))
    return replace(found, repaired=filled, elapsed_s=found.elapsed_s + filled.elapsed_s, lost=lost)


def as_wanted(entry: Entry) -> Wanted:
    """A file of the index as something to be fetched again, from where it came."""
    uris = (SourceUri(entry.url),) if "://" in entry.url else ()
    return Wanted(entry.name, entry.size_bytes, entry.hashes, uris, entry.restrict)


def refuse_unverified(store: Store) -> int:
    """How many files the store holds; raises ``DistfileError`` unless each was hashed and has not been touched since.

    Looks at sizes and times of source files only: ``verify`` hashes them. Git bundles are hashed.
    """
    entries = store.index.entries()
    doubtful = [f"{path.relative_to(store.root)}: not in the index" for path in store.strangers()]
    doubtful += [
        f"{entry.name}: missing, or changed since it was hashed" for entry in entries.values() if not store.is_intact(entry)
    ]
    bundles = TreeBundles(store)
    doubtful += [f"{path.relative_to(store.root)}: not in the Manifest" for path in bundles.strangers()]
    known = bundles.known().values()
    doubtful += [f"{_tree_name(one.name)}: {wrong}" for one in known if (wrong := bundles.fault(one)) is not None]
    if doubtful:
        more = [f"and {len(doubtful) - 10} more"] if len(doubtful) > 10 else []
        raise DistfileError(
            f"the mirror at {store.root} is not verified",
            cause="\n".join([*doubtful[:10], *more]),
            hint="compatlayer mirror verify --repair",
        )
    return len(entries) + len(known)


class _Hashing:
    """Hashes the entries' files in threads (hashlib lets them run side by side)."""

    def __init__(self, store: Store, monitor: Monitor) -> None:
        self.store, self.monitor = store, monitor
        self.files = 0
        self.bytes = 0
        self._stopped = False

    def run(self, entries: Iterable[Entry], jobs: int) -> list[Damage]:
        """What is wrong; the index learns what is right."""
        # Large files first, so that the last thread does not end long after the others.
        ordered = sorted(entries, key=lambda entry: -entry.size_bytes)
        total_bytes = sum(entry.size_bytes for entry in ordered)
        damage: list[Damage] = []
        good: list[Entry] = []
        told, done_bytes = 0.0, 0
        pool = ThreadPoolExecutor(jobs, thread_name_prefix="hash")
        try:
            for number, (entry, found) in enumerate(zip(ordered, pool.map(self._check, ordered), strict=True), start=1):
                if isinstance(found, Damage):
                    damage.append(found)
                else:
                    good.append(found)
                    self.files, self.bytes = self.files + 1, self.bytes + entry.size_bytes
                done_bytes += entry.size_bytes
                if time.monotonic() - told > _TELL_EVERY_S or number == len(ordered):
                    told = time.monotonic()
                    self.monitor.tell(Transferred(entry.name, number, len(ordered), done_bytes, total_bytes))
        finally:
            self._stopped = True
            pool.shutdown(cancel_futures=True)
        with self.store.index.transaction():
            for entry in good:
                self.store.index.record(entry)
        return damage

    def _check(self, entry: Entry) -> Entry | Damage:
        """The entry with a new time, or what is wrong with its file."""
        store = self.store
        place, flat = store.path(entry.name, entry.restrict), store.flat(entry.name, entry.restrict)
        wrong = self._wrong(place, entry)
        if wrong is not None and self._wrong(flat, entry) is None:
            # One of the two names went astray, the file itself is there.
            place, flat, wrong = flat, place, None
        if wrong is not None:
            aside = [store.quarantine(path, wrong) for path in (place, flat) if os.path.lexists(path)]
            return Damage(entry.name, wrong, aside[0] if aside else None)
        if not (flat.exists() and flat.samefile(place)):
            if os.path.lexists(flat):
                store.quarantine(flat, "not the same as its other name")
            flat.parent.mkdir(exist_ok=True)
            os.link(place, flat)
        return replace(entry, mtime_ns=place.lstat().st_mtime_ns, verified_at_utc=now_utc())

    def _wrong(self, path: Path, entry: Entry) -> str | None:
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                return "not a file"
            size, digests = hashes.of_file(path, entry.hashes, lambda: self._stopped)
        except FileNotFoundError:
            return "missing"
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        return hashes.difference(size, digests, entry.size_bytes, entry.hashes)


def _verify_trees(bundles: TreeBundles) -> Iterator[Damage]:
    """The git bundles of ebuild trees: few, large, and each of them hashed."""
    for path in bundles.strangers():
        yield _put_aside(bundles.store, path, "not in the Manifest")
    for bundle in bundles.known().values():
        wrong = bundles.fault(bundle)
        if wrong is not None:
            path = bundles.directory / bundle.name
            aside = bundles.store.quarantine(path, wrong) if os.path.lexists(path) else None
            yield Damage(_tree_name(bundle.name), wrong, aside)


def _tree_name(name: str) -> str:
    return f"{trees.DIRECTORY}/{name}"


def _put_aside(store: Store, path: Path, why: str) -> Damage:
    name = _tree_name(path.name) if path.parent == store.trees else path.name
    return Damage(name, why, store.quarantine(path, why))
