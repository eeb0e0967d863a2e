"""A store of binary packages: a directory of ours, or one that is only read, over HTTP too.

    index.jsonl                            one signed statement a line
    packages/CATEGORY/NAME-VERSION/SHA256.gpkg.tar
    incoming/                              unverified: what is being written
    lock                                   who changes the index

A file lies under its own digest, so that two builders of one package cannot get into each other's way, and gets its name only
once it is on the disk; the index names it after that. A store that somebody serves needs nothing but these files.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import unquote, urlsplit

from compatlayer import lock
from compatlayer.binaries.entry import Entry, Line, read_line
from compatlayer.errors import LockHeldError, RepositoryError
from compatlayer.journal import fsync_directory, write_atomically

INDEX = "index.jsonl"
_BLOCK_BYTES = 1 << 20
_LOCK_WAIT_S = 60.0
# Whoever stores a package has named it in the index by then, or never will.
_UNDER_WAY_S = 3600.0


class UnusableError(RepositoryError):
    """A store cannot be read, or a package of it is not what its entry says."""


@dataclass(frozen=True, slots=True)
class Index:
    """The lines of an index, oldest first, and what in it could not be read."""

    lines: tuple[Line, ...] = ()
    unreadable: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)


class Place(Protocol):
    """Where binary packages can be had: a directory or a web server."""

    name: str

    def index(self) -> Index:
        """What it holds; nothing where nobody has stored anything yet. Raises ``UnusableError``."""

    def fetch(self, entry: Entry, target: Path) -> None:
        """Copy a package to ``target``, once it is known to be what the entry says. Raises ``UnusableError``."""


def open_place(text: str) -> Place:
    """The store that a path or URL (``file``, ``http``, ``https``) names."""
    scheme = urlsplit(text).scheme
    if scheme in ("http", "https"):
        from compatlayer.binaries.web import WebStore  # noqa: PLC0415  (requests takes its time)

        return WebStore(text)
    return Store(Path(unquote(urlsplit(text).path)) if scheme == "file" else Path(text))


def parse_index(content: bytes) -> Index:
    """The lines of an index; one that cannot be read is told and does not hide the others."""
    lines, unreadable = [], []
    for number, raw in enumerate(content.splitlines(), start=1):
        try:
            lines.append(read_line(raw))
        except ValueError as error:
            unreadable.append(f"line {number}: {error}"[:200])
    return Index(tuple(lines), tuple(unreadable))


class Store:
    """A store in a directory; ``name`` is what a person calls it."""

    def __init__(self, root: Path, name: str = "") -> None:
        self.root = root.absolute()
        self.name = name or str(root)

    def index(self) -> Index:
        try:
            return parse_index(self._read())
        except OSError as error:
            raise UnusableError(f"the index of {self.name} cannot be read", cause=str(error)) from error

    def fetch(self, entry: Entry, target: Path) -> None:
        try:
            with (self.root / entry.path).open("rb") as stream:
                copy(blocks(stream), entry, target)
        except OSError as error:
            raise UnusableError("it cannot be read", cause=error.strerror or str(error)) from error

    def add(self, packages: Sequence[tuple[Entry, bytes, Path]]) -> None:
        """Take in packages, each with its signed line and the file, which stays where it is.

        Raises ``RepositoryError`` when the store cannot be written, or nobody lets go of it.
        """
        try:
            incoming = self.root / "incoming"
            incoming.mkdir(parents=True, exist_ok=True)
            for entry, _, file in packages:
                self._bring(entry, file, incoming / f"{entry.sha256}.{os.getpid()}")
            with self._lock("storing binary packages"):
                self._extend([(entry, line) for entry, line, _ in packages])
        except OSError as error:
            raise RepositoryError(f"the binary packages in {self.name} cannot be written", cause=str(error)) from error

    def keep(self, wanted: Callable[[bytes], bool]) -> int:
        """Drop the lines of the index that are not ``wanted``, then every file that no line names; returns the bytes freed.

        Files of the last hour stay: somebody may be about to name them.
        """
        freed = 0
        try:
            with self._lock("pruning binary packages"):
                there = self._read()
                kept = [raw for raw in there.splitlines() if wanted(raw)]
                content = b"".join(line + b"\n" for line in kept)
                if content != there:
                    write_atomically(self.root / INDEX, content)
                named = {line.claimed.sha256 for line in parse_index(content)}
                for file in self.strangers(named):
                    freed += file.stat().st_size
                    file.unlink()
        except OSError as error:
            raise RepositoryError(f"the binary packages in {self.name} cannot be written", cause=str(error)) from error
        return freed

    def strangers(self, named: Collection[str]) -> list[Path]:
        """Files of packages that are older than an hour and whose digests are not among ``named``, and unfinished ones."""
        before = time.time() - _UNDER_WAY_S
        files = [*(self.root / "packages").rglob("*.gpkg.tar"), *(self.root / "incoming").glob("*")]
        return [
            file
            for file in files
            if file.is_file() and file.name.removesuffix(".gpkg.tar") not in named and file.stat().st_mtime < before
        ]

    def _bring(self, entry: Entry, file: Path, temporary: Path) -> None:
        """Give a file its name in the store: after its digest was compared once more, and it is on the disk."""
        place = self.root / entry.path
        if place.is_file() and digest_of(place) == entry.sha256:
            return
        try:
            with file.open("rb") as stream:
                copy(blocks(stream), entry, temporary, durable=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
        for directory in (place.parent, *place.parents[1:4]):
            fsync_directory(directory)

    def _extend(self, wanted: Sequence[tuple[Entry, bytes]]) -> None:
        """Add lines to the index, which is written anew as a whole: a reader sees the old or the new one."""
        there = self._read()
        known = {(line.claimed.key.digest, line.claimed.sha256) for line in parse_index(there)}
        fresh = [line for entry, line in wanted if (entry.key.digest, entry.sha256) not in known]
        if fresh:
            lines = [there.rstrip(b"\n"), *fresh] if there.strip() else fresh
            write_atomically(self.root / INDEX, b"\n".join(lines) + b"\n")

    def _read(self) -> bytes:
        try:
            return (self.root / INDEX).read_bytes()
        except FileNotFoundError:
            return b""

    @contextmanager
    def _lock(self, purpose: str) -> Iterator[None]:
        """The store's lock, waited for: others hold it for the time it takes to write one file."""
        deadline = time.monotonic() + _LOCK_WAIT_S
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(lock.hold(self.root / "lock", purpose))
                    break
                except LockHeldError:
                    if time.monotonic() >= deadline:
                        raise
                    time.sleep(0.1)
            yield


def blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """The content of a stream, piece by piece."""
    return iter(lambda: stream.read(_BLOCK_BYTES), b"")


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def copy(content: Iterable[bytes], entry: Entry, target: Path, *, durable: bool = False) -> None:
    """Write ``content`` to ``target``; what is not what the entry says is removed again, and ``UnusableError`` raised."""
    digest, size_bytes = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with target.open("wb") as out:
            for block in content:
                digest.update(block)
                size_bytes += len(block)
                out.write(block)
            _refuse_difference(entry, size_bytes, digest.hexdigest())
            if durable:
                out.flush()
                os.fsync(out.fileno())
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _refuse_difference(entry: Entry, size_bytes: int, sha256: str) -> None:
    if size_bytes != entry.size_bytes:
        raise UnusableError(f"it has {size_bytes} bytes instead of {entry.size_bytes}")
    if sha256 != entry.sha256:
        raise UnusableError("it was altered: its SHA-256 is not the one that was signed")
