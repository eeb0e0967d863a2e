"""A planted fault for each kind of finding of the check ``loader``."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from tests.elf_files import elf, put
from tests.linkage_faults import DIRECTORIES, PREFIX

LOADER_FILE = "lib64/ld-linux-x86-64.so.2"
DRIVERS = f"{PREFIX}/lib/drivers"


def loader(*directories: str) -> bytes:
    """A loader that searches ``directories``, and then the layer's own."""
    return elf(soname="ld-linux-x86-64.so.2", extra="".join(f"{each}/\0" for each in directories).encode() + DIRECTORIES)


def cache(*paths: str) -> bytes:
    """A cache of glibc 2.2 and later that names these libraries."""
    names = [path.rpartition("/")[2] for path in paths]
    strings = b"".join(text.encode() + b"\0" for pair in zip(names, paths, strict=True) for text in pair)
    at, entries = 48 + 24 * len(paths), []
    for name, path in zip(names, paths, strict=True):
        entries.append(struct.pack("<iIIIQ", 0x0303, at, at + len(name) + 1, 0, 0))
        at += len(name) + len(path) + 2
    header = b"glibc-ld.so.cache1.1" + struct.pack("<IIBBBBIIII", len(paths), len(strings), 2, 0, 0, 0, 0, 0, 0, 0)
    return header + b"".join(entries) + strings


def with_driver_directory(tree: Path) -> None:
    """The sound state: the loader searches the declared directory first, its cache and preload list name the layer's files."""
    put(tree, LOADER_FILE, loader(DRIVERS))
    put(tree, "etc/ld.so.cache", cache(f"{PREFIX}/usr/lib64/libz.so.1"))
    put(tree, "etc/ld.so.preload", f"# {PREFIX}/usr/lib64/libz.so.1 of /usr/lib\n{PREFIX}/usr/lib64/libz.so.1\n".encode())


def _writes(path: str, content: bytes) -> Callable[[Path], object]:
    return lambda tree: put(tree, path, content)


PLANTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "loader-cache-outside": (
        _writes("etc/ld.so.cache", cache("/usr/lib/libz.so.1", f"{PREFIX}/usr/lib64/libz.so.1", "/lib64/libc.so.6")),
        f"etc/ld.so.cache: expected libraries below {PREFIX}, found /usr/lib/libz.so.1, and 1 more",
    ),
    "loader-preload-outside": (
        _writes("etc/ld.so.preload", b"/opt/site/libmonitor.so\n"),
        f"etc/ld.so.preload: expected libraries below {PREFIX}, found /opt/site/libmonitor.so",
    ),
    "loader-directory-outside": (
        _writes(LOADER_FILE, loader(DRIVERS, "/usr/lib64")),
        f"{LOADER_FILE}: expected directories below {PREFIX}, found /usr/lib64",
    ),
    "loader-trusted-directory-missing": (
        _writes(LOADER_FILE, loader()),
        f"{LOADER_FILE}: expected {DRIVERS}, found {PREFIX}/lib64:{PREFIX}/usr/lib64",
    ),
}
