"""The past: what is where since when, the way back, and what of it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from compatlayer import changelog
from compatlayer.changelog import Section
from compatlayer.declaration.model import Part
from compatlayer.errors import RepositoryError
from compatlayer.publish import contents_of, make_section, origin_of
from compatlayer.repository.base import Message, Repository, Revision
from compatlayer.repository.deliver import Delivery, Load, deliver
from compatlayer.tree.between import between
from compatlayer.tree.rows import Row, rows_between

# How long a revision whose tag went can still be had back.
GRACE = timedelta(days=14)
# CernVM-FS advises fewer than 50 named snapshots in a repository, all parts together.
MOST_TAGS = 49
KEPT_OF_EACH_PART = 3


@dataclass(frozen=True, slots=True)
class Lived:
    """A revision of the test repository with the production revisions that have its tree, oldest first; or the reverse
    where production holds what test no longer does.
    """

    tested: Revision | None
    promoted: tuple[Revision, ...]
    is_live: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """A tag that retention leaves in place, and why."""

    tag: str
    reason: str


def history(test: Repository, production: Repository | None, part: Part) -> tuple[Lived, ...]:
    """Both repositories side by side, newest first."""
    promoted = list(production.revisions(part)) if production else []
    live = promoted[0].root if promoted else None
    tested = list(test.revisions(part))
    found = [Lived(one, tuple(two for two in reversed(promoted) if two.root == one.root), one.root == live) for one in tested]
    known = {one.root for one in tested}
    alone = [Lived(None, (one,), one is promoted[0]) for one in promoted if one.root not in known]
    return tuple(sorted([*found, *alone], key=lambda one: -(one.tested or one.promoted[0]).created_at_utc.timestamp()))


def rollback(root: Path, repository: Repository, part: Part, target: Revision) -> tuple[Revision | None, Section | None]:
    """Restore a part from one of its revisions, by a new revision with an equal root; None when it is there already.

    ``root`` is the layer's directory. The other parts of the repository are not touched. Raises ``RepositoryError``; the
    repository then stands where it stood.
    """
    head = repository.head(part)
    if head is None:
        raise RepositoryError(f"{repository.name} holds no revision of {part}")
    if head.root == target.root:
        return None, None
    before, tree = repository.manifest(head, part), repository.manifest(target, part)
    contents = contents_of(repository, head, part), contents_of(repository, target, part)
    called = target.tags[0] if target.tags else f"revision {target.number}"
    section = make_section(root, part, head, contents, (before, tree), note=f"rolled back to {called}")
    origin = replace(origin_of(section), restored_from=target.id, promoted_from=target.origin.promoted_from)
    message = Message(f"{section.title}: {section.summary}", origin)
    changes = between(before, tree)
    with repository.source(target, part, [put.path for put in changes.puts]) as source:
        revision = deliver(repository, Delivery(part, head, message, (Load(changes, source, tree),)))
    return revision, section


def compare(root: Path, first: tuple[Repository, Revision], second: tuple[Repository, Revision], part: Part) -> Section:
    """What is different between two revisions, wherever they are."""
    contents = contents_of(*first, part), contents_of(*second, part)
    trees = first[0].manifest(first[1], part), second[0].manifest(second[1], part)
    section = make_section(root, part, None, contents, trees)
    return replace(section, title=f"{first[0].name}:{first[1].number}..{second[0].name}:{second[1].number}")


def files(first: tuple[Repository, Revision], second: tuple[Repository, Revision], part: Part) -> tuple[Row, ...]:
    """The paths that are different between two revisions; what this house writes itself is left out."""
    found = rows_between(first[0].manifest(first[1], part), second[0].manifest(second[1], part))
    return tuple(row for row in found if row.path not in changelog.OWN_FILES)


def retention(
    tags: Sequence[tuple[str, Revision, str]], live: Sequence[str], most: int = MOST_TAGS
) -> tuple[tuple[str, ...], tuple[Kept, ...]]:
    """Which tags go, oldest first, so that no more than ``most`` are left, and why the others stay. Pure.

    ``tags`` are name, revision and part; ``live`` the identities and roots that are in use: heads, and what production
    holds. A name that a person gave (not ``<version>-<target>.<number>``) never goes by itself.
    """
    kept: list[Kept] = []
    candidates: list[tuple[str, Revision]] = []
    newest: dict[str, int] = {}
    for name, revision, part in sorted(tags, key=lambda one: -one[1].created_at_utc.timestamp()):
        newest[part] = newest.get(part, 0) + 1
        if revision.id in live or revision.root in live:
            kept.append(Kept(name, "in use"))
        elif not name.rpartition(".")[2].isdecimal():
            kept.append(Kept(name, "named by a person"))
        elif newest[part] <= KEPT_OF_EACH_PART:
            kept.append(Kept(name, f"one of the last {KEPT_OF_EACH_PART} of {part}"))
        else:
            candidates.append((name, revision))
    room = max(most - len(kept), 0)
    kept += [Kept(name, f"there is room for {most} tags") for name, _ in candidates[:room]]
    return tuple(name for name, _ in reversed(candidates[room:])), tuple(kept)


def tags_of(repository: Repository, parts: Sequence[Part]) -> list[tuple[str, Revision, str]]:
    """Every tag of a repository's revisions: name, revision, part."""
    return [(tag, one, str(part)) for part in parts for one in repository.revisions(part) for tag in one.tags]


def in_use(test: Repository, production: Repository | None, parts: Sequence[Part]) -> tuple[str, ...]:
    """Identities of the heads, and the roots that production holds: their tags stay."""
    heads = [one.head(part) for part in parts for one in (test, production) if one is not None]
    live = production.head if production is not None else None
    roots = [head.root for part in parts if live is not None and (head := live(part)) is not None]
    return (*(head.id for head in heads if head is not None), *roots)


def keep_few(repository: Repository, parts: Sequence[Part], live: Sequence[str], most: int = MOST_TAGS) -> tuple[str, ...]:
    """Let the oldest tags go that are too many, and collect what nothing needs then; returns the tags that went.

    ``parts`` are all parts of the repository. What a tag, a head, or the grace period needs is kept.
    """
    found = tags_of(repository, parts)
    gone, _ = retention(found, live, most)
    if not gone:
        return ()
    youngest = datetime.now(UTC) - GRACE
    for tag in gone:
        repository.untag(tag)
    named = {one.id for tag, one, _ in found if tag not in gone}
    grace = {one.id: one for _, one, _ in found if one.id not in named and one.created_at_utc > youngest}
    # A backend that keeps nothing without a name keeps no grace period either.
    repository.collect_garbage(list(grace.values()) if repository.kind == "ostree" else [])
    return gone
