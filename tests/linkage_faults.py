"""A planted fault for each kind of finding of the check ``linkage``, and the sound layers they are planted in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.elf_files import AARCH64, elf, put
from tests.package_values import record

PREFIX = "/cvmfs/software.example.org/versions/1/compat/linux/x86_64"
LOADER = f"{PREFIX}/lib64/ld-linux-x86-64.so.2"
HOST_LOADER = "/lib64/ld-linux-x86-64.so.2"
# What glibc's loader holds of the directories it was configured with.
DIRECTORIES = f"{PREFIX}/lib64/\0{PREFIX}/usr/lib64/\0".encode()


def program(*needed: str, interpreter: str = LOADER, **fields: object) -> bytes:
    return elf(interpreter=interpreter, needed=needed, flags_1=0x08000000, **fields)  # type: ignore[arg-type]


def own(tree: Path, cpv: str, *paths: str) -> None:
    record(tree, cpv, EPREFIX=PREFIX, CONTENTS="\n".join(f"obj {PREFIX}/{path} {'0' * 32} 1" for path in paths))


def closed_layer(tree: Path) -> Path:
    """A layer with a C library of its own, a library, and a program of the package a/tool-1 that uses both."""
    put(tree, "lib64/ld-linux-x86-64.so.2", elf(soname="ld-linux-x86-64.so.2", extra=DIRECTORIES))
    put(tree, "lib64/libc.so.6", elf(soname="libc.so.6", needed=("ld-linux-x86-64.so.2",)))
    put(tree, "usr/lib64/libz.so.1.3", elf(soname="libz.so.1", needed=("libc.so.6",)))
    (tree / "usr/lib64/libz.so.1").symlink_to("libz.so.1.3")
    put(tree, "usr/bin/tool", program("libz.so.1", "libc.so.6"))
    own(tree, "a/tool-1", "usr/bin/tool", "usr/lib64/libz.so.1.3")
    return tree


def guest_layer(tree: Path) -> Path:
    """A layer on the host's C library: a library, and a program of the package a/tool-1 that finds it by its RUNPATH."""
    put(tree, "usr/lib64/libz.so.1", elf(soname="libz.so.1", needed=("libc.so.6",)))
    put(tree, "usr/bin/tool", program("libz.so.1", "libc.so.6", runpath=f"{PREFIX}/usr/lib64", interpreter=HOST_LOADER))
    own(tree, "a/tool-1", "usr/bin/tool")
    return tree


def _replaced(tree: Path) -> None:
    put(tree, "usr/lib64/libz.so.2", elf(soname="libz.so.2", needed=("libc.so.6",)))
    (tree / "usr/lib64/libz.so.1").unlink()
    (tree / "usr/lib64/libz.so.1.3").unlink()
    own(tree, "a/zlib-2", "usr/lib64/libz.so.2")


def _private(tree: Path) -> None:
    (tree / "usr/lib64/libz.so.1").unlink()
    put(tree, "opt/z/libz.so.1", elf(soname="libz.so.1", needed=("libc.so.6",)))


def _plugin(tree: Path) -> None:
    put(tree, "opt/z/libdeep.so.1", elf(soname="libdeep.so.1"))
    put(tree, "usr/lib64/tool/plugin.so", elf(needed=("libdeep.so.1",)))


def host_link(tree: Path) -> None:
    (tree / "usr/lib64/libz.so.1").unlink()
    (tree / "usr/lib64/libz.so.1").symlink_to("/usr/lib/libz.so.1")


def _writes(path: str, content: bytes) -> Callable[[Path], object]:
    return lambda tree: put(tree, path, content)


# By identifier: how it is planted in `closed_layer`, and how it is described.
PLANTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "elf-damaged": (
        _writes("usr/bin/tool", program("libz.so.1")[:300]),
        "usr/bin/tool: expected a whole ELF file, found it is cut short: 300 bytes of at least 480 (a/tool-1)",
    ),
    "elf-wrong-machine": (
        _writes("usr/bin/other", elf(machine=AARCH64, kind=2)),
        "usr/bin/other: expected x86_64, 64 bit, little endian, found aarch64, 64 bit, little endian",
    ),
    "elf-interpreter-missing": (
        _writes("usr/bin/tool", program(interpreter=f"{PREFIX}/lib/ld.so")),
        f"usr/bin/tool: expected {PREFIX}/lib/ld.so, found nothing there (a/tool-1)",
    ),
    "elf-interpreter-outside": (
        _writes("usr/bin/tool", program(interpreter=HOST_LOADER)),
        f"usr/bin/tool: expected a loader below {PREFIX}, found {HOST_LOADER} (a/tool-1)",
    ),
    "library-missing": (
        _writes("usr/bin/tool", program("libgone.so.3")),
        "usr/bin/tool: expected libgone.so.3, found nothing of that name in the layer (a/tool-1)",
    ),
    "soname-replaced": (_replaced, "usr/bin/tool: expected libz.so.1, found libz.so.2 of a/zlib-2 (a/tool-1)"),
    "library-out-of-reach": (
        _private,
        "usr/bin/tool: expected libz.so.1, found opt/z/libz.so.1, where the loader does not look (a/tool-1)",
    ),
    "plugin-library-out-of-reach": (
        _plugin,
        "usr/lib64/tool/plugin.so: expected libdeep.so.1, found opt/z/libdeep.so.1, where the loader does not look",
    ),
    "library-from-host": (
        host_link,
        "usr/bin/tool: expected libz.so.1, found /usr/lib/libz.so.1, which is the host's (a/tool-1)",
    ),
    "search-path-unsafe": (
        _writes("usr/bin/tool", program("libz.so.1", runpath="/tmp/build/lib")),
        "usr/bin/tool: expected directories of the layer, found /tmp/build/lib in its RUNPATH (a/tool-1)",
    ),
    "search-path-outside": (
        _writes("usr/bin/tool", program("libz.so.1", rpath="/usr/lib64")),
        f"usr/bin/tool: expected below {PREFIX}, found /usr/lib64 in its RPATH (a/tool-1)",
    ),
    "text-relocations": (
        _writes("usr/bin/tool", program("libz.so.1", textrel=True)),
        "usr/bin/tool: expected none, found text relocations (a/tool-1)",
    ),
    "executable-stack": (
        _writes("usr/bin/tool", program("libz.so.1", stack=7)),
        "usr/bin/tool: expected a plain stack, found an executable stack (a/tool-1)",
    ),
}
