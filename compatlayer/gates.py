"""Gates: what a promotion demands of a revision, and publishing of a stage, each with its verdict and its reason.

A gate is asked when ``layer.yaml`` declares it. Whatever is declared and cannot be asked refuses: silence is no consent.
"""

from __future__ import annotations

import enum
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compatlayer import acceptance, entering, signing, verifying
from compatlayer.converge.record import PROVENANCE
from compatlayer.declaration.model import Gates, Layer, Part, Target, Version
from compatlayer.errors import CompatlayerError, GateError, RepositoryError, UsageError
from compatlayer.findings import Severity
from compatlayer.journal import write_atomically
from compatlayer.repository.base import Repository, Revision
from compatlayer.repository.ledger import operator
from compatlayer.signing import PrivateKey, PublicKey
from compatlayer.verify import registry
from compatlayer.verify.registry import Context

APPROVAL = "urn:compatlayer:approval:v1"
SHOWN = 5


class Gate(enum.StrEnum):
    """The gates that can be declared, in the order in which they are asked."""

    PREFIX = "prefix"
    APPROVALS = "approvals"
    VERIFY = "verify"
    ADVISORIES = "advisories"
    PARITY = "parity"
    ACCEPTANCE = "acceptance"


# No reason can make a part right that was built for another place.
NEVER_OVERRIDDEN = frozenset({Gate.PREFIX})


@dataclass(frozen=True, slots=True)
class Answer:
    """What one gate says; ``override`` is the operator's reason for passing it all the same."""

    gate: Gate
    passed: bool
    reason: str
    override: str | None = None

    @property
    def allows(self) -> bool:
        """Whether the promotion may go on."""
        return self.passed or self.override is not None


@dataclass(frozen=True, slots=True)
class Question:
    """What gates are asked about: a revision of a part in a repository, and who wants to promote it."""

    layer: Layer
    version: Version
    target: Target
    state: Path
    repository: Repository
    production: Repository
    revision: Revision
    publisher: str

    @property
    def part(self) -> Part:
        """The part."""
        return self.layer.part(self.version, self.target)


def ask(question: Question, overrides: Mapping[str, str]) -> tuple[Answer, ...]:
    """Ask every declared gate. Raises ``UsageError`` for an override of a gate that is unknown or cannot be overridden."""
    check_overrides(overrides, tuple(gate for gate in Gate if gate not in NEVER_OVERRIDDEN))
    return tuple(
        Answer(gate, passed, reason, None if passed else overrides.get(gate)) for gate, passed, reason in _answers(question)
    )


def ask_stage(layer: Layer, version: Version, target: Target, state: Path, override: str | None = None) -> tuple[Answer, ...]:
    """Ask a stage what can be asked before anything is published: the gate ``verify``, where it is declared.

    What has not changed since the last full ``verify`` is not read again; promoting reads everything. The other gates are about
    a revision. ``override`` is the operator's reason for passing the gate all the same.
    """
    if not layer.gates.verify:
        return ()
    threshold = Severity[str(layer.gates.verify).upper()]
    try:
        with verifying.of_stage(layer, version, target, state) as context:
            passed, reason = _verdict(replace(context, quick=True), threshold)
    except CompatlayerError as error:
        passed, reason = False, f"it could not be asked: {error}"
    return (Answer(Gate.VERIFY, passed, reason, None if passed else override),)


def check_overrides(overrides: Mapping[str, str], possible: Sequence[Gate]) -> None:
    """Raise ``UsageError`` for an override of anything but the ``possible`` gates, and for one without a reason."""
    for name, reason in overrides.items():
        if name not in possible:
            raise UsageError(f"the gate '{name}' cannot be overridden", hint=f"these can: {', '.join(possible)}")
        if not reason.strip():
            raise UsageError(f"overriding the gate '{name}' needs a reason", hint=f"--override {name}='why'")


def refuse(answers: Sequence[Answer], what: str, unchanged: str = "production", kept: str = "the receipt") -> None:
    """Raise ``GateError``, with each refusal explained, unless all allow it.

    ``unchanged`` is the repository that stays as it is, ``kept`` where the reason of an override is written down.
    """
    closed = [answer for answer in answers if not answer.allows]
    if not closed:
        return
    can = [answer.gate for answer in closed if answer.gate not in NEVER_OVERRIDDEN]
    raise GateError(
        f"{what} is refused by {', '.join(answer.gate for answer in closed)}; {unchanged} is unchanged",
        cause="\n".join(f"{answer.gate}: {answer.reason}" for answer in closed),
        hint=f"put it right, or override by name with a reason that goes into {kept}: "
        + " ".join(f"--override {gate}='…'" for gate in can)
        if can
        else "build the part for the production path",
    )


def approve(question: Question, key: PrivateKey, comment: str) -> Path:
    """Write a signed approval of a revision, and return its file. Raises ``UsageError`` for a key that is no approver's."""
    approvers = approver_keys(question.layer)
    if key.keyid not in {approver.keyid for approver in approvers}:
        names = ", ".join(approver.name for approver in approvers) or "nobody"
        raise UsageError(f"the key {key.keyid[:12]} is not an approver's", hint=f"gates.approvers names: {names}")
    revision = question.revision
    subject = {"name": f"{question.repository.name}:{question.part}", "digest": {"sha256": revision.root}}
    predicate = {"revision": revision.id, "number": revision.number, "operator": operator(), "comment": comment}
    envelope = key.sign(signing.statement([subject], APPROVAL, predicate))
    file = _approval_directory(question) / f"{key.keyid}.json"
    write_atomically(file, envelope)
    return file


