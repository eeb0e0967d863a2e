"""What the engines with our own Portage tell it alike: its directories and user, and what the host provides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from compatlayer.declaration.model import Part
from compatlayer.engine.base import Files, Host, Workshop
from compatlayer.gentoo.portage_configuration import shell_quoted

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

# Portage's own isolation needs privileges or programs that are not here; the stage's view isolates instead. A package that is
# built is merged at once, so that what depends on it can begin, and not when no other build is running (docs/adr/0012).
FEATURES = (
    "observability parallel-install compressdebug -binpkg-logs -buildpkg-live -ipc-sandbox -mount-sandbox -network-sandbox -news "
    "-pid-sandbox -preserve-libs -qa-unresolved-soname-deps -sandbox -userfetch -userpriv -usersandbox -usersync -merge-sync "
    "-merge-wait"
)


# The one time that stands for all times in what is built and recorded, in seconds (https://reproducible-builds.org/specs/source-date-epoch/):
# the beginning of 1980, before which zip archives know no time. Nobody takes it for the time of a build.
SOURCE_DATE_EPOCH_S = 315532800

# Portage's programs that change the system as a whole lie in sbin.
ADMINISTRATIVE = ("env-update", "etc-update", "dispatch-conf")


def make_conf(engine: str, settings: Mapping[str, str]) -> bytes:
    """``make.conf/00-engine``: the engine's variables, which the layer's own files may change after it."""
    text = f"# Written by compatlayer's engine '{engine}'; the layer's own settings follow in the files after this one.\n"
    return (text + "".join(f"{name}={shell_quoted(value)}\n" for name, value in settings.items())).encode()


def package_provided(host: Host, declared: frozenset[str]) -> Files:
    """``profile/package.provided/00-engine``: what the host's programs stand for, less what the layer installs itself."""
    lines = ["# What the host brings along, found by asking its programs; the layer's own packages are not among it."]
    for program, package in PROVIDED.items():
        if program in host.versions and package not in declared:
            lines.append(f"{package}-{host.versions[program]}")
    return {PurePosixPath("profile/package.provided/00-engine"): ("\n".join(lines) + "\n").encode()}


def environment(part: Part, host: Host, workshop: Workshop, path: str) -> dict[str, str]:
    """Portage's directories, its user, the number of jobs, and ``path`` as PATH."""
    return {
        "PORTAGE_OVERRIDE_EPREFIX": str(part.prefix),
        "PATH": path,
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
        "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH_S),
    }
