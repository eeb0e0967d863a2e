"""Who owns which path: every CONTENTS of ``var/db/pkg``, kept small.

CONTENTS has one line per path (portage(5)): ``dir PATH``, ``obj PATH MD5 MTIME``, ``sym PATH -> TARGET MTIME``, ``fif PATH``,
``dev PATH``. Names may hold spaces, and nothing is quoted, so a line is taken apart from its end, as Portage does. Nothing that
lies there makes this fail: what cannot be understood becomes ``Damage``.
"""

from __future__ import annotations

import enum
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from compatlayer.gentoo.packages import Inventory
from compatlayer.gentoo.portage_configuration import PACKAGE_DATABASE
from compatlayer.tree.beneath import MAX_DEPTH, ROOT, Beneath
from compatlayer.verify.reading.resolver import Resolver, Where

# A package of 300,000 files has 40 MB of it; more is damage, or an attempt to fill our memory.
MAX_CONTENTS_BYTES = 1 << 27
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_TIME_DIGITS = 19  # of 64 bits
# First bytes of the last part of a line that ask for a closer look: there is no name, or one that could lead elsewhere.
_UNUSUAL = (b"", b" ", b".")


class Kind(enum.StrEnum):
    """What CONTENTS calls it."""

    FILE = "obj"
    DIRECTORY = "dir"
    SYMLINK = "sym"
    FIFO = "fif"
    DEVICE = "dev"


_KINDS: Mapping[str, Kind] = {kind.value: kind for kind in Kind}


class Record(NamedTuple):
    """One line of CONTENTS. ``value`` is a file's digest in hexadecimal, or a link's target; ``mtime_s`` is None where none is
    recorded.
    """

    kind: Kind
    value: str
    mtime_s: int | None
    package: str


class Damage(NamedTuple):
    """Something in a CONTENTS that cannot be understood: the package, the line (0: the file as a whole), and what."""

    package: str
    path: str
    line: int
    reason: str


@dataclass(slots=True)
class _Line:
    """A line taken apart; the path is absolute, as recorded."""

    kind: bytes
    path: bytes
    value: bytes = b""
    mtime: bytes = b""


class Ownership:
    """All records by directory. Each directory's are one run of bytes (about 70 for a path), taken apart when asked for."""

    def __init__(self, packages: Sequence[str], directories: dict[str, bytearray], damage: Sequence[Damage]) -> None:
        self.packages = packages
        self.damage = damage
        self._directories = directories

    def __contains__(self, directory: str) -> bool:
        return directory in self._directories

    def __iter__(self) -> Iterator[str]:
        """The directories in which something is recorded."""
        return iter(self._directories)

    def names(self, directory: str) -> list[str]:
        """The names recorded in ``directory``, once for each record."""
        blob = self._directories.get(directory)
        return [line.split("\0", 2)[1] for line in _lines(blob)] if blob else []

    def records(self, directory: str) -> dict[str, list[Record]]:
        """The records of ``directory`` by name, in the packages' order."""
        found: dict[str, list[Record]] = {}
        for line in _lines(self._directories.get(directory, bytearray())):
            kind, name, value, mtime, package = line.split("\0")
            record = Record(_KINDS[kind], value, int(mtime) if mtime else None, self.packages[int(package)])
            if name in found:
                found[name].append(record)
            else:
                found[name] = [record]
        return found

    def raw(self, directory: str) -> bytes:
        """What is recorded in ``directory``, as bytes that change when the records do. Who owns a path is left out: packages are
        counted, and one more would change them all.
        """
        blob = self._directories.get(directory, b"")
        return b"\n".join(line.rpartition(b"\0")[0] for line in blob.split(b"\n"))


def _lines(blob: bytearray) -> list[str]:
    return blob.decode("utf-8", "surrogateescape").split("\n")[:-1]


def load(tree: Path, prefix: str, inventory: Inventory) -> Ownership:
    """Read the CONTENTS of every package of ``inventory`` in the prefix found at ``tree``, whose home is ``prefix``.

    A directory that is reached through a link (``lib64`` → ``usr/lib64``) counts as the one it leads to. Raises ``OSError`` only
    when ``tree`` itself cannot be opened.
    """
    packages = [package.id.cpv for package in inventory]
    loader = _Loader(os.fsencode(prefix.rstrip("/")) + b"/")
    with Beneath(tree) as below:
        for number, package in enumerate(packages):
            loader.package(below, number, package)
    with Beneath(tree) as below, Resolver(tree, prefix) as resolver:
        directories = _resolved(below, resolver, loader.directories)
    return Ownership(packages, directories, loader.damage)


