"""history, diff, changelog, rollback, transaction: what was, the way back, and what is open."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from compatlayer.cli.context import Session, global_options
from compatlayer.errors import UsageError

if TYPE_CHECKING:
    from compatlayer.repository.base import Repository

_REPOSITORIES = ("test", "production")


@click.command()
@click.option("--tags", is_flag=True, help="Instead: every tag of both repositories, and why it is kept.")
@global_options
def history(tags: bool) -> int:
    """Both repositories side by side: which test revision is in production, since when, by whom."""
    from compatlayer import past
    from compatlayer.cli.repositories import Places
    from compatlayer.report import revisions as report
    from compatlayer.repository import TEST

    session = Session()
    places = Places(session)
    if tags:
        live = past.in_use(places.repository(TEST), places.production, places.parts)
        names = [name for name in _REPOSITORIES if name in session.layer.repositories]
        receipts = past.named_by_receipts(places.production, places.parts)
        found_tags = {name: past.tags_of(places.repository(name), places.parts) for name in names}
        kept = {name: past.retention(found, live, receipts)[1] for name, found in found_tags.items()}
        sys.stdout.write(report.tags(kept, session.settings.format))
        return 0
    found = past.history(places.repository(TEST), places.production, places.part)
    sys.stdout.write(report.history(found, session.settings.format, session.paint))
    return 0


@click.command()
@click.argument("first")
@click.argument("second")
@click.option("--files", is_flag=True, help="Every path, not only packages.")
@global_options
def diff(first: str, second: str, files: bool) -> int:
    """What is different between two revisions: `compatlayer diff production test`, `diff 3 4`."""
    from compatlayer import past
    from compatlayer.cli.repositories import Places
    from compatlayer.report import changelogs, changes

    session = Session((changes if files else changelogs).RENDERERS)
    places = Places(session)
    pair = places.revision(first), places.revision(second)
    if files:
        sys.stdout.write(changes.render(past.files(*pair, places.part), session.settings.format, session.paint))
    else:
        section = past.compare(session.layer.root, *pair, places.part, places.repositories)
        sys.stdout.write(changelogs.render([section], session.settings.format, session.paint))
    return 0


@click.command()
@click.argument("span", metavar="[A..B]", default="")
@click.option("--repository", type=click.Choice(_REPOSITORIES), default="test", help="Whose changelog.")
@global_options
def changelog(span: str, repository: str) -> int:
    """The changelog of a repository, or what lies between two revisions (A..B)."""
    from compatlayer import past, publish
    from compatlayer.cli.repositories import Places
    from compatlayer.report import changelogs

    session = Session(changelogs.RENDERERS)
    places = Places(session)
    if span:
        first, dots, second = span.partition("..")
        if not dots or not first:
            raise UsageError(f"'{span}' is not A..B", hint="compatlayer changelog 1..3, or production..test")
        pair = places.revision(first, repository), places.revision(second or "head", repository)
        sections = [past.compare(session.layer.root, *pair, places.part, places.repositories)]
    else:
        sections = publish.sections_of(places.repository(repository), places.part)
    sys.stdout.write(changelogs.render(sections, session.settings.format, session.paint))
    return 0


@click.command()
@click.argument("tag")
@click.option("--repository", "name", type=click.Choice(_REPOSITORIES), default="production", help="Where to go back.")
@click.option("--whole-repository", is_flag=True, help="CernVM-FS's own rollback: all parts, and every newer tag is lost.")
@click.option("--yes", is_flag=True, help="Do not ask, with --whole-repository.")
@global_options
def rollback(tag: str, name: str, whole_repository: bool, yes: bool) -> int:
    """Restore the part from the revision TAG, by a new revision with exactly its content.

    Other parts of the repository are not touched.
    """
    from compatlayer import past, promote
    from compatlayer.cli.repositories import Places
    from compatlayer.report import revisions as report
    from compatlayer.repository.find import find

    session = Session()
    places = Places(session)
    repository = places.repository(name)
    if said := _take_up(places, name):
        session.say(said)
    places.warn(repository)
    if whole_repository:
        return _rewind(session, repository, tag, yes=yes)
    target = find(repository, places.part, tag)
    revision, section = past.rollback(session.layer.root, repository, places.part, target, places.repositories)
    if revision is not None and name == "production":
        promote.write_changelog(session.layer.root, repository, places.part)
    sys.stdout.write(report.rolled_back(repository.name, target, revision, section, session.settings.format, session.paint))
    return 0


@click.group()
def transaction() -> None:
    """What is open in the repositories."""


@transaction.command()
@global_options
def status() -> int:
    """Say what is under way in each repository, by whom, and how far it is. Exit code 5 when something was left open."""
    from compatlayer.cli.repositories import Places
    from compatlayer.report import revisions as report

    session = Session()
    places = Places(session)
    names = [name for name in _REPOSITORIES if name in session.layer.repositories]
    found = {name: places.repository(name).pending() for name in names}
    sys.stdout.write(report.pending(found, session.settings.format, session.paint))
    for name in names:
        places.warn(places.repository(name))
    return 5 if any(one is not None and one.holder is None for one in found.values()) else 0


@transaction.command()
@click.option("--repository", "name", type=click.Choice(_REPOSITORIES), help="Only this one.")
@global_options
def abort(name: str | None) -> int:
    """Undo what was left open; what was published already is finished instead (a rollback takes it back)."""
    from compatlayer.cli.repositories import Places

    session = Session()
    places = Places(session)
    done = {}
    for one in [name] if name else [each for each in _REPOSITORIES if each in session.layer.repositories]:
        done[one] = _take_up(places, one) or f"nothing is open in {one}"
        session.say(done[one])
    if session.settings.format == "json":
        session.give(done, "")
    return 0


@transaction.command(name="check")
@click.option("--repository", "name", type=click.Choice(_REPOSITORIES), help="Only this one.")
@global_options
def check_repositories(name: str | None) -> int:
    """Read what the repositories hold, all of it, and compare it with their own checksums. Exit code 4 when it is damaged."""
    from compatlayer.cli.repositories import Places
    from compatlayer.findings import Severity
    from compatlayer.report import findings as report

    session = Session(report.renderers())
    chosen = [one for one in Places(session).repositories if name in (None, one.name)]
    found = [finding for one in chosen for finding in one.check()]
    sys.stdout.write(report.render(found, session.settings.format, session.paint))
    return 4 if any(finding.severity >= Severity.ERROR for finding in found) else 0


def _rewind(session: Session, repository: Repository, tag: str, *, yes: bool) -> int:
    """The backend's own rollback, after saying what it would take away."""
    from compatlayer.repository.cvmfs import CvmfsRepository

    if not isinstance(repository, CvmfsRepository):
        raise UsageError(f"{repository.name} is no CernVM-FS repository", hint="leave --whole-repository out")
    lost = repository.newer_than(tag)
    session.say(f"rewinding all of {repository.domain} to {tag} takes these tags away, and what their parts changed since:")
    for name in lost or ["none"]:
        session.say(f"  {name}")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("rewinding a whole repository needs a person's yes", hint="say --yes")
        click.confirm(f"Rewind {repository.domain}, with everything in it?", abort=True, err=True)
    repository.rewind(tag)
    session.say(f"{repository.domain} stands at {tag}")
    return 0


def _take_up(places: object, name: str) -> str | None:
    from compatlayer.cli.repositories import Places
    from compatlayer.promote import take_up_promotion
    from compatlayer.repository.deliver import take_up

    assert isinstance(places, Places)
    repository = places.repository(name)
    if repository.pending() is None:
        return None
    return take_up_promotion(repository, places.signing_key(None)) if name == "production" else take_up(repository)