def approver_keys(layer: Layer) -> tuple[PublicKey, ...]:
    """The keys that ``gates.approvers`` names."""
    return tuple(signing.public_key(layer.root / path) for path in layer.gates.approvers)


def _answers(question: Question) -> Iterator[tuple[Gate, bool, str]]:
    gates = question.layer.gates
    yield Gate.PREFIX, *_prefix(question)
    if gates.approvals:
        yield Gate.APPROVALS, *_approvals(question, gates)
    if gates.verify:
        yield Gate.VERIFY, *_guarded(_verify, question, gates)
    if gates.advisories:
        yield Gate.ADVISORIES, False, "declared, and this release cannot read advisories yet"
    if gates.parity:
        yield Gate.PARITY, False, "declared, and this release cannot compare targets yet"
    if gates.acceptance:
        yield Gate.ACCEPTANCE, *_guarded(_acceptance, question, gates)


def _guarded(gate: object, question: Question, gates: Gates) -> tuple[bool, str]:
    """A gate that cannot be asked refuses, and says why."""
    assert callable(gate)
    try:
        passed, reason = gate(question, gates)
    except CompatlayerError as error:
        return False, f"it could not be asked: {error}"
    return bool(passed), str(reason)


def _prefix(question: Question) -> tuple[bool, str]:
    """A part works at one path only: the one that was compiled into it."""
    compiled = _compiled_prefix(question)
    wanted = question.part.prefix
    if compiled is not None and compiled != str(wanted):
        return False, f"it was built for {compiled}, production is {wanted}"
    mounted = question.production.mount_path
    if question.production.kind == "cvmfs" and not wanted.is_relative_to(mounted):
        return False, f"{wanted} does not lie in {mounted}, where clients see production"
    return True, f"built for {wanted}"


def _compiled_prefix(question: Question) -> str | None:
    """The prefix that the part's own record names; None for a part without one."""
    manifest = question.repository.manifest(question.revision, question.part)
    if manifest.get(str(PROVENANCE)) is None:
        return None
    with question.repository.source(question.revision, question.part, [str(PROVENANCE)]) as tree:
        try:
            return str(json.loads((tree / PROVENANCE).read_bytes())["prefix"])
        except (ValueError, KeyError, TypeError) as error:
            raise RepositoryError(f"{PROVENANCE} in {question.part} cannot be understood") from error


def _approvals(question: Question, gates: Gates) -> tuple[bool, str]:
    directory = _approval_directory(question)
    files = sorted(directory.glob("*.json")) if directory.is_dir() else []
    names: dict[str, str] = {}
    wrong = []
    for file in files:
        try:
            names.update(_approver(question, file))
        except RepositoryError as error:
            wrong.append(f"{error.fact}: {error.cause}")
    own = names.pop(question.publisher, None)
    notes = [f"{own} is the publisher's own key and does not count"] if own else []
    given = f"{len(names)} of {gates.approvals} approvals" + (f": {', '.join(sorted(names.values()))}" if names else "")
    return len(names) >= gates.approvals, "; ".join([given, *notes, *wrong])


def _approver(question: Question, file: Path) -> dict[str, str]:
    """Key id and name of whoever has signed an approval of this very revision."""
    verified = signing.verify(file.read_bytes(), approver_keys(question.layer), f"the approval {file.name}", APPROVAL)
    subjects = verified.statement.get("subject", [])
    roots = {subject.get("digest", {}).get("sha256") for subject in subjects}
    if roots != {question.revision.root} or verified.statement["predicate"].get("revision") != question.revision.id:
        raise RepositoryError(f"the approval {file.name} is of another revision", cause="it does not name this one")
    return {key.keyid: key.name for key in verified.keys}


def _verify(question: Question, gates: Gates) -> tuple[bool, str]:
    threshold = Severity[str(gates.verify).upper()]
    with question.repository.read(question.revision, question.part) as tree:
        manifest = question.repository.manifest(question.revision, question.part)
        context = verifying.of_revision(question.layer, question.version, question.target, question.state, tree, manifest)
        return _verdict(context, threshold)


def _verdict(context: Context, threshold: Severity) -> tuple[bool, str]:
    found = [finding for finding in registry.findings(context) if finding.severity >= threshold]
    if not found:
        return True, f"no finding of severity {threshold.label} or above"
    shown = [f"{finding.identifier}: {finding.description}" for finding in found[:SHOWN]]
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return False, "\n  ".join([f"{len(found)} findings of severity {threshold.label} or above", *shown, *more])


def _acceptance(question: Question, _gates: Gates) -> tuple[bool, str]:
    with question.repository.read(question.revision, question.part) as tree:
        view = entering.view_of(entering.of_directory(tree, question.part))
        view.check()
        entrance = entering.usual(view, entering.environment(question.part, os.environ))
        code, results = acceptance.run_silently(question.layer.root, question.part, entrance, acceptance.Selected())
    if code == acceptance.PASSED:
        return True, f"all {len(results)} acceptance tests pass"
    if code == acceptance.NO_TESTS:
        return False, "no acceptance test was found"
    failed = [one.name for one in results if one.outcome == "failed"]
    shown = [*failed[:SHOWN], *([f"and {len(failed) - SHOWN} more"] if len(failed) > SHOWN else [])]
    return False, "\n  ".join(["acceptance tests fail; see: compatlayer test --revision", *shown])


def _approval_directory(question: Question) -> Path:
    return question.repository.ledger.approvals / question.revision.id
