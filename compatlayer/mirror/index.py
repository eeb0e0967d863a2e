"""The mirror's index: where each file came from, what it must be, and who needs it. SQLite, one file, safe to lose.

Files are the truth: a lost index is made again by ``mirror fill``, which re-hashes what it finds. A row is committed before the
file gets its name, so that a file without a row is one that nobody has vouched for.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compatlayer.errors import DistfileError
from compatlayer.mirror.distfiles import Need, Restrictions, Wants

FILE = "index.sqlite"
_VERSION = 2
_SCHEMA = """
create table file (
    name text primary key, size_bytes integer not null, hashes text not null, content text not null, mtime_ns integer not null,
    origin text not null, url text not null, fetched_at_utc text not null, verified_at_utc text not null,
    restrict_words text not null, unneeded_since_utc text, upstream text, probed_at_utc text
) without rowid;
create index file_content on file (content);
create table need (name text, part text, package text, primary key (name, part, package)) without rowid;
create index need_part on need (part);
create table kept (holder text, name text, primary key (holder, name)) without rowid;
"""
# Since when a git bundle of an ebuild tree is needed by nobody; what it must be, the trees' Manifest says.
_SINCE_2 = "create table unneeded_tree (name text primary key, since_utc text not null) without rowid;"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the store.

    ``origin`` is that of a ``sources.Source``, or ``same content``, ``bundle``, ``found in the store``; ``upstream`` what the
    last probe found: ``there``, ``gone`` or ``unknown``. ``mtime_ns`` is the file's when it was last hashed. Times are UTC.
    """

    name: str
    size_bytes: int
    hashes: Mapping[str, str]
    mtime_ns: int
    origin: str
    url: str
    fetched_at_utc: str
    verified_at_utc: str
    restrict: Restrictions = field(default_factory=Restrictions)
    unneeded_since_utc: str | None = None
    upstream: str | None = None
    probed_at_utc: str | None = None

    @property
    def content(self) -> str:
        """What equal files have in common, and others do not."""
        return content_key(self.size_bytes, self.hashes)


def content_key(size_bytes: int, hashes: Mapping[str, str]) -> str:
    """The size and the first strong hash."""
    for name in ("BLAKE2B", "SHA512"):
        if name in hashes:
            return f"{name}:{hashes[name]}:{size_bytes}"
    name = min(hashes, default="")
    return f"{name}:{hashes.get(name, '')}:{size_bytes}"


