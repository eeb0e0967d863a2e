"""Engine ``native``: a Gentoo Prefix that exists, with a Portage and a Python of its own.

It is looked at where it stands: the resolver is the prefix's own Portage, what is installed is what lies in it. It is not built:
its successor is a version of the same layer with one of the engines that build.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from compatlayer.declaration.model import EngineName, Part, Version
from compatlayer.engine import host as machine
from compatlayer.engine.base import Adopted, Files, Host, Step, Workshop
from compatlayer.engine.wrapper import Toolchain
from compatlayer.errors import HostError, UsageError
from compatlayer.gentoo.packages import Distfile

# Where a prefix keeps its Python: Gentoo's own places, then that of a Portage installed as a module.
PYTHONS = (PurePosixPath("usr/bin/python3"), PurePosixPath("bin/python3"), PurePosixPath("usr/bin/python"))


class NativeEngine:
    """Nothing of ours: Portage, its settings and its toolchain are the prefix's."""

    name = EngineName.NATIVE
    own_portage = True
    installs_system = False

    def probe(self, memory: Path) -> Host:
        """Look at this machine; nothing is needed to read a prefix."""
        return machine.look((), (), memory)

    def etc_portage(self, part: Part, version: Version, host: Host, declared: frozenset[str]) -> Files:
        """None: an adopted prefix has its settings in the layer's ``config/``."""
        return {}

    def compiled_in(self, part: Part, version: Version) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def toolchain(self, part: Part, host: Host, place: PurePosixPath) -> Toolchain | None:
        """None: the prefix has its own."""
        return None

    def portage(self, part: Part, workshop: Workshop, program: str) -> tuple[str, ...]:
        """Raises ``UsageError``: an adopted prefix is not built."""
        raise refusal(part)

    def environment(self, part: Part, host: Host, workshop: Workshop) -> Mapping[str, str]:
        """Raises ``UsageError``: an adopted prefix is not built."""
        raise refusal(part)

    def steps(self, trees: Sequence[Path]) -> tuple[Step, ...]:
        """None."""
        return ()

    def python(self, trees: Sequence[Path]) -> PurePosixPath | None:
        """None: see ``adopted``."""
        return None

    def sources(self, version: Version) -> Sequence[Distfile]:
        """None."""
        return ()

    def adopted(self, part: Part) -> Adopted | None:
        """The prefix, where it stands. Raises ``HostError`` when it is not on this machine."""
        return find(Path(part.prefix))


def find(prefix: Path) -> Adopted:
    """The prefix at ``prefix``, with the Python that owns its Portage. Raises ``HostError`` when there is none."""
    if not (prefix / "var/db/pkg").is_dir() or not (prefix / "etc/portage").is_dir():
        missing = next(name for name in ("var/db/pkg", "etc/portage") if not (prefix / name).is_dir())
        raise HostError(
            f"{prefix} is not a Gentoo Prefix of this machine",
            cause=f"it has no {missing}",
            hint="an adopted prefix is looked at where it stands: run this on a machine that has it",
        )
    for place in PYTHONS:
        if os.access(prefix / place, os.X_OK):
            return Adopted(prefix, prefix / place)
    raise HostError(
        f"{prefix} has no Python of its own",
        cause=f"looked for {', '.join(map(str, PYTHONS))}",
        hint="a prefix is adopted with its own Portage, which runs under its own Python",
    )


def refusal(part: Part) -> UsageError:
    """The error for building into an adopted prefix."""
    return UsageError(
        f"{part} is an adopted prefix: it is checked, planned and verified, but not built",
        hint="its own emerge changes it; or add a version with the same sets and another engine: docs/guides/adopt-a-prefix.md",
    )
