"""What the mirror lacks, what only it still has, what nobody needs any more; and pruning the latter."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import requests

from compatlayer import trees
from compatlayer.mirror import sources, transfer
from compatlayer.mirror.distfiles import Wanted, Wants
from compatlayer.mirror.index import Entry, now_utc
from compatlayer.mirror.schedule import Patience
from compatlayer.mirror.store import Store
from compatlayer.mirror.tree_bundles import TreeBundles
from compatlayer.trees import Pin

THERE, GONE, UNKNOWN = "there", "gone", "unknown"
GRACE_DAYS = 30
_TREES = f"{trees.DIRECTORY}/"


@dataclass(frozen=True, slots=True)
class Unneeded:
    """A file that no declared layer and no published revision needs, since when, and whether its grace period is over.

    ``trees/NAME`` is a git bundle.
    """

    name: str
    size_bytes: int
    since_utc: str
    is_due: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that only published revisions need, and which; ``entry`` is None when the store does not have it."""

    name: str
    entry: Entry | None
    revisions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trees:
    """The names of the git bundles that are needed: those that are there, and those that are not."""

    held: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """The store beside what is wanted. ``kept`` are files that only published revisions still need."""

    wants: Wants
    held: tuple[Entry, ...]
    missing: tuple[Wanted, ...]
    sole_copies: tuple[Entry, ...]
    unneeded: tuple[Unneeded, ...]
    kept: tuple[Kept, ...]
    trees: Trees
    leftovers: tuple[Path, ...]
    probed: bool
    grace_days: int

    @property
    def due(self) -> tuple[Unneeded, ...]:
        """What pruning would delete from the store."""
        return tuple(one for one in self.unneeded if one.is_due)


def look(
    store: Store,
    wants: Wants,
    *,
    pins: Sequence[Pin] = (),
    revisions: Mapping[str, tuple[str, ...]] | None = None,
    grace_days: int = GRACE_DAYS,
    now: datetime | None = None,
) -> Status:
    """Compare, and remember since when a file is needed by nobody: its grace period begins when that is first seen.

    ``wants`` and ``pins`` must be everything that is declared, or what was left out would count as unneeded; ``revisions`` is
    what ``published.hold`` gave, the names that a person knows the index's holders by.
    """
    now = now or datetime.now(UTC)
    entries = store.index.entries()
    holders = store.index.kept()
    store.index.set_needs(wants, alone=True)
    unneeded = []
    with store.index.transaction():
        for entry in entries.values():
            needed = entry.name in wants.files or entry.name in holders
            since = None if needed else entry.unneeded_since_utc or now.strftime("%Y-%m-%dT%H:%M:%SZ")
            if since != entry.unneeded_since_utc:
                store.index.record(replace(entry, unneeded_since_utc=since))
            if since is not None:
                unneeded.append(Unneeded(entry.name, entry.size_bytes, since, _is_due(since, grace_days, now)))
    held, unneeded_trees = _trees(store, pins, holders, grace_days, now)
    return Status(
        wants=wants,
        held=tuple(entries[name] for name in wants.files if name in entries and store.has(wants.files[name], entries[name])),
        missing=tuple(wanted for name, wanted in wants.files.items() if not store.has(wanted, entries.get(name))),
        sole_copies=tuple(entry for entry in entries.values() if entry.upstream == GONE),
        unneeded=(*unneeded, *unneeded_trees),
        trees=held,
        kept=tuple(_kept(wants, entries, holders, revisions or {})),
        leftovers=tuple(_leftovers(store, holders, now - timedelta(days=grace_days))),
        probed=all(entry.probed_at_utc for entry in entries.values()),
        grace_days=grace_days,
    )


def probe(store: Store, wants: Wants, names: Mapping[str, tuple[str, ...]], patience: Patience, *, jobs: int = 8) -> None:
    """Ask every place but our own mirrors whether it still has each file; the index keeps the answers.

    ``gone``: every place says 404 or 410. ``unknown``: some place did not say, and none has it.
    """
    held = [
        (entry, places)
        for name, entry in store.index.entries().items()
        if name in wants.files
        and (
            places := [
                one.url for one in sources.of(wants.files[name], (), names) if urlsplit(one.url).scheme in ("http", "https")
            ]
        )
    ]
    with ThreadPoolExecutor(jobs, thread_name_prefix="probe") as pool:
        answers = pool.map(lambda one: _ask(one[1], patience), held)
        with store.index.transaction():
            for (entry, _), answer in zip(held, list(answers), strict=True):
                store.index.record(replace(entry, upstream=answer, probed_at_utc=now_utc()))


