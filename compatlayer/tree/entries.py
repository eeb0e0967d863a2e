"""Entries: what a tree holds, in a form that two machines agree on.

An entry says what a user of the layer can tell apart: kind, permission bits (with setuid, setgid, sticky), content,
link target, and the extended attributes that change behaviour or are a package's own. Left out, on purpose:

- owner and group: a part is built by whoever builds it and read by everybody; repositories replace owners when
  publishing
- times: OSTree stores none, CernVM-FS keeps seconds only
- hard links: a name's content is what counts. OSTree links equal files, overlayfs unlinks them when it copies them
  up, CernVM-FS links inside one directory only; none of this is a difference between layers
- a symbolic link's own mode, which Linux does not have
- extended attributes that belong to storage: overlayfs's (``user.overlay.*``, ``user.fuseoverlayfs.*``) and OSTree's
  (``user.ostreemeta``)

Devices, sockets and fifos have no place in a layer: reading one raises ``StageError``.
"""

from __future__ import annotations

import enum
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compatlayer.errors import StageError
from compatlayer.tree.beneath import ROOT, Beneath, join, names_in, open_directory

# How many threads read, and how many paths are worth one.
_READERS = 8
_READ_TOGETHER = 64
_STORAGE_ATTRIBUTES = ("user.overlay.", "user.fuseoverlayfs.", "user.ostreemeta")
_CHUNK_BYTES = 1 << 20


class Kind(enum.StrEnum):
    """What a layer may hold."""

    DIRECTORY = "directory"
    FILE = "file"
    SYMLINK = "symlink"


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a tree.

    ``mode`` holds the permission bits (``0o7777``), 0 for links; ``size_bytes`` and ``sha256`` (hexadecimal)
    describe a file's content; ``target`` is where a link points, as written. ``xattrs`` are names and values in
    order of name.
    """

    path: str
    kind: Kind
    mode: int = 0
    size_bytes: int = 0
    sha256: str = ""
    target: str = ""
    xattrs: tuple[tuple[str, bytes], ...] = ()

    def record(self) -> dict[str, Any]:
        """What is hashed and stored: everything but the path, only the keys that this kind has."""
        record: dict[str, Any] = {"kind": self.kind.value}
        if self.kind is Kind.SYMLINK:
            record["target"] = self.target
        else:
            record["mode"] = f"{self.mode:04o}"
        if self.kind is Kind.FILE:
            record["sha256"] = self.sha256
            record["size_bytes"] = self.size_bytes
        if self.xattrs:
            record["xattrs"] = {name: value.hex() for name, value in self.xattrs}
        return record

    @classmethod
    def from_record(cls, path: str, record: dict[str, Any]) -> Entry:
        """The entry that ``record`` describes. Raises ``ValueError``, ``KeyError`` or ``TypeError`` for what is
        none.
        """
        xattrs = tuple((name, bytes.fromhex(value)) for name, value in record.get("xattrs", {}).items())
        return cls(
            path,
            Kind(record["kind"]),
            int(record.get("mode", "0"), 8),
            record.get("size_bytes", 0),
            record.get("sha256", ""),
            record.get("target", ""),
            xattrs,
        )


def canonical_json(document: object) -> bytes:
    r"""One line of ASCII: keys sorted, no spaces; what is not ASCII is escaped, a byte that is not UTF-8 as
    ``\udc80`` to ``\udcff``.
    """
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def scan(root: Path) -> Iterator[Entry]:
    """All entries of the tree at ``root`` in canonical order, the root (``.``) first; every file is read.

    No link is followed. Raises ``StageError`` for what a layer cannot hold and for what cannot be read.
    """
    with Beneath(root) as tree:
        yield from _scan(tree.directory(ROOT))


def entry_at(tree: Beneath, path: str) -> Entry:
    """The entry at one path. Raises ``StageError`` when there is none, or it cannot be read."""
    try:
        descriptor, name = tree.parent(path)
        return _read(name, path, inside=descriptor)
    except OSError as error:
        raise _unreadable(path, error) from error


def entries_at(root: Path, paths: Sequence[str]) -> Iterator[Entry]:
    """The entries at ``paths``, in that order, without those that are not there; several are read at once.

    A mounted repository fetches a file when it is first read, and for most of that time it waits.
    """
    step = max(-(-len(paths) // _READERS), _READ_TOGETHER)
    shares = [paths[begin : begin + step] for begin in range(0, len(paths), step)]
    if len(shares) < 2:
        yield from _entries_at(root, paths)
        return
    with ThreadPoolExecutor(len(shares)) as readers:
        for found in readers.map(lambda share: list(_entries_at(root, share)), shares):
            yield from found


def interesting_xattrs(where: int | str) -> tuple[tuple[str, bytes], ...]:
    """The extended attributes that belong to an entry, by name; ``where`` is a descriptor, or a path whose last part
    is no link.
    """
    names = (name for name in os.listxattr(where) if is_interesting(name))
    return tuple((name, os.getxattr(where, name)) for name in sorted(names))


def is_interesting(name: str) -> bool:
    """Whether an extended attribute belongs to the tree and not to what stores it."""
    if name.startswith("user."):
        return not name.startswith(_STORAGE_ATTRIBUTES)
    return name == "security.capability"


def kind_of(mode: int, path: str) -> Kind:
    """The kind that ``st_mode`` tells. Raises ``StageError`` for what a layer cannot hold."""
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.DIRECTORY
    if stat.S_ISLNK(mode):
        return Kind.SYMLINK
    names = {stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
    raise StageError(
        f"{path} is a {names.get(stat.S_IFMT(mode), 'thing without a name')}",
        cause="a layer holds directories, files and symbolic links",
        hint="remove it from the stage; an interrupted build may have left it",
    )


def _scan(root: int) -> Iterator[Entry]:
    """Depth first with a stack of our own: a tree may be deeper than Python's."""
    yield _read(ROOT, ROOT, inside=root)
    stack = [(ROOT, root, iter(names_in(root)))]
    try:
        while stack:
            directory, descriptor, names = stack[-1]
            name = next(names, None)
            if name is None:
                stack.pop()
                if descriptor != root:
                    os.close(descriptor)
                continue
            path = join(directory, name)
            try:
                entry = _read(name, path, inside=descriptor)
                if entry.kind is Kind.DIRECTORY:
                    below = open_directory(name, inside=descriptor)
                    stack.append((path, below, iter(names_in(below))))
            except OSError as error:
                raise _unreadable(path, error) from error
            yield entry
    finally:
        for _, descriptor, _ in stack:
            if descriptor != root:
                os.close(descriptor)


