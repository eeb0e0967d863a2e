"""Engine ``bootstrap``: Gentoo's own ``bootstrap-prefix.sh`` makes the prefix, at a pinned commit and from pinned files.

The script works in stages and leaves ``.stageN-finished`` in the prefix after each; called again, it goes on behind the last of
them. What it downloads, it does not verify: here it finds every file in place already, and each was hashed; a file that is not
there it cannot have. Afterwards the prefix has a Portage and a Python of its own, and these do the rest.

Source: https://gitweb.gentoo.org/repo/proj/prefix.git/tree/scripts/bootstrap-prefix.sh
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from compatlayer.declaration import model
from compatlayer.declaration.model import EngineName, Part, Version
from compatlayer.engine import host as machine
from compatlayer.engine import settings
from compatlayer.engine.base import Adopted, Files, Host, Step, Workshop
from compatlayer.engine.native import PYTHONS
from compatlayer.engine.wrapper import Toolchain
from compatlayer.gentoo.packages import Distfile, SourceUri

# What the script takes from the host and does not build for itself, and what the view needs.
NEEDED = ("bash", "gcc", "g++", "make", "tar", "gzip", "bzip2", "xz", "bwrap")
# The script's own marks, one a stage.
MARKS: Mapping[str, PurePosixPath] = {stage: PurePosixPath(f".{stage}-finished") for stage in ("stage1", "stage2", "stage3")}
# Ours: what an unfinished bootstrap works from. It appears before anything else and goes last.
BEGUN = PurePosixPath(".compatlayer-bootstrap.json")

TREE, FINISH = "tree", "finish"
STEPS = (
    Step(TREE, "the declared ebuild repository takes the place of the newest one, which the script would fetch unverified"),
    Step("stage1", "tools that know the prefix, built by the host's compiler: bash, Python, Portage, and what the host lacks"),
    Step("stage2", "a compiler and what Portage needs, in a place of their own: they build the rest and are removed"),
    Step("stage3", "C library, compiler, Portage and the profile's system set, in the prefix itself"),
    Step(FINISH, "nothing is left of stages 1 and 2, of the script's settings and of this machine"),
)


class BootstrapEngine:
    """The host's compiler for the first two stages; then everything is the prefix's own."""

    name = EngineName.BOOTSTRAP
    own_portage = True
    installs_system = True

    def probe(self, memory: Path) -> Host:
        """Look at this machine, and for the programs that the script does not build for itself."""
        return machine.look(NEEDED, (), memory)

    def etc_portage(self, part: Part, version: Version, host: Host, declared: frozenset[str]) -> Files:
        """``make.conf/00-engine``: what the script writes itself, without what it writes about this machine and its user."""
        variables = {
            "CFLAGS": "-O2 -pipe",
            "CXXFLAGS": "${CFLAGS}",
            "USE": "unicode nls",
            "CONFIG_SHELL": f"{part.prefix}/bin/bash",
            "GENTOO_MIRRORS": "",
        }
        if part.target.name == "linux-x86_64":
            # The one target on which the script keeps to stable packages, unless a person says otherwise.
            variables["ACCEPT_KEYWORDS"] = f"{part.target.keyword} -~{part.target.keyword}"
        return {PurePosixPath("make.conf/00-engine"): settings.make_conf(self.name, variables)}

    def compiled_in(self, part: Part, version: Version) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def toolchain(self, part: Part, host: Host, place: PurePosixPath) -> Toolchain | None:
        """None: the prefix has its own."""
        return None

    def portage(self, part: Part, workshop: Workshop, program: str) -> tuple[str, ...]:
        """The prefix's own program, which finds its interpreter itself."""
        place = "usr/sbin" if program in settings.ADMINISTRATIVE else "usr/bin"
        return (f"{part.prefix}/{place}/{program}",)

    def environment(self, part: Part, host: Host, workshop: Workshop) -> Mapping[str, str]:
        """The prefix's programs come first in PATH; its Portage knows by itself where it is."""
        own = [f"{part.prefix}/{place}" for place in ("usr/sbin", "usr/bin", "sbin", "bin")]
        variables = settings.environment(part, host, workshop, ":".join([*own, str(workshop.tools), "/usr/bin", "/bin"]))
        del variables["PORTAGE_OVERRIDE_EPREFIX"]
        return variables

    def adopted(self, part: Part) -> Adopted | None:
        """None: a part is built from nothing."""
        return None

    def steps(self, trees: Sequence[Path]) -> tuple[Step, ...]:
        """What has to be done before the prefix that ``trees`` make up can emerge by itself; none when it can."""
        done = {stage for stage, mark in MARKS.items() if is_there(trees, mark)}
        if done == set(MARKS):
            return tuple(step for step in STEPS if step.name == FINISH and is_there(trees, BEGUN))
        return tuple(step for step in STEPS if step.name not in done)

    def python(self, trees: Sequence[Path]) -> PurePosixPath | None:
        """The interpreter that owns the prefix's Portage, by path below the prefix; None before there is one."""
        if self.steps(trees):
            return None
        return next((place for place in PYTHONS if is_there(trees, place)), None)

    def sources(self, version: Version) -> Sequence[Distfile]:
        """The script, and what it asks for by itself."""
        declared = version.bootstrap
        return tuple(map(_distfile, (declared.script, *declared.sources))) if declared else ()


def is_there(trees: Sequence[Path], path: PurePosixPath) -> bool:
    """Whether the topmost tree that knows ``path`` has something there. A link counts, wherever it leads."""
    for tree in trees:
        try:
            mode = (tree / path).lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        return not stat.S_ISCHR(mode)  # overlayfs's mark of a deletion
    return False


def script_environment(part: Part, host: Host, workshop: Workshop, *, jobs: int, mirrors: Sequence[str]) -> dict[str, str]:
    """The variables that the script honours, and those that it insists on; ``mirrors`` go behind our own.

    It starts a login shell to see whether that sets what breaks builds, and refuses then.
    """
    return {
        "HOME": str(workshop.home),
        "USER": host.user,
        "LOGNAME": host.user,
        "SHELL": "/bin/bash",
        "PATH": f"{workshop.tools}:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "TERM": "dumb",
        "CHOST": part.target.chost,
        "PORTAGE_TMPDIR": str(workshop.build),
        "PORTDIR": str(part.prefix / "var/db/repos" / "gentoo"),
        "GENTOO_MIRRORS": " ".join([f"{workshop.mirror}/distfiles", *mirrors]),
        "USE_CPU_CORES": str(jobs),
        "FEATURES": "-news -sandbox -usersandbox",
    }


def profile_directory(profile: str) -> str | None:
    """The path of ``repository:path`` in Gentoo's tree; None when an overlay has it, which the script does not know."""
    repository, _, path = profile.partition(":")
    return path if repository == "gentoo" else None


def _distfile(source: model.Source) -> Distfile:
    mirror, _, path = source.url.removeprefix("mirror://").partition("/")
    uri = SourceUri(source.url, mirror, path) if source.url.startswith("mirror://") else SourceUri(source.url)
    return Distfile(source.name, (uri,), source.size_bytes, {"SHA256": source.sha256})
