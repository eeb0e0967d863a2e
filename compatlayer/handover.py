"""Handing a change over to another machine, and taking a whole layer in: bundles and tarballs.

A bundle is what a publisher needs that a builder cannot reach: one file, tar in Zstandard, that holds

- ``statement.json``: a DSSE envelope over an in-toto statement: the part, the revision it stands on, the change list with
  a record (kind, mode, digest, size) for each path, and the root of the tree afterwards
- ``files/<path>``: the contents of the regular files, in the order of the statement

Everything is checked before anything is published: the signature, the head, each member's name, kind, size and digest, and
the root that the changes make. A tarball (EESSI's ``eessi-<version>-compat-<os>-<arch>-<time>.tar.gz`` or ``.zst``) has no
statement; it is the whole part, and is unpacked under the same suspicion.

tarfile's own extraction is not used: names, kinds and sizes are judged member by member, and files are written through
descriptors that follow no link.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from compatlayer import process, signing
from compatlayer.declaration.model import Part
from compatlayer.errors import CompatlayerError, RepositoryError, StageError
from compatlayer.journal import fsync_directory
from compatlayer.repository.ledger import part_document, part_of
from compatlayer.signing import PrivateKey, PublicKey
from compatlayer.tree.beneath import Beneath, parts_of
from compatlayer.tree.changes import ChangeList, Put
from compatlayer.tree.entries import Entry, Kind
from compatlayer.tree.manifest import Manifest

BUNDLE = "urn:compatlayer:bundle:v1"
STATEMENT = "statement.json"
FILES = "files"
CHUNK_BYTES = 1 << 20
# What a whole layer may be, unless a statement says less: a bomb is stopped long before the disk is full.
MAX_MEMBERS = 2_000_000
MAX_BYTES = 64 << 30
MAX_STATEMENT_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle says, its signature verified: nothing else of it is believed."""

    part: Part
    base: str | None
    base_root: str | None
    root: str
    changes: ChangeList
    entries: Mapping[str, Entry]
    stage: str
    contents: Mapping[str, Any]
    note: str
    keys: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is to be handed over: the changes that lead from the revision ``base`` (None: nothing) to ``tree``."""

    part: Part
    base: str | None
    base_root: str | None
    changes: ChangeList
    source: Path
    tree: Manifest
    stage: str
    contents: Mapping[str, Any]
    note: str = ""


def write(parcel: Parcel, file: Path, key: PrivateKey) -> None:
    """Write a bundle. ``file`` appears whole, or not at all."""
    entries = {put.path: _entry(parcel.tree, put.path) for put in parcel.changes.puts}
    predicate = {
        "part": part_document(parcel.part),
        "base": parcel.base,
        "base_root": parcel.base_root,
        "root": parcel.tree.root,
        "puts": [[path, entry.record()] for path, entry in entries.items()],
        "deletes": list(parcel.changes.deletes),
        "opaque": list(parcel.changes.opaque),
        "stage": parcel.stage,
        "contents": dict(parcel.contents),
        "note": parcel.note,
    }
    subject = {"name": str(parcel.part), "digest": {"sha256": parcel.tree.root}}
    envelope = key.sign(signing.statement([subject], BUNDLE, predicate))
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with _compressing(temporary) as stream, tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            _add(archive, STATEMENT, len(envelope), io.BytesIO(envelope))
            with Beneath(parcel.source) as tree:
                for path, entry in entries.items():
                    if entry.kind is Kind.FILE:
                        holder, name = tree.parent(path)
                        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=holder)
                        with os.fdopen(descriptor, "rb") as content:
                            _add(archive, f"{FILES}/{path}", entry.size_bytes, content)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(file)
        fsync_directory(file.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def opened(file: Path, keys: tuple[PublicKey, ...], scratch: Path) -> Iterator[tuple[Bundle, Path]]:
    """Check a bundle whole, and give what it says with a directory that holds what it puts, until the block ends.

    Raises ``RepositoryError`` when anything about it is wrong; nothing is believed that the signature does not cover.
    """
    with _trusted_reading(file) as archive:
        members = iter(archive)
        statement = next(members, None)
        if statement is None or statement.name != STATEMENT or not statement.isreg() or statement.size > MAX_STATEMENT_BYTES:
            raise _wrong(file, "it does not begin with a signed statement")
        content = archive.extractfile(statement)
        assert content is not None, "a regular member has content"
        verified = signing.verify(content.read(), keys, f"the bundle {file.name}", BUNDLE)
        bundle = _bundle(file, verified)
        _unpack(file, archive, members, bundle, scratch)
    yield bundle, scratch


def unpack_tarball(file: Path, part: Part, scratch: Path) -> Path:
    """Unpack a whole layer into ``scratch`` and return the part's directory in it.

    The part is what lies below the longest suffix of its prefix that the archive holds, such as
    ``versions/2026.11/compat/linux/x86_64``; or the archive itself, when that has ``var/db/pkg`` at its top. Raises
    ``RepositoryError`` for an archive that is truncated, too large, or leaves its directory.
    """
    seen: set[tuple[str, ...]] = set()
    directories: list[tuple[tuple[str, ...], int]] = []
    total = 0
    with _trusted_reading(file) as archive, Beneath(scratch) as tree:
        for number, member in enumerate(archive):
            parts = _safe_parts(file, member.name)
            total += max(member.size, 0)
            if number >= MAX_MEMBERS or total > MAX_BYTES:
                raise _wrong(file, f"it holds more than {MAX_MEMBERS} members or {MAX_BYTES >> 30} GiB")
            if not parts:
                continue
            if parts in seen and not member.isdir():
                raise _wrong(file, f"{member.name!r} comes twice")
            seen.add(parts)
            _place(file, archive, member, parts, tree, scratch)
            if member.isdir():
                directories.append((parts, member.mode))
        for parts, mode in sorted(directories, reverse=True):
            scratch.joinpath(*parts).chmod(stat.S_IMODE(mode) & 0o7777)
    return _part_in(file, scratch, part)


def _part_in(file: Path, scratch: Path, part: Part) -> Path:
    names = part.prefix.parts[1:]
    for first in range(len(names)):
        place = scratch.joinpath(*names[first:])
        if place.is_dir() and not place.is_symlink():
            return place
    if (scratch / "var/db/pkg").is_dir():
        return scratch
    raise _wrong(file, f"it holds neither {PurePosixPath(*names[-5:])} nor var/db/pkg")


def _place(
    file: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, parts: tuple[str, ...], tree: Beneath, scratch: Path
) -> None:
    """Make one member, whose name was judged, below the directory of ``tree``."""
    path = "/".join(parts)
    _make_parents(parts, tree)
    holder, name = tree.parent(path)
    mode = stat.S_IMODE(member.mode)
    if member.isdir():
        if tree.lstat(path) is None:
            os.mkdir(name, 0o700, dir_fd=holder)
    elif member.issym():
        os.symlink(member.linkname, name, dir_fd=holder)
    elif member.islnk():
        target = tree.lstat("/".join(_safe_parts(file, member.linkname)))
        if target is None or not stat.S_ISREG(target.st_mode):
            raise _wrong(file, f"{member.name!r} is a hard link to something that is not in it")
        with Beneath(scratch) as sources:
            above, last = sources.parent("/".join(_safe_parts(file, member.linkname)))
            os.link(last, name, src_dir_fd=above, dst_dir_fd=holder, follow_symlinks=False)
    elif member.isreg():
        content = archive.extractfile(member)
        assert content is not None, "a regular member has content"
        _write(file, content, member.size, name, holder, mode)
    else:
        raise _wrong(file, f"{member.name!r} is a device, a fifo or something unknown")


def _make_parents(parts: tuple[str, ...], tree: Beneath) -> None:
    for length in range(1, len(parts)):
        path = "/".join(parts[:length])
        if tree.lstat(path) is None:
            holder, name = tree.parent(path)
            os.mkdir(name, 0o755, dir_fd=holder)


def _write(file: Path, content: IO[bytes], size_bytes: int, name: str, holder: int, mode: int) -> str:
    """Write a file of exactly that size; gives its SHA-256."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    digest, left = hashlib.sha256(), size_bytes
    with os.fdopen(os.open(name, flags, 0o600, dir_fd=holder), "wb") as writing:
        while left:
            chunk = content.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise _wrong(file, "it is truncated")
            writing.write(chunk)
            digest.update(chunk)
            left -= len(chunk)
        os.fchmod(writing.fileno(), mode)
    return digest.hexdigest()


