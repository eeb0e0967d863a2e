"""Finding a revision by what a person calls it."""

from __future__ import annotations

from collections.abc import Sequence

from compatlayer.declaration.model import Part
from compatlayer.errors import UsageError
from compatlayer.repository import PRODUCTION, TEST
from compatlayer.repository.base import Repository, Revision

HEAD = "head"
_SHORTEST_IDENTITY = 6


def find(repository: Repository, part: Part, name: str = HEAD) -> Revision:
    """The revision of a part called ``head``, by its number, a tag, or the beginning of its identity.

    Raises ``UsageError`` when there is none, or more than one.
    """
    revisions = repository.revisions(part)
    if not revisions:
        raise UsageError(f"{repository.name} holds no revision of {part}", hint="publish one: compatlayer publish")
    found = _matching(revisions, name)
    if len(found) == 1:
        return found[0]
    known = ", ".join(str(one.number) for one in revisions[:10])
    raise UsageError(
        f"{repository.name} holds {'more than one revision' if found else 'no revision'} '{name}' of {part}",
        hint=f"there are: {known}{', …' if len(revisions) > 10 else ''}; see compatlayer history",
    )


def split(name: str, default: str = TEST) -> tuple[str, str]:
    """Repository and revision of ``[test:|production:]REVISION``; the name of a repository alone means its head."""
    place, colon, rest = name.partition(":")
    if colon:
        return place, rest or HEAD
    return (name, HEAD) if name in (TEST, PRODUCTION) else (default, name)


def _matching(revisions: Sequence[Revision], name: str) -> list[Revision]:
    if name == HEAD:
        return list(revisions[:1])
    if name.isdecimal() and len(name) < _SHORTEST_IDENTITY:
        return [one for one in revisions if one.number == int(name)]
    tagged = [one for one in revisions if name in one.tags]
    return tagged or [one for one in revisions if len(name) >= _SHORTEST_IDENTITY and one.id.startswith(name)]
