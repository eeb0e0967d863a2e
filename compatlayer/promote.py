"""Promoting: the sequence only. Ask the gates, compare, carry the tested bits into production, read them back, sign.

The receipt is an in-toto statement about both trees. It is written when production has changed and before the
transaction is closed: after a crash in between, whoever resumes writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compatlayer import __version__, changelog, gates, signing
from compatlayer.changelog import Section
from compatlayer.converge.record import PROVENANCE
from compatlayer.declaration.model import Part
from compatlayer.errors import RepositoryError
from compatlayer.gates import Answer, Question
from compatlayer.journal import write_atomically
from compatlayer.publish import contents_of, make_section, origin_of, sections_of
from compatlayer.repository.base import Message, Repository, Revision, Transaction
from compatlayer.repository.deliver import Delivery, Load, deliver, take_up
from compatlayer.signing import PrivateKey, PublicKey
from compatlayer.tree.between import between

RECEIPT = "urn:compatlayer:promotion:v1"
STEP = "promotion"


@dataclass(frozen=True, slots=True)
class Promoted:
    """What promoting did: the new production revision and its receipt, or None when there was nothing to promote."""

    part: Part
    tested: Revision
    revision: Revision | None
    section: Section | None
    receipt: Path | None
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a verified receipt says, and how production stands to it."""

    statement: Mapping[str, Any]
    keys: tuple[PublicKey, ...]
    standing: str


def promote(
    question: Question, key: PrivateKey, overrides: Mapping[str, str] | None = None, *, full_readback: bool = False
) -> Promoted:
    """Move a tested revision to production. Raises ``GateError``, or ``RepositoryError``; production then is unchanged."""
    part, tested, production = question.part, question.revision, question.production
    began = _now()
    head = production.head(part)
    if head is not None and head.root == tested.root:
        return Promoted(part, tested, None, None, None, ())
    answers = gates.ask(question, overrides or {})
    gates.refuse(answers, f"promoting revision {tested.number} of {part}")
    tree = question.repository.manifest(tested, part)
    before = production.manifest(head, part) if head else None
    contents = contents_of(production, head, part), contents_of(question.repository, tested, part)
    section = make_section(question.layer.root, part, head, contents, (before, tree), note=f"promoted from {_called(tested)}")
    message = Message(f"{section.title}: {section.summary}", replace(origin_of(section), promoted_from=tested.id))
    predicate = _predicate(question, head, section, answers, began)
    changes = between(before, tree)
    with question.repository.source(tested, part, [put.path for put in changes.puts]) as source:
        receipts: list[Path] = []
        revision = deliver(
            production,
            Delivery(part, head, message, (Load(changes, source, tree),), full_readback),
            before=lambda transaction: transaction.remember(STEP, predicate=predicate, root=str(question.layer.root)),
            after=lambda transaction, _: receipts.append(finish(production, transaction, key)),
        )
    return Promoted(part, tested, revision, section, receipts[0], answers)


def finish(production: Repository, transaction: Transaction, key: PrivateKey) -> Path:
    """Do what follows when production has changed: write the receipt and the layer's changelog; again after a crash."""
    notes = transaction.notes
    if STEP not in notes:
        raise RepositoryError("the open transaction is not a promotion", hint="compatlayer transaction abort")
    revision = transaction.published
    predicate = {**notes[STEP]["predicate"], "published_at_utc": revision.created_at_utc.strftime("%Y-%m-%dT%H:%M:%SZ")}
    predicate["production"] = {**predicate["production"], **_described(production, revision)}
    part = transaction.part
    subjects = [{"name": f"{where}:{part}", "digest": {"sha256": predicate[where]["root"]}} for where in ("test", "production")]
    file = receipt_file(production, part, revision)
    transaction.remember("receipt", file=str(file))
    write_atomically(file, key.sign(signing.statement(subjects, RECEIPT, predicate)))
    transaction.remember("changelog")
    write_changelog(Path(notes[STEP]["root"]), production, part)
    return file


def take_up_promotion(production: Repository, key: PrivateKey) -> str | None:
    """Finish or undo what a crash left open in production."""

    def complete(transaction: Transaction) -> None:
        if STEP in transaction.notes:
            finish(production, transaction, key)

    return take_up(production, complete)


def write_changelog(root: Path, production: Repository, part: Part) -> Path:
    """The changelog of a part's production revisions, ``changelogs/<version>-<target>.md`` beside ``layer.yaml``."""
    file = root / "changelogs" / f"{part.version}-{part.target.name}.md"
    text = changelog.markdown(f"Changelog of {part.layer}, {part}", sections_of(production, part))
    write_atomically(file, text.encode())
    return file


