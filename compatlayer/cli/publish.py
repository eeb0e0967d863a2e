"""publish, promote, approve, receipt: from a stage to the test repository, and on to production."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compatlayer.cli.context import Session, global_options
from compatlayer.errors import UsageError

if TYPE_CHECKING:
    from compatlayer.changelog import Section
    from compatlayer.cli.repositories import Places
    from compatlayer.stage import Stage

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_KEY = click.option("--key", type=_FILE, metavar="FILE", help="The private key (default: $COMPATLAYER_SIGNING_KEY, or our own).")
_OVERRIDE = click.option(
    "--override", "overrides", multiple=True, metavar="GATE=REASON", help="Pass a gate that refuses (repeatable)."
)


@click.command()
@click.option("--onto", metavar="REVISION", help="Replace this revision whole, though the stage was not begun on it.")
@click.option(
    "--to-bundle", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write a signed bundle instead."
)
@click.option("--from-bundle", type=_FILE, metavar="FILE", help="Publish a bundle that a builder has handed over.")
@click.option(
    "--from-tarball", type=_FILE, metavar="FILE", help="Publish a whole layer that was built elsewhere (.tar.gz, .tar.zst)."
)
@_OVERRIDE
@_KEY
@global_options
def publish(
    onto: str | None,
    to_bundle: Path | None,
    from_bundle: Path | None,
    from_tarball: Path | None,
    overrides: tuple[str, ...],
    key: Path | None,
) -> int:
    """Publish the stage to the test repository, as a new revision: all of it, or nothing.

    Where layer.yaml declares the gate verify, a stage with findings is refused (exit code 7), also for a bundle. What was
    written is read back before anybody can see it. A builder that cannot reach the publisher writes a bundle; it is published
    there if its signature (a key in keys/), the revision it was made for, and every digest hold.
    """
    from compatlayer import publish as publishing
    from compatlayer.cli.repositories import Places
    from compatlayer.report import changelogs
    from compatlayer.report import revisions as report
    from compatlayer.repository import TEST
    from compatlayer.repository.deliver import take_up

    if sum(one is not None for one in (to_bundle, from_bundle, from_tarball)) > 1:
        raise UsageError("--to-bundle, --from-bundle and --from-tarball exclude each other")
    if overrides and (from_bundle or from_tarball):
        raise UsageError("only a stage is asked by a gate here", hint="what comes in a file is asked when it is promoted")
    session = Session()
    places = Places(session)
    repository = places.repository(TEST)
    admit = _admission(session, dict(_override(text) for text in overrides))
    if to_bundle is not None:
        parcel = publishing.to_bundle(_stage(places), repository, to_bundle, places.signing_key(key), admit=admit)
        session.say(f"{to_bundle}: {len(parcel.changes)} changes of {parcel.part}, {parcel.changes.size_bytes} bytes")
        session.give({"part": str(parcel.part), "changes": len(parcel.changes), "file": str(to_bundle)}, str(to_bundle))
        return 0
    if said := take_up(repository):
        session.say(said)
    places.warn(repository)
    replaced = places.revision(onto)[1] if onto else None

    def announce(section: Section) -> None:
        session.say(changelogs.one(section, session.error_paint))

    if from_bundle is not None:
        keys = places.trusted_keys()
        result = publishing.from_bundle(session.layer, places.part, repository, from_bundle, keys, announce)
    elif from_tarball is not None:
        result = publishing.from_tarball(session.layer, places.part, repository, from_tarball, replaced, announce)
    else:
        result = publishing.publish(session.layer, _stage(places), repository, onto=replaced, admit=admit)
    sys.stdout.write(report.published(result, session.settings.format, session.paint))
    if result.revision is not None:
        places.hold_sources()
        places.keep_few_tags(repository)
    return 0


def _admission(session: Session, overrides: Mapping[str, str]) -> Callable[[], str]:
    """What asks the stage's gate, once there is something to publish; it gives what the changelog says of an override."""
    from compatlayer import gates

    gates.check_overrides(overrides, (gates.Gate.VERIFY,))

    def ask() -> str:
        override = overrides.get(gates.Gate.VERIFY)
        answers = gates.ask_stage(session.layer, session.version, session.target, session.state, override)
        gates.refuse(answers, "publishing the stage", unchanged="the test repository", kept="the changelog")
        for answer in answers:
            said = f"overridden: {answer.override}" if answer.override else f"passed, {answer.reason}"
            session.say(f"gate {answer.gate}: {said}")
        return "; ".join(f"{answer.gate} overridden: {answer.override}" for answer in answers if answer.override)

    return ask


