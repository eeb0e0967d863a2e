"""What enter, test and hostlab look at: the stage of a part, or one of its published revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compatlayer.cli.context import Session

if TYPE_CHECKING:
    from compatlayer.declaration.model import Part
    from compatlayer.entering import Shown


def shown(session: Session, part: Part, revision: str | None) -> Shown:
    """The stage of ``part``, or its ``revision``. Raises ``StageError`` or ``UsageError`` where there is none."""
    from compatlayer import entering

    if revision is None:
        return entering.of_stage(session.state, part)
    from compatlayer.cli.repositories import Places

    return entering.of_directory(Places(session).tree(revision), part)