def prune(store: Store, found: Status) -> int:
    """Delete what is due, old partial downloads and old quarantined files; returns the number of bytes that were freed.

    Raises ``LockHeldError``. What ``found`` says is checked again: a file that somebody wants by now stays.
    """
    freed = 0
    with store.lock("mirror prune"):
        holders = store.index.kept()
        bundles = TreeBundles(store)
        for one in found.due:
            if one.name in holders:
                continue
            if one.name.startswith(_TREES):
                freed += bundles.remove(one.name.removeprefix(_TREES))
                continue
            entry = store.index.get(one.name)
            if entry is not None and entry.unneeded_since_utc is not None:
                store.remove(entry)
                freed += entry.size_bytes
        for path in found.leftovers:
            try:
                freed += path.lstat().st_size
                path.unlink()
            except FileNotFoundError:
                continue
        store.sync()
    return freed


def _ask(urls: Sequence[str], patience: Patience) -> str:
    answers = set()
    with transfer.new_session() as session:
        for url in urls:
            answers.add(_ask_one(session, url, patience))
            if THERE in answers:
                return THERE
    return GONE if answers == {GONE} else UNKNOWN


def _ask_one(session: requests.Session, url: str, patience: Patience) -> str:
    timeout = (patience.connect_s, patience.stall_s)
    try:
        answer = session.head(url, timeout=timeout, allow_redirects=True)
        if answer.status_code in (403, 405, 501):  # some servers do not let one ask without fetching
            with session.get(url, timeout=timeout, stream=True, headers={"Range": "bytes=0-0"}) as answer:
                pass
    except (requests.RequestException, OSError):
        return UNKNOWN
    if answer.status_code in (200, 206):
        return THERE
    return GONE if answer.status_code in (404, 410) else UNKNOWN


def _trees(
    store: Store, pins: Sequence[Pin], holders: Collection[str], grace_days: int, now: datetime
) -> tuple[Trees, list[Unneeded]]:
    """The git bundles beside what is pinned; remembers since when one is needed by nobody."""
    bundles = TreeBundles(store)
    wanted = sorted({pin.bundle.name for pin in pins})
    known = bundles.known()
    spare = [name for name in known if name not in wanted and f"{_TREES}{name}" not in holders]
    before = store.index.unneeded_trees()
    since = {name: before.get(name, now.strftime("%Y-%m-%dT%H:%M:%SZ")) for name in spare}
    if since != before:
        store.index.set_unneeded_trees(since)
    held = tuple(name for name in wanted if bundles.has(name))
    unneeded = [
        Unneeded(f"{_TREES}{name}", known[name].size_bytes, at, _is_due(at, grace_days, now)) for name, at in since.items()
    ]
    return Trees(held, tuple(name for name in wanted if name not in held)), unneeded


def _is_due(since_utc: str, grace_days: int, now: datetime) -> bool:
    return _time(since_utc) + timedelta(days=grace_days) <= now


def _kept(
    wants: Wants, entries: Mapping[str, Entry], holders: Mapping[str, Sequence[str]], revisions: Mapping[str, tuple[str, ...]]
) -> Iterator[Kept]:
    for name, roots in sorted(holders.items()):
        if name not in wants.files and not name.startswith(_TREES):
            named = dict.fromkeys(revision for root in roots for revision in revisions.get(root, ()))
            yield Kept(name, entries.get(name), tuple(named))


def _leftovers(store: Store, kept: Collection[str], before: datetime) -> Iterator[Path]:
    """Partial downloads that nobody has gone on with, and quarantined files that nobody has asked for.

    One called like a file of a published revision stays: should the index have been lost, it may well be that file.
    """
    for directory in (store.incoming, store.quarantined):
        for path in sorted(directory.iterdir()):
            # Of a quarantined file, ctime tells when it was put there; its content's time may be years ago.
            is_old = max(path.lstat().st_mtime, path.lstat().st_ctime) < before.timestamp()
            if is_old and path.is_file() and not any(path.name.startswith(f"{name}.") for name in kept):
                yield path


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
