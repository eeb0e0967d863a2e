"""Manifest hashes: which ones we compute, and reading a file once for all of them.

Hash names are GLEP 59's and GLEP 74's (https://www.gentoo.org/glep/glep-0074.html). Portage ignores hashes it cannot compute;
so do we, provided that one of ``STRONG`` is left: a file that only MD5 vouches for is not accepted.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

BLOCK_BYTES = 1 << 20


def _works(name: str) -> bool:
    try:
        new: Any = hashlib.new(name, usedforsecurity=False)
    except ValueError:
        return False
    return bool(new)


_NAMES: Mapping[str, str] = {
    "BLAKE2B": "blake2b512" if _works("blake2b512") else "blake2b",  # OpenSSL's, where it is, is faster than Python's own
    "BLAKE2S": "blake2s",
    "SHA512": "sha512",
    "SHA256": "sha256",
    "SHA3_512": "sha3_512",
    "SHA3_256": "sha3_256",
    "SHA1": "sha1",
    "MD5": "md5",
    "RMD160": "ripemd160",
    "WHIRLPOOL": "whirlpool",
}
STRONG = ("BLAKE2B", "SHA512", "SHA3_512", "SHA3_256", "BLAKE2S", "SHA256")


@functools.cache
def available() -> frozenset[str]:
    """The Manifest's names of the hashes that this Python can compute; its OpenSSL may lack the old ones."""
    return frozenset(name for name, ours in _NAMES.items() if _works(ours))


def usable(hashes: Mapping[str, str]) -> dict[str, str]:
    """Those of a Manifest's hashes that can be computed here, in lower case."""
    known = available()
    return {name: value.lower() for name, value in hashes.items() if name in known}


def is_strong(hashes: Mapping[str, str]) -> bool:
    """Whether one of ``hashes`` is enough to tell a file by."""
    return any(name in hashes for name in STRONG)


class Digester:
    """Computes several hashes of one stream of bytes."""

    __slots__ = ("_each",)

    def __init__(self, names: Iterable[str]) -> None:
        """``names`` are Manifest names; raises ``KeyError`` for one that is not ``available``."""
        self._each = {name: hashlib.new(_NAMES[name], usedforsecurity=False) for name in names}

    def update(self, block: bytes | memoryview) -> None:
        """Take in the next bytes."""
        for one in self._each.values():
            one.update(block)

    def digests(self) -> dict[str, str]:
        """Hexadecimal digests of all bytes so far, by name."""
        return {name: one.hexdigest() for name, one in self._each.items()}

    def copy_from(self, descriptor: int, size_bytes: int, stop: Callable[[], bool] | None = None) -> int:
        """Take in what ``descriptor`` gives, at most ``size_bytes``; returns how many bytes there were."""
        done = 0
        # A block of its own for each call: threads hash side by side, and a file of any size takes one megabyte.
        block = memoryview(bytearray(min(BLOCK_BYTES, max(size_bytes, 1))))
        while done < size_bytes:
            count = os.readv(descriptor, [block[: size_bytes - done]])
            if not count or (stop is not None and stop()):
                break
            self.update(block[:count])
            done += count
        return done


def of_file(
    path: str | os.PathLike[str], names: Iterable[str], stop: Callable[[], bool] | None = None
) -> tuple[int, dict[str, str]]:
    """Size in bytes and digests of a regular file; symbolic links are not followed. Raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        digester = Digester(names)
        size = digester.copy_from(descriptor, os.fstat(descriptor).st_size, stop)
        return size, digester.digests()
    finally:
        os.close(descriptor)


def difference(size_bytes: int, digests: Mapping[str, str], wanted_bytes: int, wanted: Mapping[str, str]) -> str | None:
    """Why a file is not what its Manifest says, in a few words; None when it is."""
    if size_bytes != wanted_bytes:
        return f"{size_bytes} bytes instead of {wanted_bytes}"
    wrong = [name for name, value in usable(wanted).items() if digests.get(name) != value]
    return f"wrong {' and '.join(sorted(wrong))}" if wrong else None