def newest_receipt(production: Repository, part: Part) -> Path:
    """The receipt of the newest revision that was promoted. Raises ``RepositoryError`` when there is none."""
    for revision in production.revisions(part):
        file = receipt_file(production, part, revision)
        if file.exists():
            return file
    raise RepositoryError(f"{production.name} has no receipt of {part}", hint="promote something: compatlayer promote")


def receipt_file(production: Repository, part: Part, revision: Revision) -> Path:
    """Where the receipt of a production revision is kept."""
    return production.ledger.receipts / f"{part.version}-{part.target.name}.{revision.number}.json"


def check_receipt(file: Path, keys: Sequence[PublicKey], production: Repository | None, part: Part | None) -> Checked:
    """Verify a receipt's signature, its sense, and where there is one the production repository against it.

    Raises ``RepositoryError`` when any of them is wrong.
    """
    try:
        envelope = file.read_bytes()
    except OSError as error:
        raise RepositoryError(f"the receipt {file} cannot be read", cause=error.strerror) from error
    verified = signing.verify(envelope, keys, f"the receipt {file.name}", RECEIPT)
    predicate = verified.statement["predicate"]
    try:
        roots = {predicate["test"]["root"], predicate["production"]["root"]}
        named = {subject["digest"]["sha256"] for subject in verified.statement["subject"]}
    except (KeyError, TypeError) as error:
        raise RepositoryError(f"the receipt {file.name} does not say what was promoted") from error
    if len(roots) != 1 or roots != named:
        raise RepositoryError(f"the receipt {file.name} names trees that are not equal", cause=", ".join(sorted(roots | named)))
    standing = _standing(file, predicate["production"], production, part) if production and part else "not compared"
    return Checked(verified.statement, verified.keys, standing)


def _standing(file: Path, promoted: Mapping[str, Any], production: Repository, part: Part) -> str:
    """How a production repository stands to what a receipt says. Raises ``RepositoryError`` for a contradiction."""
    revisions = production.revisions(part)
    found = next((one for one in revisions if one.number == promoted["number"]), None)
    if found is None:
        return f"{production.name} no longer keeps revision {promoted['number']}"
    if (found.id, found.root) != (promoted["identity"], promoted["root"]):
        raise RepositoryError(
            f"{production.name} is not what the receipt {file.name} says",
            cause=f"revision {found.number} is {found.id} there, and {promoted['identity']} in the receipt",
            hint="the repository was changed behind our back, or the receipt belongs to another one",
        )
    return (
        "what production holds now"
        if found.id == revisions[0].id
        else f"an earlier revision; production holds {revisions[0].number}"
    )


def _predicate(
    question: Question, head: Revision | None, section: Section, answers: Sequence[Answer], began: str
) -> dict[str, Any]:
    part, tested = question.part, question.revision
    return {
        "part": {"layer": part.layer, "version": part.version, "target": part.target.name, "prefix": str(part.prefix)},
        "test": {**_described(question.repository, tested), "message": tested.message, "operator": tested.origin.operator},
        "production": {"replaces": head.id if head else None, "root": tested.root},
        "changelog": section.to_document(),
        "pins": _pins(question),
        "gates": [{**asdict(answer), "gate": answer.gate.value} for answer in answers],
        "overrides": {answer.gate.value: answer.override for answer in answers if answer.override is not None},
        "operator": section.operator,
        "tool": f"compatlayer {__version__}",
        "began_at_utc": began,
    }


def _described(repository: Repository, revision: Revision) -> dict[str, Any]:
    return {
        "repository": repository.name,
        "backend": repository.kind,
        "number": revision.number,
        "identity": revision.id,
        "root": revision.root,
        "tags": list(revision.tags),
    }


def _pins(question: Question) -> list[dict[str, Any]]:
    """The ebuild repositories that the part was built from, as its own record has them."""
    manifest = question.repository.manifest(question.revision, question.part)
    if manifest.get(str(PROVENANCE)) is None:
        return []
    with question.repository.source(question.revision, question.part, [str(PROVENANCE)]) as tree:
        try:
            return list(json.loads((tree / PROVENANCE).read_bytes())["repositories"])
        except (ValueError, KeyError, TypeError) as error:
            raise RepositoryError(f"{PROVENANCE} in {question.part} cannot be understood") from error


def _called(revision: Revision) -> str:
    return revision.tags[0] if revision.tags else f"revision {revision.number}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
