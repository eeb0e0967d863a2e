"""What is inside a compressed file or an archive: as much as is needed to say whether two of them hold the same.

Formats: gzip (RFC 1952), bzip2, xz; tar, zip and ar (ar(5)).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_AR = b"!<arch>\n"
_AR_HEAD_BYTES = 60
# A file that unpacks to more is not looked into.
MAX_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive; ``time`` and ``owner`` as the archive has them, ``rest`` is its mode, type and target."""

    name: str
    content: bytes
    time: str = ""
    owner: str = ""
    rest: str = ""


def unpacked(content: bytes) -> bytes | None:
    """What a compressed file holds; None for one that is not compressed, or damaged."""
    for magic, unpack in _COMPRESSIONS.items():
        if content.startswith(magic):
            try:
                with unpack(io.BytesIO(content)) as stream:
                    found: bytes = stream.read(MAX_BYTES + 1)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
                return None
            return found if len(found) <= MAX_BYTES else None
    return None


def members(content: bytes) -> tuple[Member, ...] | None:
    """The members of an archive in its order; None for what is none, or damaged."""
    if content.startswith(_AR):
        return _ar(content)
    if content.startswith(b"PK\x03\x04"):
        return _zip(content)
    if content[257:262] == b"ustar":
        return _tar(content)
    return None


def _ar(content: bytes) -> tuple[Member, ...] | None:
    found, at = [], len(_AR)
    while at < len(content):
        head = content[at : at + _AR_HEAD_BYTES]
        if len(head) < _AR_HEAD_BYTES or head[58:] != b"`\n" or not head[48:58].strip().isdigit():
            return None
        size = int(head[48:58])
        name, time = head[:16].decode("latin-1").strip(), head[16:28].decode("latin-1").strip()
        owner, mode = head[28:40].decode("latin-1").split(), head[40:48].decode("latin-1").strip()
        at += _AR_HEAD_BYTES
        found.append(Member(name, content[at : at + size], time, "/".join(owner), mode))
        at += size + size % 2
    return tuple(found)


def _zip(content: bytes) -> tuple[Member, ...] | None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            if sum(info.file_size for info in infos) > MAX_BYTES:
                return None
            return tuple(
                Member(info.filename, archive.read(info), str(info.date_time), "", f"{info.external_attr:x}") for info in infos
            )
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError):
        return None


def _tar(content: bytes) -> tuple[Member, ...] | None:
    found = []
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for info in archive:
                stream = archive.extractfile(info) if info.isreg() else None
                owner = f"{info.uid}/{info.gid}/{info.uname}/{info.gname}"
                rest = f"{info.mode:o} {info.type!r} {info.linkname}"
                found.append(Member(info.name, stream.read() if stream else b"", str(info.mtime), owner, rest))
    except (tarfile.TarError, OSError, ValueError):
        return None
    return tuple(found)


_COMPRESSIONS: Mapping[bytes, Callable[[io.BytesIO], gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