def _unpack(file: Path, archive: tarfile.TarFile, members: Iterator[tarfile.TarInfo], bundle: Bundle, scratch: Path) -> None:
    """Make the tree that the statement describes; contents come from the members, which must be exactly those."""
    with Beneath(scratch) as tree:
        for put in bundle.changes.puts:
            entry = bundle.entries[put.path]
            holder, name = tree.parent(put.path)
            if entry.kind is Kind.SYMLINK:
                os.symlink(entry.target, name, dir_fd=holder)
            elif entry.kind is Kind.DIRECTORY and parts_of(put.path):
                os.mkdir(name, 0o700, dir_fd=holder)
            elif entry.kind is Kind.FILE:
                member = next(members, None)
                if (
                    member is None
                    or member.name != f"{FILES}/{put.path}"
                    or not member.isreg()
                    or member.size != entry.size_bytes
                ):
                    raise _wrong(file, f"where {put.path!r} should come, there is {member.name if member else 'nothing'!r}")
                content = archive.extractfile(member)
                assert content is not None, "a regular member has content"
                if _write(file, content, member.size, name, holder, entry.mode) != entry.sha256:
                    raise _wrong(file, f"{put.path!r} is not what was signed")
                _set_xattrs(scratch / put.path, entry)
        if (extra := next(members, None)) is not None:
            raise _wrong(file, f"{extra.name!r} is not in the statement")
        for put in reversed(bundle.changes.puts):
            if put.kind is Kind.DIRECTORY:
                _set_xattrs(scratch / put.path, bundle.entries[put.path])
                (scratch / put.path).chmod(put.mode)


