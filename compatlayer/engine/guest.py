"""Engine ``guest``: packages are built by the host's compiler against the host's libc.

The quickest way to a layer (minutes), for trials and for pull requests; a layer that must run elsewhere wants ``standalone``.
Follows what Gentoo Prefix calls a guest: https://wiki.gentoo.org/wiki/Project:Prefix
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from compatlayer.declaration.model import EngineName, Part, Version
from compatlayer.engine import host as machine
from compatlayer.engine import settings
from compatlayer.engine.base import Files, Host, Workshop
from compatlayer.engine.ours import OurPortage
from compatlayer.engine.wrapper import Toolchain

NEEDED = ("bash", "gcc", "g++", "make", "patch", "tar", "bzip2", "xz", "wget", "ld", "scanelf", "bwrap")


class GuestEngine(OurPortage):
    """The host's toolchain, Portage from this program's own environment."""

    name = EngineName.GUEST

    def probe(self, memory: Path) -> Host:
        """Look at this machine, and for every program that a build needs."""
        return machine.look(NEEDED, [name for name in settings.PROVIDED if name not in NEEDED], memory)

    def etc_portage(self, part: Part, version: Version, host: Host, declared: frozenset[str]) -> Files:
        """``make.conf/00-engine`` and ``profile/package.provided/00-engine``: nothing in them names a machine or its paths."""
        libraries = f"{part.prefix}/usr/lib64"
        variables = {
            "CHOST": part.target.chost,
            "CBUILD": part.target.chost,
            "CFLAGS": "-O2 -pipe",
            "CXXFLAGS": "${CFLAGS}",
            "CPPFLAGS": f"-I{part.prefix}/usr/include",
            "LDFLAGS": f"-Wl,-O1 -Wl,--as-needed -L{libraries} -Wl,-rpath,{libraries}",
            "GENTOO_MIRRORS": "",
        }
        files = {
            PurePosixPath("make.conf/00-engine"): settings.make_conf(self.name, variables),
            # Forced, as Gentoo's own guest profiles have it: a USE in the layer's make.conf takes the place of one before it.
            PurePosixPath("profile/use.force/00-engine"): b"prefix-guest\n",
        }
        return files | dict(settings.package_provided(host, declared))

    def compiled_in(self, part: Part, version: Version) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def toolchain(self, part: Part, host: Host, place: PurePosixPath) -> Toolchain | None:
        """None: the host's compiler is used as it is."""
        return None

    def environment(self, part: Part, host: Host, workshop: Workshop) -> Mapping[str, str]:
        """The layer's own programs come first in PATH, then the host's."""
        path = f"{part.prefix}/usr/bin:{part.prefix}/bin:{workshop.tools}:/usr/bin:/bin"
        return settings.environment(part, host, workshop, path)