def _entries_at(root: Path, paths: Sequence[str]) -> Iterator[Entry]:
    with Beneath(root) as tree:
        for path in paths:
            if tree.lstat(path) is not None:
                yield entry_at(tree, path)


def _read(name: str, path: str, *, inside: int) -> Entry:
    status = os.stat(name, dir_fd=inside, follow_symlinks=False)
    kind = kind_of(status.st_mode, path)
    if kind is Kind.SYMLINK:
        return Entry(path, kind, target=os.readlink(name, dir_fd=inside))
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_DIRECTORY if kind is Kind.DIRECTORY else os.O_NONBLOCK)
    descriptor = os.open(name, flags, dir_fd=inside)
    try:
        status = os.fstat(descriptor)  # of what was opened, should it have been replaced since
        kind = kind_of(status.st_mode, path)
        mode, xattrs = stat.S_IMODE(status.st_mode), interesting_xattrs(descriptor)
        if kind is Kind.DIRECTORY:
            return Entry(path, kind, mode, xattrs=xattrs)
        size_bytes, sha256 = _digest(descriptor)
        return Entry(path, kind, mode, size_bytes, sha256, xattrs=xattrs)
    finally:
        os.close(descriptor)


def _digest(descriptor: int) -> tuple[int, str]:
    digest, size_bytes = hashlib.sha256(), 0
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        digest.update(chunk)
        size_bytes += len(chunk)
    return size_bytes, digest.hexdigest()


def _unreadable(path: str, error: OSError) -> StageError:
    return StageError(f"{path} cannot be read", cause=f"{error.strerror} ({error.filename or path})")
