"""The past: what is where since when, the way back, and what of it is kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
from compatlayer.repository.find import readable
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


def rollback(
    root: Path, repository: Repository, part: Part, target: Revision, others: Sequence[Repository] = ()
) -> tuple[Revision | None, Section | None]:
    """Restore a part from one of its revisions, by a new revision with an equal root; None when it is there already.

    ``root`` is the layer's directory. The tree is read from ``others`` where the repository cannot show it. The other parts of
    the repository are not touched. Raises ``RepositoryError``; the repository then stands where it stood.
    """
    head = repository.head(part)
    if head is None:
        raise RepositoryError(f"{repository.name} holds no revision of {part}")
    if head.root == target.root:
        return None, None
    place, twin = readable(part, target, (repository, *others))
    before, tree = repository.manifest(head, part), place.manifest(twin, part)
    contents = contents_of(repository, head, part), contents_of(place, twin, part)
    called = target.tags[0] if target.tags else f"revision {target.number}"
    section = make_section(root, part, head, contents, (before, tree), note=f"rolled back to {called}")
    origin = replace(origin_of(section), restored_from=target.id, promoted_from=target.origin.promoted_from)
    message = Message(f"{section.title}: {section.summary}", origin)
    changes = between(before, tree)
    with place.source(twin, part, [put.path for put in changes.puts]) as source:
        revision = deliver(repository, Delivery(part, head, message, (Load(changes, source, tree),)))
    return revision, section


def compare(
    root: Path,
    first: tuple[Repository, Revision],
    second: tuple[Repository, Revision],
    part: Part,
    others: Sequence[Repository] = (),
) -> Section:
    """What is different between two revisions, wherever they are; read from ``others`` where their own repository cannot."""
    places = [readable(part, revision, (repository, *others)) for repository, revision in (first, second)]
    before, after = ((contents_of(*place, part), place[0].manifest(place[1], part)) for place in places)
    section = make_section(root, part, None, (before[0], after[0]), (before[1], after[1]))
    return replace(section, title=f"{first[0].name}:{first[1].number}..{second[0].name}:{second[1].number}")


def files(first: tuple[Repository, Revision], second: tuple[Repository, Revision], part: Part) -> tuple[Row, ...]:
    """The paths that are different between two revisions; what this house writes itself is left out."""
    found = rows_between(first[0].manifest(first[1], part), second[0].manifest(second[1], part))
    return tuple(row for row in found if row.path not in changelog.OWN_FILES)


def retention(
    tags: Sequence[tuple[str, Revision, str]], live: Sequence[str], receipts: Collection[str] = (), most: int = MOST_TAGS
) -> tuple[tuple[str, ...], tuple[Kept, ...]]:
    """Which tags go, oldest first, so that no more than ``most`` are left, and why the others stay. Pure.

    ``tags`` are name, revision and part; ``live`` the identities and roots that are in use: heads, and what production
    holds; ``receipts`` the identities that receipts name, whose tags go last. A name that a person gave (not
    ``<version>-<target>.<number>``) never goes by itself.
    """
    kept: list[Kept] = []
    candidates: list[tuple[str, Revision]] = []
    named: list[tuple[str, Revision]] = []
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
            (named if revision.id in receipts else candidates).append((name, revision))
    room = max(most - len(kept), 0)
    kept += [Kept(name, "a receipt of production names it") for name, _ in named[:room]]
    left = max(room - len(named), 0)
    kept += [Kept(name, f"there is room for {most} tags") for name, _ in candidates[:left]]
    return tuple(name for name, _ in [*reversed(candidates[left:]), *reversed(named[room:])]), tuple(kept)


def tags_of(repository: Repository, parts: Sequence[Part]) -> list[tuple[str, Revision, str]]:
    """Every tag of a repository's revisions: name, revision, part."""
    return [(tag, one, str(part)) for part in parts for one in repository.revisions(part) for tag in one.tags]


def in_use(test: Repository, production: Repository | None, parts: Sequence[Part]) -> tuple[str, ...]:
    """Identities of the heads, and the roots that production holds: their tags stay."""
    heads = [one.head(part) for part in parts for one in (test, production) if one is not None]
    live = production.head if production is not None else None
    roots = [head.root for part in parts if live is not None and (head := live(part)) is not None]
    return (*(head.id for head in heads if head is not None), *roots)


def named_by_receipts(production: Repository | None, parts: Sequence[Part]) -> frozenset[str]:
    """Identities of the test revisions that the receipts of the promotions name which production still keeps."""
    kept = [one for part in parts for one in (production.revisions(part) if production else ())]
    return frozenset(one.origin.promoted_from for one in kept if one.origin.promoted_from is not None)


def keep_few(
    repository: Repository,
    parts: Sequence[Part],
    live: Sequence[str],
    receipts: Collection[str] = (),
    most: int = MOST_TAGS,
) -> tuple[str, ...]:
    """Let the oldest tags go that are too many, and collect what nothing needs then; returns the tags that went.

    ``parts`` are all parts of the repository. What a tag, a head, a receipt or the grace period needs is kept.
    """
    found = tags_of(repository, parts)
    gone, _ = retention(found, live, receipts, most)
    if not gone:
        return ()
    youngest = datetime.now(UTC) - GRACE
    for tag in gone:
        repository.untag(tag)
    named = {one.id for tag, one, _ in found if tag not in gone}
    needed = {one.id: one for _, one, _ in found if one.id in receipts or one.created_at_utc > youngest}
    # A backend that keeps nothing without a name keeps it for neither.
    without_name = [one for one in needed.values() if one.id not in named] if repository.kind == "ostree" else []
    repository.collect_garbage(without_name)
    return gone
