"""Where a build happens: the directories of the state directory, how the build sees them, and what is laid out in them.

The build's places have the same paths on every machine, so that a path that leaks into a package is at least not this machine's.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from compatlayer import selection
from compatlayer.engine.base import Workshop
from compatlayer.mirror import names as mirror_names
from compatlayer.selection import Selection

ROOT = PurePosixPath("/compatlayer")
BUILD = "build"
# A generated ebuild repository that only says what mirror:// names mean on this machine. The build sees it, the layer does not.
MACHINE_REPOSITORY = "compatlayer-machine"
# Places that a build may read, and no more.
READ_ONLY = ("files", "machine", "mirror", "toolchain")


@dataclass(frozen=True, slots=True)
class Options:
    """How to converge: without network, without a view (``bind`` False), and how many packages at once.

    ``binaries`` None: no binary packages. Otherwise Portage takes those of the packages named here (``category/name-version``),
    which lie in its PKGDIR; with ``keep_binaries`` it writes one of everything that it builds there.
    """

    offline: bool = False
    bind: bool = True
    jobs: int | None = None
    binaries: frozenset[str] | None = None
    keep_binaries: bool = False


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of the state directory that a build uses, and how the build sees them.

    ``build_at`` is the name under which a view shows the build directory: another one only to find out who remembers it.
    """

    state: Path
    run: Path
    part: str
    build_at: str = BUILD

    @property
    def host(self) -> Mapping[str, Path]:
        """Directories by the name of their place below ``ROOT``."""
        return {
            BUILD: self.state / "build" / self.part,
            "distfiles": self.state / "distfiles",
            "mirror": self.state / "mirror",
            "packages": self.state / "packages" / self.part,
            "logs": self.run / "logs",
            "files": self.run / "files",
            "tools": self.state / "tools",
            "toolchain": self.state / "toolchain" / self.part,
            "home": self.state / "home",
            "machine": self.state / "machine",
            "bootstrap": self.state / "bootstrap" / self.part,
        }

    def make(self) -> None:
        """Make them all, with a GNU tar called ``gtar`` among the tools (Portage insists on the name)."""
        for directory in self.host.values():
            directory.mkdir(parents=True, exist_ok=True)
        gtar = self.host["tools"] / "gtar"
        tar = shutil.which("gtar") or shutil.which("tar")
        if tar and not gtar.exists():
            gtar.unlink(missing_ok=True)
            gtar.symlink_to(tar)

    def seen(self, name: str, *, bound: bool) -> PurePosixPath:
        """The path of a place as the build sees it."""
        if not bound:
            return PurePosixPath(self.host[name])
        return ROOT / (self.build_at if name == BUILD else name)

    def workshop(self, *, bound: bool) -> Workshop:
        """The places as engines name them."""
        return Workshop(
            build=self.seen(BUILD, bound=bound),
            distfiles=self.seen("distfiles", bound=bound),
            mirror=self.seen("mirror", bound=bound),
            packages=self.seen("packages", bound=bound),
            logs=self.seen("logs", bound=bound),
            tools=self.seen("tools", bound=bound),
            toolchain=self.seen("toolchain", bound=bound),
            home=self.seen("home", bound=bound),
            python=PurePosixPath(sys.executable),
            emerge=PurePosixPath(sys.prefix) / "bin" / "emerge",
        )


def begin_run(state: Path, verb: str, part: str) -> Path:
    """A new directory for one run's logs, ``runs/<time>-<verb>-<part>``, with ``runs/latest`` pointing at it."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    runs = state.absolute() / "runs"
    for attempt in range(1000):
        directory = runs / (f"{stamp}-{verb}-{part}" + (f".{attempt}" if attempt else ""))
        try:
            directory.mkdir(parents=True)
            break
        except FileExistsError:
            continue
    latest = runs / f".latest.{os.getpid()}"
    latest.unlink(missing_ok=True)
    latest.symlink_to(directory.name)
    latest.replace(runs / "latest")
    return directory


def write_inputs(chosen: Selection, places: Places) -> None:
    """What the roles install from, and the machine's own ebuild repository."""
    empty(places.host["files"])
    for path, content in selection.prefix_files(chosen).items():
        write_file(places.host["files"] / path, content)
    known = mirror_names.resolve(chosen.layer.mirrors)
    machine = places.host["machine"]
    write_file(machine / "profiles" / "repo_name", f"{MACHINE_REPOSITORY}\n".encode())
    write_file(machine / "profiles" / "thirdpartymirrors", mirror_names.thirdpartymirrors(known))
    write_file(machine / "profiles" / "eapi", b"8\n")
    write_file(machine / "metadata" / "layout.conf", b"masters =\nthin-manifests = true\n")


def lay_out_toolchain(chosen: Selection, places: Places, *, bound: bool) -> None:
    """Write the engine's compiler, where it has one of its own: anew each time, for the host's may have changed."""
    toolchain = chosen.engine.toolchain(chosen.part, chosen.host, places.seen("toolchain", bound=bound))
    directory = places.host["toolchain"]
    empty(directory)
    if toolchain is None:
        return
    for path, text in (*toolchain.scripts.items(), *toolchain.files.items()):
        write_file(directory / path, text.encode())
    for path in toolchain.scripts:
        (directory / path).chmod(0o755)
    for path, target in toolchain.links.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).symlink_to(target)


def write_file(path: Path, content: bytes) -> None:
    """Write a file of a run directory, making its directories; it need not survive a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def empty(directory: Path) -> None:
    """Make ``directory``, with nothing in it."""
    if directory.is_dir():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
