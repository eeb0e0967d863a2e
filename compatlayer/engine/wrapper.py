"""The compiler of a standalone prefix: the host's, behind a wrapper that cannot see the host's headers or libraries.

Files by path below the toolchain's directory, which belongs to the engine's state and not to the layer: wrapper scripts found
first in PATH, a GCC specs file that names the layer's own dynamic loader, links to the host's binutils and to the compiler's
static libraries. Source for the specs language: https://gcc.gnu.org/onlinedocs/gcc/Spec-Files.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

# The dynamic loader's name is part of each architecture's ABI (glibc's shlib-versions and abi notes).
LOADERS: Mapping[str, str] = {
    "x86_64": "ld-linux-x86-64.so.2",
    "aarch64": "ld-linux-aarch64.so.1",
    "riscv64": "ld-linux-riscv64-lp64d.so.1",
    "ppc64le": "ld64.so.2",
}

# Parts of the compiler that are linked into programs, beside the shared ones that the layer carries.
STATIC_PARTS = (
    *("libgcc.a", "libgcc_eh.a", "libgcov.a", "libstdc++.a", "libsupc++.a", "libstdc++fs.a"),
    *("libgomp.a", "libgomp.spec", "libatomic.a"),
    *("crtbegin.o", "crtbeginS.o", "crtbeginT.o", "crtend.o", "crtendS.o", "crtfastmath.o"),
)
# What works on the compiler's output is the host's as well, under every name that a makefile calls: once the layer has binutils
# of its own, a package built before and one built after would otherwise differ, and one built meanwhile would meet half of them.
BINUTILS = (
    *("addr2line", "ar", "as", "c++filt", "elfedit", "gprof", "ld", "ld.bfd", "ld.gold", "nm", "objcopy", "objdump"),
    *("ranlib", "readelf", "size", "strings", "strip"),
)
# The linker resolves -lgcc_s and -lstdc++ to the layer's own copies, under the names it looks for.
SHARED_PARTS = {"libstdc++.so": "libstdc++.so.6", "libgomp.so": "libgomp.so.1", "libatomic.so": "libatomic.so.1"}


@dataclass(frozen=True, slots=True)
class Compiler:
    """The host's compiler as the wrapper needs it: where it keeps its own parts, and its C++ header directories, in order."""

    version: str
    parts: Mapping[str, PurePosixPath]
    cxx_includes: tuple[PurePosixPath, ...]


@dataclass(frozen=True, slots=True)
class Toolchain:
    """What to lay out: ``scripts`` and ``files`` by relative path, ``links`` from relative path to target."""

    scripts: Mapping[PurePosixPath, str]
    files: Mapping[PurePosixPath, str]
    links: Mapping[PurePosixPath, PurePosixPath]


def toolchain(prefix: PurePosixPath, arch: str, chost: str, libdir: str, compiler: Compiler, place: PurePosixPath) -> Toolchain:
    """The toolchain of ``prefix``, seen by the build at ``place``."""
    library = prefix / "usr" / libdir
    loader = prefix / libdir / LOADERS[arch]
    parts = place / "lib"
    specs = (
        f"*link:\n+ %{{!static:%{{!static-pie:%{{!shared:%{{!r:-dynamic-linker {loader}}}}}}}}}\n\n"
        f"*link_libgcc:\n-L{parts} -L{library}\n\n"
    )
    common = f"--sysroot={prefix} -B{library}/ -B{parts}/ -specs={place / 'specs'}"
    includes = " ".join(f"-isystem {path}" for path in compiler.cxx_includes)
    cc = f'#!/bin/sh\nexec /usr/bin/gcc {common} "$@"\n'
    cxx = f'#!/bin/sh\nexec /usr/bin/g++ {common} -nostdinc++ {includes} "$@"\n'
    # Preprocessing alone must see the same world.
    cpp = f'#!/bin/sh\nexec /usr/bin/cpp --sysroot={prefix} "$@"\n'
    # pkg-config's own variables win over what a package sets, so that only the layer's files are read.
    directories = f"{library}/pkgconfig:{prefix}/usr/share/pkgconfig"
    pkg_config = f'#!/bin/sh\nexport PKG_CONFIG_LIBDIR={directories} PKG_CONFIG_PATH=\nexec /usr/bin/pkg-config "$@"\n'
    bin_directory = PurePosixPath("bin")
    scripts = {bin_directory / name: cc for name in ("gcc", "cc", f"{chost}-gcc", f"{chost}-cc")}
    scripts |= {bin_directory / name: cxx for name in ("g++", "c++", f"{chost}-g++", f"{chost}-c++")}
    scripts |= {bin_directory / name: cpp for name in ("cpp", f"{chost}-cpp")}
    scripts |= {bin_directory / name: pkg_config for name in ("pkg-config", f"{chost}-pkg-config")}
    links = {PurePosixPath("lib", name): path for name, path in compiler.parts.items()}
    links |= {PurePosixPath("lib", name): library / soname for name, soname in SHARED_PARTS.items()}
    for tool in BINUTILS:
        links |= {bin_directory / name: PurePosixPath("/usr/bin", tool) for name in (tool, f"{chost}-{tool}")}
    # gcc asks for -lgcc_s; the host's libgcc_s.so is a linker script, which says the same.
    files = {
        PurePosixPath("specs"): specs,
        PurePosixPath("lib", "libgcc_s.so"): f"GROUP ( {library}/libgcc_s.so.1 -lgcc )\n",
    }
    return Toolchain(scripts, files, links)
