"""Finding a revision by what a person calls it."""

from __future__ import annotations

from collections.abc import Sequence

from compatlayer.declaration.model import Part
from compatlayer.errors import RepositoryError, UsageError
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


def readable(part: Part, revision: Revision, repositories: Sequence[Repository]) -> tuple[Repository, Revision]:
    """Where the tree of a revision can be read: the first of ``repositories`` that shows one with an equal root.

    A CernVM-FS repository shows only its newest revision by default; what was promoted lies in the test repository as well.
    Raises ``RepositoryError`` when none does.
    """
    for repository in repositories:
        for one in repository.revisions(part):
            if one.root == revision.root and repository.shows(one, part):
                return repository, one
    names = " nor ".join(repository.name for repository in repositories)
    raise RepositoryError(
        f"revision {revision.number} of {part} cannot be read",
        cause=f"neither {names} shows its tree {revision.root[:12]}" if len(repositories) > 1 else f"{names} does not show it",
        hint="set CVMFS_VIRTUAL_DIR=true in the server.conf of a CernVM-FS repository and publish once: it then shows its tags",
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