class _Loader:
    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self.start = len(prefix) + 4
        self.directories: dict[bytes, bytearray] = {}
        # The same, by what precedes the name on a line: kind and directory.
        self._heads: dict[bytes, bytearray] = {}
        self.damage: list[Damage] = []

    def package(self, below: Beneath, number: int, package: str) -> None:
        path = f"{PACKAGE_DATABASE}/{package}/CONTENTS"
        try:
            content = _read(below, path)
        except OSError as error:
            self.damage.append(Damage(package, path, 0, error.strerror or str(error)))
            return
        if content is None:
            self.damage.append(Damage(package, path, 0, "it is not a file of a reasonable size"))
            return
        if content and not content.endswith(b"\n"):
            self.damage.append(Damage(package, path, content.count(b"\n") + 1, "the file ends in the middle of a line"))
        self._lines(content, number, package, path)

    def _lines(self, content: bytes, number: int, package: str, path: str) -> None:
        owner = b"%d\n" % number
        reasons: dict[str, list[int]] = {}
        # Nearly every line is plain, and there are 100,000 of them: a file or directory where another one was met before.
        heads = self._heads if b"\0" not in content else {}
        for line_number, raw in enumerate(content.split(b"\n"), 1):
            head, _, tail = raw.rpartition(b"/")
            blob = heads.get(head)
            if blob is not None and tail[:1] not in _UNUSUAL:
                if raw[:1] == b"d":
                    blob += b"dir\0%b\0\0\0%b" % (tail, owner)
                    continue
                parts = tail.rsplit(b" ", 2)
                if len(parts) == 3 and len(parts[1]) == 32 and parts[2].isdigit() and len(parts[2]) <= _TIME_DIGITS:
                    blob += b"obj\0%b\0%b\0%b\0%b" % (*parts, owner)
                    continue
            if raw and (reason := self._careful(raw, owner)):
                reasons.setdefault(reason, []).append(line_number)
            elif blob is None:
                self._met(head)
        for reason, numbers in reasons.items():
            more = f" (and {len(numbers) - 1} more lines)" if len(numbers) > 1 else ""
            self.damage.append(Damage(package, path, numbers[0], reason + more))

    def _met(self, head: bytes) -> None:
        """Have what precedes a name on its line known, where it was found in order and is of a kind whose lines are short."""
        if head[:4] in (b"obj ", b"dir ") and b"\0" not in head:
            blob = self.directories.get(head[self.start :])
            if blob is not None and (head + b"/").startswith(self.prefix, 4):
                self._heads[head] = blob

    def _careful(self, raw: bytes, owner: bytes) -> str:
        """Take in any line; what is wrong with it, if something is."""
        line = _parsed(raw)
        if isinstance(line, str):
            return line
        if not line.path.startswith(self.prefix):
            # The directories above the prefix, and the prefix itself, are recorded with it.
            is_above = line.kind == b"dir" and self.prefix.startswith(line.path.rstrip(b"/") + b"/")
            return "" if is_above else "it names a path outside the prefix"
        relative = line.path[len(self.prefix) :]
        if _is_odd(relative):
            return "its path is not in normal form"
        directory, _, name = relative.rpartition(b"/")
        self._add(directory, b"\0".join((line.kind, name, line.value, line.mtime, owner)))
        return ""

    def _add(self, directory: bytes, record: bytes) -> None:
        blob = self.directories.get(directory)
        if blob is None:
            blob = self.directories[directory] = bytearray()
        blob += record


def _parsed(raw: bytes) -> _Line | str:
    """One line taken apart, or what is wrong with it."""
    kind, _, rest = raw.partition(b" ")
    if b"\0" in raw:
        return "it holds binary data"
    if kind == b"obj":
        parts = rest.rsplit(b" ", 2)
        if len(parts) != 3 or not _is_time(parts[2]):
            return "it is not a path, a digest and a time"
        if len(parts[1]) not in (32, 40):
            return "its digest is neither MD5 nor SHA-1"
        return _Line(kind, *parts)
    if kind == b"sym":
        # The time first: a link to "->" has two arrows, which share a space.
        front, _, mtime = rest.rpartition(b" ")
        path, arrow, target = front.rpartition(b" -> ")
        if not arrow or not target or not _is_time(mtime):
            return "it is not a path, a target and a time"
        return _Line(kind, path, target, mtime)
    if kind in (b"dir", b"fif", b"dev") and rest:
        return _Line(kind, rest)
    return "it does not begin with dir, obj, sym, fif or dev"


def _is_time(text: bytes) -> bool:
    return text.isdigit() and len(text) <= _TIME_DIGITS


def _is_odd(relative: bytes) -> bool:
    """Whether a path could lead elsewhere than it says; only a few need the closer look."""
    if b"//" in relative or relative[-1:] in (b"/", b""):
        return True
    if b"/." not in relative and not relative.startswith(b"."):
        return relative.count(b"/") >= MAX_DEPTH
    return any(part in (b".", b"..") for part in relative.split(b"/"))


def _read(below: Beneath, path: str) -> bytes | None:
    """A file's content; None for what is no file, or too big a one."""
    directory, name = below.parent(path)
    file = os.open(name, _OPEN, dir_fd=directory)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_CONTENTS_BYTES:
            return None
        chunks = []
        while chunk := os.read(file, min(status.st_size + 1, 1 << 20)):
            chunks.append(chunk)
            if sum(map(len, chunks)) > MAX_CONTENTS_BYTES:
                return None  # somebody writes to it
        return b"".join(chunks)
    finally:
        os.close(file)


def _resolved(below: Beneath, resolver: Resolver, directories: dict[bytes, bytearray]) -> dict[str, bytearray]:
    """The same by the real directories' names, with those that are reached through links added to where the links lead."""
    found: dict[str, bytearray] = {}
    for directory in sorted(directories):
        blob = directories.pop(directory)
        name = real = os.fsdecode(directory) or ROOT
        try:
            below.directory(name)  # nearly always: one step from the one before, and no link on the way
        except OSError:
            leads = resolver.follow(name)
            real = leads.path if leads.where is Where.INSIDE else name
        there = found.get(real)
        if there is None:
            found[real] = blob
        else:
            there += blob
    return found


def owned_directories(paths: Iterable[str]) -> set[str]:
    """``paths`` and every directory above them."""
    found = {ROOT}
    for path in paths:
        while path not in found:
            found.add(path)
            path = path.rpartition("/")[0] or ROOT  # noqa: PLW2901
    return found
