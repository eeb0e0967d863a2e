"""The check ``integrity``: every path in every CONTENTS is there as recorded, and nothing else is.

Portage records a type, a file's MD5 digest and modification time, and a link's target (``reading.ownership``). Modes, and the
content of files that no package owns, are compared where a tree manifest records them.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from compatlayer.findings import Finding, Severity
from compatlayer.tree import entries
from compatlayer.tree.beneath import Beneath
from compatlayer.tree.manifest import Manifest
from compatlayer.verify.reading import Kind, Record, Seen, Trouble, Visitor, unowned
from compatlayer.verify.reading.expected import PENDING, ExpectedPaths
from compatlayer.verify.reading.protection import Protection, protection_of
from compatlayer.verify.registry import Context, check

REBUILD = "build the package again: compatlayer install, after removing its entry; or restore the file from a published revision"
LOOK = "find out who did it; then build the package again, or restore the file from a published revision"
# What OSTree gives every file: the time says nothing there.
NO_TIME_S = (0, 1)
_MD5 = hashlib.md5
_TYPES = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}
_WANTED = {
    Kind.FILE: (stat.S_IFREG,),
    Kind.DIRECTORY: (stat.S_IFDIR,),
    Kind.SYMLINK: (stat.S_IFLNK,),
    Kind.FIFO: (stat.S_IFIFO,),
    Kind.DEVICE: (stat.S_IFBLK, stat.S_IFCHR),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrityFinding(Finding):
    """A path is not as it was recorded when its package was installed."""

    check: ClassVar[str] = "integrity"
    severity: ClassVar[Severity] = Severity.ERROR

    @property
    def description(self) -> str:
        """One line: the path, wanted and found, and whose it is."""
        owner = f" ({self.package})" if self.package else ""
        return f"{self.path}: expected {self.expected}, found {self.actual}{owner}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMissing(IntegrityFinding):
    """A path that a package installed is not there.

    Somebody removed it, a copy was not complete, or an install was interrupted. Whatever needs it fails, perhaps much later.
    Build the package again, or take the path back from a published revision.
    """

    identifier: ClassVar[str] = "file-missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWrongType(IntegrityFinding):
    """A path is something else than what the package installed: a directory where a file was, a link where a directory was.

    A link in a directory's place may be meant (a merged ``/usr``), everything else is damage or somebody's hand. Find out which,
    and build the package again.
    """

    identifier: ClassVar[str] = "file-wrong-type"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChanged(IntegrityFinding):
    """A file's content is not what the package installed: its digest differs from the one in CONTENTS.

    A failing disk or an incomplete copy truncates and garbles; a person or a program may have edited it. In a layer that many
    machines run, either is a reason to stop. CONTENTS itself is not signed: to know who is right, compare with a published
    revision.
    """

    identifier: ClassVar[str] = "file-changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChanged(IntegrityFinding):
    """A symbolic link points elsewhere than the package made it point.

    Tools such as ``eselect`` and ``gcc-config`` move links on purpose; then the new target is what somebody chose, and it is not
    declared anywhere. Declare it in the layer's configuration, or build the package again.
    """

    identifier: ClassVar[str] = "link-changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesTouched(IntegrityFinding):
    """Files have another modification time than recorded, with the content as it was. One finding for each package.

    Harmless by itself: a copy that did not keep times, or a program that wrote the same again. Some programs compare times (make,
    Python with its compiled modules), and Portage will not remove such files when it removes the package.
    """

    identifier: ClassVar[str] = "files-touched"
    severity: ClassVar[Severity] = Severity.NOTE

    paths: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """One line: how many, and one of them."""
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return f"{self.package}: another modification time than recorded: {self.paths[0]}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationChanged(IntegrityFinding):
    """A configuration file (below CONFIG_PROTECT) is not as its package installed it.

    That is what such files are for, and Portage will not overwrite it. It is reported so that changes made by hand can be told
    from those that the layer declares: what is not declared is lost when the layer is built afresh.
    """

    identifier: ClassVar[str] = "configuration-changed"
    severity: ClassVar[Severity] = Severity.NOTE


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationPending(IntegrityFinding):
    """A new version of a configuration file waits beside the old one (``._cfg0000_NAME``).

    Portage does not overwrite a protected file that was changed; it puts the new one beside it for a person to merge. Until then
    the program runs with the old configuration. Merge them (``dispatch-conf``), or declare what the file shall be.
    """

    identifier: ClassVar[str] = "configuration-pending"
    severity: ClassVar[Severity] = Severity.WARNING

    @property
    def description(self) -> str:
        """One line: which one waits."""
        return f"{self.path}: a new version of a configuration file waits to be merged"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUnreadable(IntegrityFinding):
    """A file cannot be opened or read, so nobody can say whether it is whole.

    Its permissions exclude the user who verifies, or the disk fails. Verify as the owner of the layer; a medium that cannot be
    read has to be replaced before anything is published from it.
    """

    identifier: ClassVar[str] = "file-unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUnstable(IntegrityFinding):
    """A path changed while it was looked at: it was listed and then gone, or its size or time moved during reading.

    Somebody is working in this tree. What was found elsewhere in it may be out of date as well. Wait until the install has ended,
    and verify again.
    """

    identifier: ClassVar[str] = "file-unstable"
    severity: ClassVar[Severity] = Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesUnowned(IntegrityFinding):
    """Something is in the prefix that no package owns, and that nothing declared is known to make.

    It was put there by hand, left behind by a package that is gone, or written by a program that ran inside the layer. It will
    not be there when the layer is built afresh. Package it, declare it, or remove it. Of a directory in which nothing is owned
    only the directory is reported. What is expected without an owner (caches, logs, configuration, Portage's own records) is
    listed in ``compatlayer/verify/reading/expected.py``.
    """

    identifier: ClassVar[str] = "files-unowned"
    severity: ClassVar[Severity] = Severity.WARNING

    count: int = 1

    @property
    def description(self) -> str:
        """One line: where, and how many."""
        if self.count == 1:
            return f"{self.path}: no package owns it"
        return f"{self.path}: no package owns any of the {self.count} files in it"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCollision(IntegrityFinding):
    """Several packages claim the same file.

    The one that was installed last has won, and removing either takes the file from the other. Portage's ``collision-protect``
    would have refused it. One of the ebuilds must not install the file, or the packages must block each other.
    """

    identifier: ClassVar[str] = "file-collision"
    severity: ClassVar[Severity] = Severity.WARNING

    packages: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """One line: the path, and who claims it."""
        return f"{self.path}: installed by {' and by '.join(self.packages)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentsDamaged(IntegrityFinding):
    """The list of a package's files, CONTENTS, cannot be read or understood in part, so these files are not verified.

    A full disk or a crash truncates it; a partial copy loses it. Portage would leave the files behind when it removes the
    package. Build the package again. Paths outside the prefix are never looked at: a CONTENTS that names one is from another
    prefix, or forged.
    """

    identifier: ClassVar[str] = "contents-damaged"

    line: int = 0

    @property
    def description(self) -> str:
        """One line: which file, which line, and what is wrong."""
        return f"{self.path}{f':{self.line}' if self.line else ''}: {self.actual}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryUnread(IntegrityFinding):
    """A directory could not be looked into, so nothing in it was verified.

    Its permissions exclude the user who verifies, something else is mounted on it, or it is nested deeper than any package's.
    What readers cannot read is of no use in a layer, and what is mounted there is not part of it.
    """

    identifier: ClassVar[str] = "directory-unread"

    @property
    def description(self) -> str:
        """One line: where and why."""
        return f"{self.path}: {self.actual}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeChanged(IntegrityFinding):
    """A path's permissions differ from those that the tree's manifest recorded when it was published.

    CONTENTS knows no permissions, so this is only found where a manifest is at hand. A copy under another umask does it, and so
    does somebody who wants to run what he should not. Restore the mode, or publish the change on purpose.
    """

    identifier: ClassVar[str] = "mode-changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffersFromManifest(IntegrityFinding):
    """Something that no package owns is not what the tree's manifest recorded: its kind, content or target, or it is gone.

    The manifest was made when the tree was published. Generated files (caches, the environment, Portage's records) are verified
    by it alone. Restore the path from that revision, or publish the change on purpose.
    """

    identifier: ClassVar[str] = "manifest-differs"


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
            if stat.S_IFMT(seen.status.st_mode) not in _WANTED[record.kind]:
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
            is_plain = len(seen.records) == 1 and len(seen.records[0].value) == 32
            digest = (
                _MD5(chunk, usedforsecurity=False) if is_plain else hashlib.new(_algorithm(seen), chunk, usedforsecurity=False)
            )
            self._compare(seen, len(chunk), digest.hexdigest())
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
        if record.mtime_s and found != record.mtime_s and found not in NO_TIME_S:
            self.found.append((record.package, seen.path))

    def _wrong_type(self, seen: Seen, record: Record) -> None:
        expected = _TYPES[_WANTED[record.kind][0]]
        actual = _TYPES.get(stat.S_IFMT(seen.status.st_mode), "something without a name")
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
            self._not_as_recorded(seen.path, _TYPES[kinds[recorded.kind]], _TYPES.get(there, "something without a name"))
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


def _visitor(context: Context) -> Visitor:
    return IntegrityVisitor(context.manifest, protection_of(context.prefix_tree, context.prefix))


@check("integrity", visitor=_visitor)
def integrity(context: Context) -> Iterator[Finding]:
    """Every recorded path is there as recorded, and nothing else is."""
    found: list[Finding] = []
    touched: dict[str, list[str]] = {}
    for report in context.pass_.reports("integrity"):
        if isinstance(report, Finding):
            found.append(report)
        else:
            touched.setdefault(report[0], []).append(report[1])
    found += [FilesTouched(package=package, paths=tuple(sorted(paths))) for package, paths in touched.items()]
    found += _absent(context)
    found += _records(context)
    found += _unowned(context)
    yield from context.in_order(found)


def _absent(context: Context) -> Iterator[Finding]:
    protection = protection_of(context.prefix_tree, context.prefix)
    unread = [f"{problem.path}/" for problem in context.pass_.problems if problem.trouble is not Trouble.CHANGED]
    owned = set()
    for absent in context.pass_.absent:
        owned.add(absent.path)
        if any(absent.path.startswith(directory) for directory in unread):
            continue  # it may well be there: the directory is the finding
        kind = ConfigurationChanged if absent.path in protection else FileMissing
        expected = _TYPES[_WANTED[absent.record.kind][0]]
        yield kind(package=absent.record.package, path=absent.path, expected=expected, actual="nothing", remedy=REBUILD)
    if context.manifest is not None:
        yield from _absent_from_manifest(context, context.manifest, owned)


def _absent_from_manifest(context: Context, manifest: Manifest, reported: set[str]) -> Iterator[Finding]:
    with Beneath(context.prefix_tree) as tree:
        for entry in manifest:
            if entry.path not in reported and not _is_there(tree, entry.path):
                yield DiffersFromManifest(path=entry.path, expected=f"a {entry.kind.value}", actual="nothing", remedy=LOOK)


def _is_there(tree: Beneath, path: str) -> bool:
    try:
        return tree.lstat(path) is not None
    except OSError:
        return True  # behind a directory that nobody may enter, which is a finding of its own


def _records(context: Context) -> Iterator[Finding]:
    for damage in context.pass_.damage:
        yield ContentsDamaged(
            package=damage.package,
            path=damage.path,
            line=damage.line,
            expected="a list of the package's files",
            actual=damage.reason,
            remedy="build the package again",
        )
    for collision in context.pass_.collisions:
        packages = tuple(dict.fromkeys(record.package for record in collision.records))
        yield FileCollision(
            package=packages[-1],
            packages=packages,
            path=collision.path,
            expected="one owner",
            actual=", ".join(packages),
            remedy="let one of the ebuilds not install it",
        )
    for problem in context.pass_.problems:
        yield DirectoryUnread(
            path=problem.path,
            expected="a directory that can be read",
            actual=problem.reason or problem.trouble.value,
            remedy="verify as the owner of the layer, with nothing mounted inside it",
        )


def _unowned(context: Context) -> Iterator[Finding]:
    host_links = [str(link.path).lstrip("/") for link in context.host_links]
    expected = ExpectedPaths(host_links)
    for listing in context.pass_.unowned:
        for name in listing.names:
            path = name if listing.path == "." else f"{listing.path}/{name}"
            if PENDING.search(path):
                yield ConfigurationPending(path=path, expected="nothing", actual="a file", remedy="merge it: dispatch-conf")
    for path, count in unowned.collapsed(context.pass_.unowned, expected):
        yield FilesUnowned(
            path=path, count=count, expected="an owner", actual="none", remedy="package it, declare it or remove it"
        )
