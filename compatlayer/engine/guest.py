"""Engine ``guest``: packages are built by the host's compiler against the host's libc.

The quickest way to a layer (minutes), for trials and for pull requests; a layer that must run elsewhere wants ``standalone``.
Follows what Gentoo Prefix calls a guest: https://wiki.gentoo.org/wiki/Project:Prefix
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from compatlayer.declaration.model import EngineName, Part
from compatlayer.engine import host as machine
from compatlayer.engine.base import Files, Host, Workshop
from compatlayer.gentoo.portage_configuration import shell_quoted

NEEDED = ("bash", "gcc", "g++", "make", "patch", "tar", "bzip2", "xz", "wget", "ld", "scanelf", "bwrap")

# Gentoo's name of what a host program provides. Where the host has the program, and the layer does not declare the package, the
# build dependency on it counts as met (portage(5), package.provided).
PROVIDED: Mapping[str, str] = {
    "gcc": "sys-devel/gcc",
    "ld": "sys-devel/binutils",
    "ldd": "sys-libs/glibc",
    "make": "dev-build/make",
    "patch": "sys-devel/patch",
    "bash": "app-shells/bash",
    "tar": "app-arch/tar",
    "gzip": "app-arch/gzip",
    "sed": "sys-apps/sed",
    "gawk": "sys-apps/gawk",
    "grep": "sys-apps/grep",
    "find": "sys-apps/findutils",
    "diff": "sys-apps/diffutils",
    "perl": "dev-lang/perl",
    "m4": "sys-devel/m4",
    "bison": "sys-devel/bison",
    "flex": "sys-devel/flex",
    "autoconf": "dev-build/autoconf",
    "automake": "dev-build/automake",
    "pkg-config": "dev-util/pkgconf",
    "msgfmt": "sys-devel/gettext",
}

# Portage's own, with less patience: an upstream that does not answer gives way to the next source.
FETCH = 'wget -nv -t 2 -T 30 -O "${DISTDIR}/${FILE}" "${URI}"'
RESUME = 'wget -nv -c -t 2 -T 30 -O "${DISTDIR}/${FILE}" "${URI}"'

# Portage's own isolation needs privileges or programs that are not here; the stage's view isolates instead.
FEATURES = (
    "observability parallel-install compressdebug -binpkg-logs -buildpkg-live -ipc-sandbox -mount-sandbox -network-sandbox -news "
    "-pid-sandbox -preserve-libs -qa-unresolved-soname-deps -sandbox -userfetch -userpriv -usersandbox -usersync -merge-sync"
)


class GuestEngine:
    """The host's toolchain, Portage from this program's own environment."""

    name = EngineName.GUEST

    def probe(self) -> Host:
        """Look at this machine. Raises ``HostError`` naming every missing program and how to install it."""
        return machine.look(NEEDED, [name for name in PROVIDED if name not in NEEDED])

    def etc_portage(self, part: Part, host: Host, declared: frozenset[str]) -> Files:
        """``make.conf/00-engine`` and ``profile/package.provided/00-engine``: nothing in them names a machine or its paths."""
        libraries = f"{part.prefix}/usr/lib64"
        settings = {
            "CHOST": part.target.chost,
            "CBUILD": part.target.chost,
            "CFLAGS": "-O2 -pipe",
            "CXXFLAGS": "${CFLAGS}",
            "CPPFLAGS": f"-I{part.prefix}/usr/include",
            "LDFLAGS": f"-Wl,-O1 -Wl,--as-needed -L{libraries} -Wl,-rpath,{libraries}",
            "GENTOO_MIRRORS": "",
            "USE": "prefix-guest",
        }
        text = "# Written by compatlayer's engine 'guest'; the layer's own settings follow in the files after this one.\n"
        text += "".join(f"{name}={shell_quoted(value)}\n" for name, value in settings.items())
        return {
            PurePosixPath("make.conf/00-engine"): text.encode(),
            PurePosixPath("profile/package.provided/00-engine"): self._provided(host, declared),
        }

    def _provided(self, host: Host, declared: frozenset[str]) -> bytes:
        lines = ["# What the host brings along, found by asking its programs; the layer's own packages are not among it."]
        for program, package in PROVIDED.items():
            if program in host.versions and package not in declared:
                lines.append(f"{package}-{host.versions[program]}")
        return ("\n".join(lines) + "\n").encode()

    def environment(self, part: Part, host: Host, workshop: Workshop) -> Mapping[str, str]:
        """Portage's directories, its user, the number of jobs and PATH: the layer's own programs first, then the host's."""
        return {
            "PORTAGE_OVERRIDE_EPREFIX": str(part.prefix),
            "PATH": f"{part.prefix}/usr/bin:{part.prefix}/bin:{workshop.tools}:/usr/bin:/bin",
            "HOME": str(workshop.home),
            "DISTDIR": str(workshop.distfiles),
            "PKGDIR": str(workshop.packages),
            "RPMDIR": str(workshop.packages),
            "PORTAGE_TMPDIR": str(workshop.build),
            "PORTAGE_LOGDIR": str(workshop.logs),
            "EMERGE_LOG_DIR": str(workshop.logs),
            "PORTAGE_USERNAME": host.user,
            "PORTAGE_GRPNAME": host.group,
            "PORTAGE_INST_UID": str(host.uid),
            "PORTAGE_INST_GID": str(host.gid),
            "FEATURES": FEATURES,
            "FETCHCOMMAND": FETCH,
            "RESUMECOMMAND": RESUME,
            "MAKEOPTS": f"-j{host.cpu_count}",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
        }