def _set_xattrs(place: Path, entry: Entry) -> None:
    for name, value in entry.xattrs:
        os.setxattr(place, name, value)


def _bundle(file: Path, verified: signing.Verified) -> Bundle:
    said = verified.statement["predicate"]
    try:
        entries = {path: Entry.from_record(path, record) for path, record in said["puts"]}
        puts = tuple(Put(path, entry.kind, entry.mode, entry.size_bytes) for path, entry in entries.items())
        changes = ChangeList(puts, tuple(said["deletes"]), tuple(said["opaque"]))
        for path in (*entries, *changes.deletes):
            parts_of(path)
        total = sum(put.size_bytes for put in puts)
        if len(puts) > MAX_MEMBERS or total > MAX_BYTES or any(put.size_bytes < 0 for put in puts):
            raise _wrong(file, "it declares more than a layer can be")
        return Bundle(
            part_of(said["part"]),
            said["base"],
            said["base_root"],
            said["root"],
            changes,
            entries,
            said["stage"],
            said["contents"],
            str(said.get("note", "")),
            verified.keys,
        )
    except (KeyError, TypeError, ValueError, StageError) as error:
        raise _wrong(file, f"its statement cannot be understood: {error}") from error


def _entry(tree: Manifest, path: str) -> Entry:
    entry = tree.get(path)
    if entry is None:
        raise RepositoryError(f"{path} is put, and not in the manifest")
    return entry


def _add(archive: tarfile.TarFile, name: str, size_bytes: int, content: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size = size_bytes
    archive.addfile(member, content)


def _safe_parts(file: Path, name: str) -> tuple[str, ...]:
    """The parts of a member's name. Raises ``RepositoryError`` for one that could lead elsewhere."""
    if name.startswith("/") or "\0" in name:
        raise _wrong(file, f"{name!r} is an absolute name")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise _wrong(file, f"{name!r} leads out of it")
    return parts


@contextmanager
def _compressing(file: Path) -> Iterator[IO[bytes]]:
    """A stream into a Zstandard file."""
    child = process.spawn(["zstd", "-q", "-T0", "-3", "-o", file, "-"])
    assert child.stdin is not None, "spawn gives pipes"
    try:
        with child.stdin as stream:
            yield stream
    finally:
        code = child.wait()
    if code != 0:
        raise RepositoryError(f"{file.name} could not be written", cause=f"zstd ended with {code}; is the disk full?")


@contextmanager
def _trusted_reading(file: Path) -> Iterator[tarfile.TarFile]:
    """The archive in a file, whatever compressed it; every way in which reading can fail becomes ``RepositoryError``."""
    try:
        with _decompressed(file) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            yield archive
            # What tarfile does not look at: a truncated or damaged end shows only here.
            while stream.read(CHUNK_BYTES):
                continue
    except CompatlayerError:
        raise
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise _wrong(file, f"it is truncated or damaged: {error}") from error


@contextmanager
def _decompressed(file: Path) -> Iterator[IO[bytes]]:
    try:
        magic = file.open("rb").read(6)
    except OSError as error:
        raise _wrong(file, f"it cannot be read: {error.strerror}") from error
    programs = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz"}
    program = next((name for start, name in programs.items() if magic.startswith(start)), None)
    if program is None:
        with file.open("rb") as plain:
            yield plain
        return
    child = process.spawn([program, "-dcqq", "--", file])
    assert child.stdin is not None, "spawn gives pipes"
    assert child.stdout is not None, "spawn gives pipes"
    child.stdin.close()
    finished = False
    try:
        yield child.stdout
        finished = True
    finally:
        if not finished:
            child.kill()
        child.stdout.close()
        code = child.wait()
    if code != 0:
        raise _wrong(file, f"{program} could not read it to its end")


def _wrong(file: Path, cause: str) -> RepositoryError:
    return RepositoryError(
        f"{file.name} is refused, and nothing was published", cause=cause, hint="have it made and handed over again"
    )