def now_utc() -> str:
    """The time as the index writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Index:
    """The index in one file; any thread may call, one at a time gets through."""

    def __init__(self, path: Path) -> None:
        """Open or make it. Raises ``DistfileError`` for a file that is not an index of this version."""
        self.path = path
        self._lock = threading.RLock()
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
            self._database.execute("pragma journal_mode=wal")
            self._database.execute("pragma synchronous=normal")
            self._prepare()
        except sqlite3.Error as error:
            raise _damaged(path, error) from error

    def close(self) -> None:
        """Write everything to the one file, and close it."""
        with self._lock:
            self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block's changes, or none."""
        with self._lock:
            if self._database.in_transaction:
                yield self._database
                return
            self._database.execute("begin immediate")
            try:
                yield self._database
            except BaseException:
                self._database.execute("rollback")
                raise
            self._database.execute("commit")

    def record(self, entry: Entry) -> None:
        """Add or replace a file."""
        row = (
            entry.name, entry.size_bytes, json.dumps(dict(entry.hashes), sort_keys=True), entry.content, entry.mtime_ns,
            entry.origin, entry.url, entry.fetched_at_utc, entry.verified_at_utc, str(entry.restrict), entry.unneeded_since_utc,
            entry.upstream, entry.probed_at_utc,
        )  # fmt: skip
        with self._lock:  # one statement is a transaction by itself
            self._database.execute(_RECORD, row)

    def forget(self, name: str) -> None:
        """Remove a file's row; who needs it stays known."""
        with self.transaction() as database:
            database.execute("delete from file where name = ?", (name,))

    def get(self, name: str) -> Entry | None:
        """The row of one file."""
        return next(iter(self._select("where name = ?", (name,))), None)

    def entries(self) -> dict[str, Entry]:
        """All rows by name, in order of names."""
        return {entry.name: entry for entry in self._select("order by name")}

    def with_content(self, content: str) -> list[Entry]:
        """The files that hold the same bytes."""
        return self._select("where content = ? order by name", (content,))

    def set_needs(self, wants: Wants, *, alone: bool = False) -> None:
        """Say anew what the parts of ``wants`` need, or add to it when that is not the whole; those of other parts stay, unless
        there are none (``alone``).
        """
        rows = [(file.name, need.part, need.package) for file in wants.files.values() for need in file.needs]
        if not alone and self._says_already(wants, rows):
            return
        with self.transaction() as database:
            if alone:
                database.execute("delete from need")
            elif wants.whole:
                database.executemany("delete from need where part = ?", [(part,) for part in wants.parts])
            database.executemany("insert or ignore into need values (?, ?, ?)", rows)
            query = "update file set unneeded_since_utc = null where name = ? and unneeded_since_utc is not null"
            database.executemany(query, [(name,) for name in wants.files])

    def _says_already(self, wants: Wants, rows: Sequence[tuple[str, str, str]]) -> bool:
        """Whether ``set_needs`` would change nothing, as in most runs: reading takes a fifth of the time of writing."""
        with self._lock:
            there = set(self._database.execute("select name, part, package from need"))
            unneeded = {name for (name,) in self._database.execute("select name from file where unneeded_since_utc is not null")}
        parts = set(wants.parts)
        left = {row for row in there if row[1] in parts} if wants.whole else set()
        return there.issuperset(rows) and left.issubset(rows) and unneeded.isdisjoint(wants.files)

    def needs(self) -> dict[str, tuple[Need, ...]]:
        """Who needs each file, by the files' names."""
        found: dict[str, list[Need]] = {}
        with self._lock:
            for name, part, package in self._database.execute("select * from need order by name, part, package"):
                found.setdefault(name, []).append(Need(part, package))
        return {name: tuple(needs) for name, needs in found.items()}

    def keep(self, holder: str, names: Iterable[str]) -> None:
        """Hold files for something that outlives the declaration: a published revision."""
        with self.transaction() as database:
            database.executemany("insert or ignore into kept values (?, ?)", [(holder, name) for name in names])

    def holders(self) -> tuple[str, ...]:
        """Everything that holds a file."""
        with self._lock:
            return tuple(holder for (holder,) in self._database.execute("select distinct holder from kept order by holder"))

    def let_go(self, holder: str) -> None:
        """The holder is gone."""
        with self.transaction() as database:
            database.execute("delete from kept where holder = ?", (holder,))

    def kept(self) -> dict[str, tuple[str, ...]]:
        """The holders of each kept file."""
        found: dict[str, list[str]] = {}
        with self._lock:
            for holder, name in self._database.execute("select holder, name from kept order by holder"):
                found.setdefault(name, []).append(holder)
        return {name: tuple(holders) for name, holders in found.items()}

    def unneeded_trees(self) -> dict[str, str]:
        """Since when (UTC) each git bundle is needed by nobody, by name."""
        with self._lock:
            return dict(self._database.execute("select name, since_utc from unneeded_tree"))

    def set_unneeded_trees(self, since_utc: Mapping[str, str]) -> None:
        """Say that anew, for all of them."""
        with self.transaction() as database:
            database.execute("delete from unneeded_tree")
            database.executemany("insert into unneeded_tree values (?, ?)", list(since_utc.items()))

    def _select(self, tail: str, values: Sequence[object] = ()) -> list[Entry]:
        with self._lock:
            rows = self._database.execute(f"select {_COLUMNS} from file {tail}", values).fetchall()  # noqa: S608
        # The hashes of all as one text: the parser is called once, not for each.
        hashes = json.loads(f"[{','.join(row[_HASHES] for row in rows)}]")
        return [_entry(row, parsed) for row, parsed in zip(rows, hashes, strict=True)]

    def _prepare(self) -> None:
        (version,) = self._database.execute("pragma user_version").fetchone()
        if version in (0, 1):
            made = _SCHEMA if version == 0 else ""
            self._database.executescript(f"begin; {made} {_SINCE_2} pragma user_version = {_VERSION}; commit;")
        elif version != _VERSION:
            raise DistfileError(
                f"{self.path} was written by another version of compatlayer",
                cause=f"its format is {version}, this one knows {_VERSION}",
                hint="delete it: `compatlayer mirror fill` makes it again from the files",
            )


_RECORD = f"insert or replace into file values ({', '.join('?' * (len(fields(Entry)) + 1))})"  # noqa: S608  (and the content)
_FREE = Restrictions()
_COLUMNS = ", ".join("restrict_words" if one.name == "restrict" else one.name for one in fields(Entry))


_HASHES = [one.name for one in fields(Entry)].index("hashes")


def _entry(row: Sequence[Any], hashes: Mapping[str, str]) -> Entry:
    """An entry of the columns in ``_COLUMNS``; every run reads all rows, so nothing here is done by name."""
    name, size_bytes, _, mtime_ns, origin, url, fetched, verified, words, unneeded_since, upstream, probed = row
    restrict = Restrictions("fetch" in words, "mirror" in words, "bindist" in words) if words else _FREE
    return Entry(name, size_bytes, hashes, mtime_ns, origin, url, fetched, verified, restrict, unneeded_since, upstream, probed)


def _damaged(path: Path, error: sqlite3.Error) -> DistfileError:
    return DistfileError(
        f"the mirror's index {path} cannot be used",
        cause=str(error),
        hint="if it is damaged, delete it: `compatlayer mirror fill` makes it again from the files",
    )
