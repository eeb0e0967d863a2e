"""What the engines have in common that build a part from nothing with our own Portage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from compatlayer.declaration.model import Part, Version
from compatlayer.engine.base import Adopted, Step, Workshop
from compatlayer.gentoo.packages import Distfile


class OurPortage:
    """Nothing has to be done before a package can be built, and no Portage lies in the prefix."""

    own_portage = False
    installs_system = False

    def portage(self, part: Part, workshop: Workshop, program: str) -> tuple[str, ...]:
        """Ours, under the interpreter that owns it; all its programs lie side by side."""
        return (str(workshop.python), str(workshop.emerge.with_name(program)))

    def adopted(self, part: Part) -> Adopted | None:
        """None: a part is built from nothing."""
        return None

    def steps(self, trees: Sequence[Path]) -> tuple[Step, ...]:
        """None."""
        return ()

    def python(self, trees: Sequence[Path]) -> PurePosixPath | None:
        """None: our Portage answers."""
        return None

    def sources(self, version: Version) -> Sequence[Distfile]:
        """None: the compiler is the host's, and everything else is a package."""
        return ()
