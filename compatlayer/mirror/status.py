"""What the mirror lacks, what only it still has, what nobody needs any more; and pruning the latter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import requests

from compatlayer.mirror import sources, transfer
from compatlayer.mirror.distfiles import Wanted, Wants
from compatlayer.mirror.index import Entry, now_utc
from compatlayer.mirror.schedule import Patience
from compatlayer.mirror.store import Store

THERE, GONE, UNKNOWN = "there", "gone", "unknown"
GRACE_DAYS = 30


@dataclass(frozen=True, slots=True)
class Unneeded:
    """A file that no declared layer and no published revision needs, since when, and whether its grace period is over."""

    entry: Entry
    since_utc: str
    is_due: bool


@dataclass(frozen=True, slots=True)
class Status:
    """The store beside what is wanted. ``kept`` are files that only a published revision still needs."""

    wants: Wants
    held: tuple[Entry, ...]
    missing: tuple[Wanted, ...]
    sole_copies: tuple[Entry, ...]
    unneeded: tuple[Unneeded, ...]
    kept: tuple[Entry, ...]
    leftovers: tuple[Path, ...]
    probed: bool
    grace_days: int

    @property
    def due(self) -> tuple[Unneeded, ...]:
        """What pruning would delete from the store."""
        return tuple(one for one in self.unneeded if one.is_due)


def look(store: Store, wants: Wants, *, grace_days: int = GRACE_DAYS, now: datetime | None = None) -> Status:
    """Compare, and remember since when a file is needed by nobody: its grace period begins when that is first seen.

    ``wants`` must be everything that is declared, or files of what was left out would count as unneeded.
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
                is_due = _time(since) + timedelta(days=grace_days) <= now
                unneeded.append(Unneeded(replace(entry, unneeded_since_utc=since), since, is_due))
    return Status(
        wants=wants,
        held=tuple(entries[name] for name in wants.files if name in entries and store.has(wants.files[name], entries[name])),
        missing=tuple(wanted for name, wanted in wants.files.items() if not store.has(wanted, entries.get(name))),
        sole_copies=tuple(entry for entry in entries.values() if entry.upstream == GONE),
        unneeded=tuple(unneeded),
        kept=tuple(entry for entry in entries.values() if entry.name in holders and entry.name not in wants.files),
        leftovers=_leftovers(store, now - timedelta(days=grace_days)),
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
        for one in found.due:
            entry = store.index.get(one.entry.name)
            if entry is None or entry.unneeded_since_utc is None or entry.name in holders:
                continue
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


def _leftovers(store: Store, before: datetime) -> tuple[Path, ...]:
    """Partial downloads that nobody has gone on with, and quarantined files that nobody has asked for."""
    return tuple(
        path
        for directory in (store.incoming, store.quarantined)
        for path in sorted(directory.iterdir())
        # Of a quarantined file, ctime tells when it was put there; its content's time may be years ago.
        if path.is_file() and max(path.lstat().st_mtime, path.lstat().st_ctime) < before.timestamp()
    )


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
