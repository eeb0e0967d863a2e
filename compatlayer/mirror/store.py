"""The store: verified files under their names, everything else elsewhere.

    distfiles/    what may be given away, laid out as GLEP 75 says; this is what is served and exported
    private/      the same for files that RESTRICT keeps off mirrors: for our own builds only
    trees/        ebuild repositories at their pinned commits, as git bundles
    incoming/     unverified: what is being fetched
    quarantine/   what turned out not to be what it should be
    index.sqlite

A name below ``distfiles`` or ``private`` appears by a rename or link of a file whose every hash matched and that was fsynced.
"""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from compatlayer import lock
from compatlayer.errors import DistfileError
from compatlayer.journal import fsync_directory, write_atomically
from compatlayer.mirror import hashes, index, layout
from compatlayer.mirror.distfiles import NAME, Restrictions, Wanted
from compatlayer.mirror.index import Entry, Index, content_key, now_utc

PUBLIC, PRIVATE = "distfiles", "private"


class Store:
    """One mirror on disk. A context manager; reading needs no lock, changing it wants ``lock``."""

    def __init__(self, root: Path) -> None:
        """Open the store at ``root``, which is made if it is not there. Raises ``DistfileError`` when that is impossible."""
        self.root = root.absolute()
        self.incoming = self.root / "incoming"
        self.quarantined = self.root / "quarantine"
        self.trees = self.root / "trees"
        try:
            for directory in (self.root / PUBLIC, self.root / PRIVATE, self.incoming, self.quarantined, self.trees):
                directory.mkdir(parents=True, exist_ok=True)
            for area in (PUBLIC, PRIVATE):
                file = self.root / area / layout.FILE
                if not file.exists():
                    write_atomically(file, layout.TEXT.encode())
        except OSError as error:
            raise cannot_write(self.root, error) from error
        self.index = Index(self.root / index.FILE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.index.close()

    @contextmanager
    def lock(self, purpose: str) -> Iterator[None]:
        """Be the only one who changes the store. Raises ``LockHeldError``."""
        with lock.hold(self.root / "lock", purpose):
            yield

    def path(self, name: str, restrict: Restrictions) -> Path:
        """Where the file belongs."""
        return self.root / (PRIVATE if restrict.mirror else PUBLIC) / layout.OURS.path(name)

    def flat(self, name: str, restrict: Restrictions) -> Path:
        """Its second name, for those who know no GLEP 75."""
        return self.root / (PRIVATE if restrict.mirror else PUBLIC) / name

    def is_intact(self, entry: Entry) -> bool:
        """Whether the file is there under both names, and has not been written to since it was last hashed. Hashes nothing."""
        # As text: this is asked for every file of every run, and Path would take most of its time.
        area = f"{self.root}/{PRIVATE if entry.restrict.mirror else PUBLIC}"
        for path in (f"{area}/{layout.OURS.path(entry.name)}", f"{area}/{entry.name}"):
            try:
                found = os.lstat(path)
            except OSError:
                return False
            if not stat.S_ISREG(found.st_mode) or found.st_size != entry.size_bytes or found.st_mtime_ns != entry.mtime_ns:
                return False
        return True

    def has(self, wanted: Wanted, entry: Entry | None) -> bool:
        """Whether the store holds just this file, at the right place, by what the index (``entry``) remembers."""
        return (
            entry is not None
            and entry.size_bytes == wanted.size_bytes
            and wanted.hashes.items() <= entry.hashes.items()
            and entry.restrict.mirror == wanted.restrict.mirror
            and self.is_intact(entry)
        )

    def is_blank(self) -> bool:
        """Whether no file lies in it yet, not even one in quarantine."""
        if self.index.entries() or any(self.quarantined.iterdir()):
            return False
        return next(self.names_on_disk(), None) is None

    def settle(self, wanted: Wanted) -> bool:
        """Make the store hold ``wanted`` from what lies in it already; True when that worked.

        A file that the index does not know, or that was touched, is hashed; one in the other area is moved; one of the same
        content gets a second name. What is not what it should be goes to quarantine; what lies there and is right comes back: a
        Manifest may mean another file than the last one did.
        """
        hashed = layout.OURS.path(wanted.name)
        areas = (PRIVATE, PUBLIC) if wanted.restrict.mirror else (PUBLIC, PRIVATE)
        for path in (f"{self.root}/{area}/{name}" for area in areas for name in (hashed, wanted.name)):
            if os.path.lexists(path) and self._adopt(Path(path), wanted, self.index.get(wanted.name)):
                return True
        return self._link_same_content(wanted) or self._rescue(wanted)

    def accept(self, temporary: Path, wanted: Wanted, digests: Mapping[str, str], *, origin: str, url: str) -> Entry:
        """Bring a file to the disk, then give it its name. ``digests`` are all of ``wanted.hashes``, computed by the caller.

        Raises ``ValueError`` should they differ after all, ``OSError`` when the file system refuses.
        """
        descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            status = os.fstat(descriptor)
            wrong = hashes.difference(status.st_size, digests, wanted.size_bytes, wanted.hashes)
            if wrong or not digests:
                raise ValueError(f"{wanted.name} is not to be accepted: {wrong or 'nothing was computed'}")
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        at = now_utc()
        entry = Entry(
            name=wanted.name, size_bytes=status.st_size, hashes=dict(digests), mtime_ns=status.st_mtime_ns, origin=origin,
            url=url, fetched_at_utc=at, verified_at_utc=at, restrict=wanted.restrict,
        )  # fmt: skip
        self.index.record(entry)
        place = self.path(wanted.name, wanted.restrict)
        try:
            temporary.replace(place)
        except FileNotFoundError:  # the first file of its directory
            place.parent.mkdir(exist_ok=True)
            temporary.replace(place)
        _link(place, self.flat(wanted.name, wanted.restrict))
        return entry

    def quarantine(self, path: Path, why: str) -> Path:
        """Move a file out of the way, under a name that tells when and why; returns where it is now. Two names of one file are
        one there.
        """
        for there in self._aside(path.name):
            if os.path.samestat(there.lstat(), path.lstat()):
                path.unlink()
                return there
        stamp = now_utc().replace(":", "").replace("-", "")
        reason = "".join(letter if letter.isalnum() else "-" for letter in why)[:60].strip("-")
        target = self.quarantined / f"{path.name[:180]}.{stamp}.{reason}"
        number = 0
        while target.exists():
            number += 1
            target = target.with_name(f"{target.name}.{number}")
        path.replace(target)
        return target

    def remove(self, entry: Entry) -> None:
        """Delete a file and its row."""
        self.path(entry.name, entry.restrict).unlink(missing_ok=True)
        self.flat(entry.name, entry.restrict).unlink(missing_ok=True)
        self.index.forget(entry.name)

    def names_on_disk(self) -> Iterator[tuple[Path, str, Restrictions]]:
        """Every name below ``distfiles`` and ``private``: its path, the distfile's name, and which area it is in."""
        for area, restrict in ((PUBLIC, Restrictions()), (PRIVATE, Restrictions(mirror=True))):
            for directory, _, files in os.walk(self.root / area):
                for name in sorted(files):
                    if name != layout.FILE or Path(directory) != self.root / area:
                        yield Path(directory, name), name, restrict

    def strangers(self) -> list[Path]:
        """Files that the index does not know, or that lie where they do not belong; nobody vouches for them."""
        known = self.index.entries()
        found = []
        for path, name, restrict in self.names_on_disk():
            entry = known.get(name)
            right = entry is not None and entry.restrict.mirror == restrict.mirror
            if not right or path not in (self.path(name, restrict), self.flat(name, restrict)):
                found.append(path)
        return found

    def sync(self) -> None:
        """Make the names that appeared last a thing that survives a power cut."""
        for area in (PUBLIC, PRIVATE):
            for directory in (self.root / area, *filter(Path.is_dir, (self.root / area).iterdir())):
                fsync_directory(directory)

    def _adopt(self, path: Path, wanted: Wanted, entry: Entry | None) -> bool:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            self.quarantine(path, "not a file")
            return False
        size, digests = hashes.of_file(path, wanted.hashes)
        wrong = hashes.difference(size, digests, wanted.size_bytes, wanted.hashes)
        if wrong:
            self.quarantine(path, wrong)
            return False
        at = now_utc()
        base = entry or Entry(wanted.name, size, digests, 0, "found in the store", "", at, at)
        self.index.record(
            replace(
                base, size_bytes=size, hashes=digests, mtime_ns=found.st_mtime_ns, verified_at_utc=at, restrict=wanted.restrict
            )
        )
        place, flat = self.path(wanted.name, wanted.restrict), self.flat(wanted.name, wanted.restrict)
        place.parent.mkdir(exist_ok=True)
        _link(path, place)
        _link(place, flat)
        other = replace(wanted.restrict, mirror=not wanted.restrict.mirror)
        for stray in (self.path(wanted.name, other), self.flat(wanted.name, other)):
            stray.unlink(missing_ok=True)
        return True

    def _aside(self, name: str) -> list[Path]:
        """What lies in quarantine that was called ``name``, or a name that begins so."""
        return sorted(self.quarantined.glob(f"{glob.escape(name[:180])}.*"))

    def _rescue(self, wanted: Wanted) -> bool:
        for path in self._aside(wanted.name):
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_size != wanted.size_bytes:
                continue
            size, digests = hashes.of_file(path, wanted.hashes)
            if hashes.difference(size, digests, wanted.size_bytes, wanted.hashes) is None:
                self.accept(path, wanted, digests, origin="found in the store", url="")
                return True
        return False

    def _link_same_content(self, wanted: Wanted) -> bool:
        for entry in self.index.with_content(content_key(wanted.size_bytes, wanted.hashes)):
            if entry.name == wanted.name:
                continue
            if self.is_intact(entry) and all(entry.hashes.get(name) == value for name, value in wanted.hashes.items()):
                place = self.path(wanted.name, wanted.restrict)
                at = now_utc()
                self.index.record(
                    replace(
                        entry,
                        name=wanted.name,
                        origin="same content",
                        url=entry.name,
                        fetched_at_utc=at,
                        restrict=wanted.restrict,
                    )
                )
                place.parent.mkdir(exist_ok=True)
                _link(self.path(entry.name, entry.restrict), place)
                _link(place, self.flat(wanted.name, wanted.restrict))
                return True
        return False


def cannot_write(path: Path, error: OSError) -> DistfileError:
    """The error for a store that cannot be written to; names a full disk as such."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DistfileError(
            f"no space is left for the mirror at {path}",
            cause=str(error),
            hint="make room, or put the state directory elsewhere with --state; then run the same command again",
        )
    return DistfileError(f"the mirror at {path} cannot be written", cause=str(error), hint="check its owner and permissions")


def is_name(name: str) -> bool:
    """Whether a distfile may be called so."""
    return NAME.fullmatch(name) is not None and name != layout.FILE


def _link(source: Path, target: Path) -> None:
    """Make ``target`` a name of ``source``'s file, replacing what is there, atomically."""
    if source == target:
        return
    try:
        os.link(source, target)
    except FileExistsError:
        if source.samefile(target):
            return
        aside = target.with_name(f".{target.name[:200]}.{os.getpid()}.link")
        aside.unlink(missing_ok=True)
        os.link(source, aside)
        aside.replace(target)
