"""What every engine offers: what it needs from the host, Portage's configuration, and the environment of a build.

An engine decides; it changes neither the host nor the prefix. The roles install what it returns, and the resolver reads the same
values, so that a plan and the build it announces cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from compatlayer.declaration.model import EngineName, Part, Version
from compatlayer.engine.wrapper import Toolchain
from compatlayer.gentoo.packages import Distfile

Files = Mapping[PurePosixPath, bytes]


@dataclass(frozen=True, slots=True)
class Host:
    """What this machine is and has, as far as a build depends on it.

    ``versions`` are upstream version numbers by program name; a program that was looked for and is missing is absent.
    ``missing`` names the programs without which nothing can be built here; resolving does not need them.
    """

    user: str
    group: str
    uid: int
    gid: int
    cpu_count: int
    versions: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where building happens, as the build sees it: the same paths on every machine, so that none leaks into a layer.

    ``tools`` holds names the host lacks (``gtar``), ``python`` is the interpreter that owns Portage.
    """

    build: PurePosixPath
    distfiles: PurePosixPath
    mirror: PurePosixPath
    packages: PurePosixPath
    logs: PurePosixPath
    tools: PurePosixPath
    home: PurePosixPath
    toolchain: PurePosixPath
    python: PurePosixPath
    emerge: PurePosixPath


@dataclass(frozen=True, slots=True)
class Step:
    """Something that has to be done once, before a prefix can emerge; ``reason`` says what it is for."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Adopted:
    """A prefix that exists on this machine, and the interpreter that owns the Portage in it."""

    tree: Path
    python: Path


class Engine(Protocol):
    """One way to make a prefix able to emerge.

    ``own_portage``: a Portage that lies in the prefix itself resolves and builds, not ours. ``installs_system``: the prefix holds
    the profile's system set, whether it is declared or not.
    """

    name: EngineName
    own_portage: bool
    installs_system: bool

    def probe(self, memory: Path) -> Host:
        """Look at this machine; ``memory`` is a file that remembers what its programs said of their versions."""

    def etc_portage(self, part: Part, version: Version, host: Host, declared: frozenset[str]) -> Files:
        """The engine's own files by path below ``etc/portage``; ``declared`` are the names that the layer installs."""

    def compiled_in(self, part: Part, version: Version) -> Mapping[str, str]:
        """Settings of the declaration that are compiled into packages, in words, by ``category/name``.

        Portage knows nothing of them; their ebuilds record them (``CL_COMPILED_IN``), so that a change is a rebuild.
        """

    def toolchain(self, part: Part, host: Host, place: PurePosixPath) -> Toolchain | None:
        """A compiler of the engine's own, laid out at ``place`` for the build; None when the host's is used as it is."""

    def portage(self, part: Part, workshop: Workshop, program: str) -> tuple[str, ...]:
        """The command that runs one of Portage's programs, such as ``emerge``."""

    def environment(self, part: Part, host: Host, workshop: Workshop) -> Mapping[str, str]:
        """What ``emerge`` finds in its environment: everything that belongs to this machine and not to the layer."""

    def adopted(self, part: Part) -> Adopted | None:
        """The prefix that this part already is, with its own Portage; None where our Portage builds it from nothing."""

    def steps(self, trees: Sequence[Path]) -> tuple[Step, ...]:
        """What has to be done before the part that ``trees`` make up (the one that wins first) can emerge; mostly nothing."""

    def python(self, trees: Sequence[Path]) -> PurePosixPath | None:
        """The interpreter of the Portage that lies in the part, below the prefix; None as long as ours has to answer."""

    def sources(self, version: Version) -> Sequence[Distfile]:
        """Source files that the engine itself needs, beyond those of the packages; the mirror keeps them as well."""