def _stage(places: Places) -> Stage:
    from compatlayer.errors import StageError
    from compatlayer.stage import find_stage

    stage = find_stage(places.session.state, places.part)
    if stage is None:
        raise StageError(f"there is no stage of {places.part}", hint="begin one: compatlayer install")
    return stage


@click.command()
@click.argument("revision", default="head")
@_OVERRIDE
@click.option("--full-readback", is_flag=True, help="Read all of production back, not only what changes.")
@_KEY
@global_options
def promote(revision: str, overrides: tuple[str, ...], full_readback: bool, key: Path | None) -> int:
    """Move a REVISION of the test repository to production, bit for bit (default: the newest).

    Exit code 7 when a gate of layer.yaml refuses. A signed receipt says what was promoted, and that both trees are equal.
    """
    from compatlayer import promote as promoting
    from compatlayer.cli.repositories import Places
    from compatlayer.report import revisions as report
    from compatlayer.repository import PRODUCTION, TEST
    from compatlayer.repository.deliver import take_up

    session = Session()
    places = Places(session)
    own = places.signing_key(key)
    for said in (
        promoting.take_up_promotion(places.repository(PRODUCTION), own),
        take_up(places.repository(TEST)),
    ):
        if said:
            session.say(said)
    for repository in places.repositories:
        places.warn(repository)
    question = places.question(revision, own.keyid)
    reasons = dict(_override(text) for text in overrides)
    result = promoting.promote(question, own, reasons, full_readback=full_readback)
    sys.stdout.write(report.promoted(result, session.settings.format, session.paint))
    if result.revision is not None:
        places.hold_sources()
        places.keep_few_tags(question.production)
    return 0


@click.command()
@click.argument("revision", default="head")
@click.option("--comment", default="", metavar="TEXT", help="What you looked at.")
@_KEY
@global_options
def approve(revision: str, comment: str, key: Path | None) -> int:
    """Approve a REVISION of the test repository for production, with a key that gates.approvers names."""
    from compatlayer import gates
    from compatlayer.cli.repositories import Places

    session = Session()
    places = Places(session)
    own = places.signing_key(key)
    question = places.question(revision, "")
    file = gates.approve(question, own, comment)
    session.say(f"approved revision {question.revision.number} of {places.part} with key {own.keyid[:12]}")
    session.give({"part": str(places.part), "revision": question.revision.id, "key": own.keyid, "file": str(file)}, str(file))
    return 0


@click.group()
def receipt() -> None:
    """The signed proof of a promotion."""


@receipt.command()
@click.argument("file", type=_FILE, required=False)
@click.option("--key", "keys", type=_FILE, multiple=True, metavar="FILE", help="A public key to trust as well (repeatable).")
@click.option("--alone", is_flag=True, help="Do not compare it with the production repository.")
@global_options
def verify(file: Path | None, keys: tuple[Path, ...], alone: bool) -> int:
    """Check a receipt (default: production's newest): its signature, that both trees are equal, and production itself.

    Keys are trusted that lie in keys/ beside layer.yaml, unless they lie in keys/revoked/.
    """
    from compatlayer import promote as promoting
    from compatlayer.cli.repositories import Places
    from compatlayer.report import revisions as report
    from compatlayer.repository import PRODUCTION

    session = Session()
    places = Places(session)
    production = None if alone else places.production
    checked = promoting.check_receipt(
        file or promoting.newest_receipt(places.repository(PRODUCTION), places.part),
        places.trusted_keys(keys),
        production,
        places.part,
    )
    sys.stdout.write(report.receipt(checked, session.settings.format, session.paint))
    return 0


def _override(text: str) -> tuple[str, str]:
    gate, equals, reason = text.partition("=")
    if not equals:
        raise UsageError(f"--override {text} has no reason", hint=f"--override {gate}='why'")
    return gate, reason
