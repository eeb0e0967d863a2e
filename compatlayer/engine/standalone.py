"""Engine ``standalone``: the layer has its own C library and dynamic loader; the host gives the kernel, and lends its compiler.

Kernel headers, C library and the compiler's run-time libraries are packages of the overlay; every compiled package depends on
them when USE ``prefix-guest`` is off. They are built first, the C library by the host's compiler as it is, everything after it
through a wrapper (``wrapper``) that cannot see the host's headers and libraries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from compatlayer import process
from compatlayer.declaration.model import EngineName, Part, Version
from compatlayer.engine import host as machine
from compatlayer.engine import settings, wrapper
from compatlayer.engine.base import Files, Host, Workshop
from compatlayer.engine.ours import OurPortage
from compatlayer.engine.wrapper import Compiler, Toolchain

# The C library's makefiles want bison, gawk and Python beside a compiler.
NEEDED = (
    "bash", "gcc", "g++", "make", "patch", "tar", "bzip2", "xz", "wget", "ld", "scanelf", "bwrap", "bison", "gawk", "python3",
)  # fmt: skip
LIBDIR = "lib64"
NSSWITCH = PurePosixPath("/etc/nsswitch.conf")
_INCLUDES = re.compile(r"#include <\.\.\.> search starts here:\n(.*?)\nEnd of search list", re.DOTALL)


class StandaloneEngine(OurPortage):
    """A toolchain wrapped around the layer's own C library, Portage from this program's own environment."""

    name = EngineName.STANDALONE

    def probe(self, memory: Path) -> Host:
        """Look at this machine, and for every program that a build needs."""
        return machine.look(NEEDED, [name for name in settings.PROVIDED if name not in NEEDED], memory)

    def etc_portage(self, part: Part, version: Version, host: Host, declared: frozenset[str]) -> Files:
        """make.conf and package.provided. Nothing names a machine; the trusted directories are the layer's own."""
        variables = {
            "CHOST": part.target.chost,
            "CBUILD": part.target.chost,
            "CFLAGS": "-O2 -pipe",
            "CXXFLAGS": "${CFLAGS}",
            # No search path: the layer's loader knows the layer's directories.
            "LDFLAGS": "-Wl,-O1 -Wl,--as-needed",
            "CL_TRUSTED_DIRS": _trusted(part, version),
            "CL_NSS": _name_service(version),
            "GENTOO_MIRRORS": "",
        }
        # What the layer brings itself must not count as the host's.
        own = declared | {"sys-libs/glibc", "sys-kernel/linux-headers", "sys-libs/gcc-runtime"}
        files = {PurePosixPath("make.conf/00-engine"): settings.make_conf(self.name, variables)}
        return files | dict(settings.package_provided(host, own))

    def compiled_in(self, part: Part, version: Version) -> Mapping[str, str]:
        """The C library's loader knows the trusted directories; the base layout has an ``nsswitch.conf`` of its own, or none."""
        return {
            "sys-libs/glibc": f"trusted_dirs={_trusted(part, version)}",
            "sys-apps/baselayout-prefix": f"nss={_name_service(version)}",
        }

    def toolchain(self, part: Part, host: Host, place: PurePosixPath) -> Toolchain | None:
        """The compiler's wrapper for this prefix, to be laid out at ``place``."""
        return wrapper.toolchain(part.prefix, part.target.arch, part.target.chost, LIBDIR, compiler(), place)

    def environment(self, part: Part, host: Host, workshop: Workshop) -> Mapping[str, str]:
        """The wrapper comes first in PATH, then the layer's own programs, then the host's."""
        path = f"{workshop.toolchain}/bin:{part.prefix}/usr/bin:{part.prefix}/bin:{workshop.tools}:/usr/bin:/bin"
        variables = settings.environment(part, host, workshop, path)
        # The C library's ebuild builds with the compiler as the host has it.
        variables |= {"CL_HOST_CC": "/usr/bin/gcc", "CL_HOST_CXX": "/usr/bin/g++"}
        return variables


def _trusted(part: Part, version: Version) -> str:
    """The trusted directories as the C library's makefile takes them."""
    return ":".join(version.trusted_directories(part))


def _name_service(version: Version) -> str:
    """Whose ``nsswitch.conf`` the layer reads: the host's where it is declared as a link, otherwise its own."""
    return "host" if any(link.path == NSSWITCH for link in version.host_links) else "own"


def compiler() -> Compiler:
    """Ask the host's gcc where it keeps its own parts. Raises ``ProgramError`` when there is none."""
    version = process.run(["gcc", "-dumpfullversion"]).stdout.strip()
    parts = {}
    for name in wrapper.STATIC_PARTS:
        found = process.run(["gcc", f"-print-file-name={name}"]).stdout.strip()
        # gcc answers with the bare name when it has no such file.
        if found.startswith("/"):
            parts[name] = PurePosixPath(found)
    return Compiler(version, parts, _cxx_includes())


def _cxx_includes() -> tuple[PurePosixPath, ...]:
    """The directories of the C++ library's headers, in the order in which g++ searches them."""
    said = process.run(["g++", "-E", "-x", "c++", "-v", "/dev/null"]).stderr
    found = _INCLUDES.search(said)
    lines = [line.strip() for line in found.group(1).splitlines()] if found else []
    return tuple(PurePosixPath(line) for line in lines if "/c++/" in line or line.endswith("/c++"))
