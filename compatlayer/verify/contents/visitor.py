"""Every entry of the tree against its record in CONTENTS, and against the tree's manifest where there is one."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence

from compatlayer.tree import entries
from compatlayer.tree.manifest import Manifest
from compatlayer.verify.contents.findings import (
    LOOK,
    ConfigurationChanged,
    DiffersFromManifest,
    FileChanged,
    FileUnreadable,
    FileUnstable,
    FileWrongType,
    IntegrityFinding,
    LinkChanged,
    ModeChanged,
)
from compatlayer.verify.reading import Kind, Record, Seen, Visitor
from compatlayer.verify.reading.protection import Protection

# What OSTree gives every file: the time says nothing there.
NO_TIME_S = (0, 1)
_MD5 = hashlib.md5
TYPES = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}
WANTED = {
    Kind.FILE: (stat.S_IFREG,),
    Kind.DIRECTORY: (stat.S_IFDIR,),
    Kind.SYMLINK: (stat.S_IFLNK,),
    Kind.FIFO: (stat.S_IFIFO,),
    Kind.DEVICE: (stat.S_IFBLK, stat.S_IFCHR),
}


class IntegrityVisitor(Visitor):
    """Compares entries with their records; what differs only in time is noted as ``(package, path)``."""

    reads = True
    remembers = True

    def __init__(self, manifest: Manifest | None, protection: Protection) -> None:
        super().__init__()
        self.sees_unowned = manifest is not None
        self._manifest = manifest
        self._protection = protection
        self._digest = hashlib.md5(usedforsecurity=False)
        self._size_bytes = 0

    def entry(self, seen: Seen) -> None:
        if self._manifest is not None:
            self._against_manifest(self._manifest, seen)
        for record in seen.records:
            if stat.S_IFMT(seen.status.st_mode) not in WANTED[record.kind]:
                self._wrong_type(seen, record)
            elif record.kind is Kind.SYMLINK:
                if seen.target == record.value:
                    self._time(seen, record)
                else:
                    self._differs(LinkChanged, seen, record, f"a link to {record.value}", f"a link to {seen.target}")

    def wants(self, seen: Seen) -> bool:
        for record in seen.records:
            if record.kind is Kind.FILE:
                return True
        return not seen.records and self._manifest is not None and self._manifest.get(seen.path) is not None

    def content(self, seen: Seen, chunk: bytes, offset: int, *, is_last: bool) -> None:
        if is_last and not offset:
            # Nearly every file: no state, and the constructor that need not look an algorithm up by name.
            records = seen.records
            if len(records) == 1 and len(records[0].value) == 32:
                digest = _MD5(chunk, usedforsecurity=False).hexdigest()
                if digest == records[0].value:
                    self._time(seen, records[0])
                    return
            else:
                digest = hashlib.new(_algorithm(seen), chunk, usedforsecurity=False).hexdigest()
            self._compare(seen, len(chunk), digest)
            return
        if not offset:
            self._digest = hashlib.new(_algorithm(seen), usedforsecurity=False)
        self._digest.update(chunk)
        if is_last:
            self._compare(seen, offset + len(chunk), self._digest.hexdigest())

    def failed(self, seen: Seen, error: OSError) -> None:
        self.found.append(
            FileUnreadable(
                package=seen.package,
                path=seen.path,
                expected="a file that can be read",
                actual=error.strerror or str(error),
                remedy="verify as the owner of the layer, and look at the system's log",
            )
        )

    def vanished(self, path: str, records: Sequence[Record]) -> None:
        owner = records[0].package if records else ""
        self.found.append(_unstable(owner, path, "gone, or replaced, since its directory was listed"))

    def _compare(self, seen: Seen, size_bytes: int, digest: str) -> None:
        if not seen.records:
            recorded = self._manifest.get(seen.path) if self._manifest is not None else None
            if recorded is not None and recorded.sha256 != digest and not self._unstable(seen, size_bytes):
                self._not_as_recorded(seen.path, f"SHA-256 {recorded.sha256}", f"SHA-256 {digest}")
            return
        for record in seen.records:
            if record.kind is not Kind.FILE:
                continue
            if record.value == digest:
                self._time(seen, record)
            elif not self._unstable(seen, size_bytes):
                name = "SHA-1" if len(record.value) == 40 else "MD5"
                found = f"{name} {digest}" if len(digest) == len(record.value) else f"a digest of another kind, {digest}"
                self._differs(FileChanged, seen, record, f"{name} {record.value}", found)

    def _unstable(self, seen: Seen, size_bytes: int) -> bool:
        """Whether the file was written to while it was read; asked only of those with a wrong digest."""
        now = os.fstat(seen.descriptor)
        if size_bytes == seen.status.st_size and now.st_mtime_ns == seen.status.st_mtime_ns:
            return False
        self.found.append(_unstable(seen.package, seen.path, "written to while it was read"))
        return True

    def _time(self, seen: Seen, record: Record) -> None:
        found = int(seen.status.st_mtime)
        # What was published is told by its manifest, which has no times: OSTree keeps none, and gives links that of the checkout.
        if record.mtime_s and found != record.mtime_s and found not in NO_TIME_S and self._manifest is None:
            self.found.append((record.package, seen.path))

    def _wrong_type(self, seen: Seen, record: Record) -> None:
        expected = TYPES[WANTED[record.kind][0]]
        actual = TYPES.get(stat.S_IFMT(seen.status.st_mode), "something without a name")
        if seen.target:
            actual += f" to {seen.target}"
        self._differs(FileWrongType, seen, record, expected, actual)

    def _differs(self, kind: type[IntegrityFinding], seen: Seen, record: Record, expected: str, actual: str) -> None:
        if seen.path in self._protection:
            kind = ConfigurationChanged
        self.found.append(kind(package=record.package, path=seen.path, expected=expected, actual=actual, remedy=LOOK))

    def _against_manifest(self, manifest: Manifest, seen: Seen) -> None:
        recorded = manifest.get(seen.path)
        if recorded is None:
            return
        kinds = {entries.Kind.FILE: stat.S_IFREG, entries.Kind.DIRECTORY: stat.S_IFDIR, entries.Kind.SYMLINK: stat.S_IFLNK}
        there = stat.S_IFMT(seen.status.st_mode)
        if there != kinds[recorded.kind]:
            self._not_as_recorded(seen.path, TYPES[kinds[recorded.kind]], TYPES.get(there, "something without a name"))
        elif recorded.kind is entries.Kind.SYMLINK:
            if not seen.records and seen.target != recorded.target:
                self._not_as_recorded(seen.path, f"a link to {recorded.target}", f"a link to {seen.target}")
        elif (mode := stat.S_IMODE(seen.status.st_mode)) != recorded.mode:
            self.found.append(
                ModeChanged(
                    package=seen.package,
                    path=seen.path,
                    expected=f"mode {recorded.mode:04o}",
                    actual=f"mode {mode:04o}",
                    remedy=f"chmod {recorded.mode:04o} it, or publish the change",
                )
            )

    def _not_as_recorded(self, path: str, expected: str, actual: str) -> None:
        self.found.append(DiffersFromManifest(path=path, expected=expected, actual=actual, remedy=LOOK))


def _algorithm(seen: Seen) -> str:
    """MD5, as Portage records; SHA-1, as it once did; SHA-256 for what only a manifest knows."""
    for record in seen.records:
        if record.kind is Kind.FILE:
            return "sha1" if len(record.value) == 40 else "md5"
    return "sha256"


def _unstable(package: str, path: str, actual: str) -> FileUnstable:
    return FileUnstable(
        package=package,
        path=path,
        expected="a tree that nobody changes",
        actual=actual,
        remedy="wait until it is done; verify again",
    )
