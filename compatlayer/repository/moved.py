"""The error that both backends raise when a part is not where it was expected."""

from __future__ import annotations

from compatlayer.declaration.model import Part
from compatlayer.errors import RepositoryError
from compatlayer.repository.base import Revision


def moved(name: str, part: Part, head: Revision | None, expect: Revision | None) -> RepositoryError:
    """The error for a head that is another one than was expected."""
    there = f"revision {head.number} ({head.id[:12]}) by {head.origin.operator}, {head.message}" if head else "nothing"
    wanted = f"revision {expect.number} ({expect.id[:12]})" if expect else "nothing"
    return RepositoryError(
        f"{part} in {name} is not where it was expected",
        cause=f"expected {wanted}, found {there}",
        hint="somebody published meanwhile: compatlayer history",
    )
