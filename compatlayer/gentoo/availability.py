"""Before anything is built: whether every declared package can be had on every target, and all of it resolves.

The findings stand on the line of the set file that declares the package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from compatlayer.declaration.model import DeclaredPackage, Layer, Part, Version
from compatlayer.errors import Location
from compatlayer.findings import Finding, Severity
from compatlayer.gentoo.client import Worker
from compatlayer.gentoo.failures import (
    Candidate,
    Failure,
    Hidden,
    LicenseNotAccepted,
    Masked,
    MissingKeyword,
    NoSuchPackage,
    NotAsAsked,
    ResolutionError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilityFinding(Finding):
    """A declared package cannot be had. ``fact`` and ``details`` are Portage's answer; ``targets`` those it holds for."""

    check: ClassVar[str] = "availability"
    severity: ClassVar[Severity] = Severity.ERROR

    fact: str = ""
    details: str = ""
    targets: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """One line: what cannot be had, and on which targets."""
        return f"{self.fact} (on {', '.join(self.targets)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownPackage(AvailabilityFinding):
    """No pinned ebuild repository has a package of the declared name.

    Names are category and package, as in ``sys-cluster/lmod``. It is misspelled, or has moved to another category, or lives in an
    overlay that this version does not name.
    """

    identifier: ClassVar[str] = "atom-unknown-package"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSuchVersion(AvailabilityFinding):
    """The package exists in the pinned trees, but not in the declared version, slot or repository.

    Trees drop old versions when new ones come. Name a version that the pinned commit has, or none, and the newest that the
    configuration lets through is taken.
    """

    identifier: ClassVar[str] = "atom-no-such-version"


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedPackage(AvailabilityFinding):
    """Every ebuild that matches is masked.

    A mask says why in a comment: broken, insecure, about to go. A mask that the layer's own ``config/`` holds may have a reversed
    operator (``>`` for ``<``).
    """

    identifier: ClassVar[str] = "atom-masked"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoKeyword(AvailabilityFinding):
    """No ebuild that matches has a keyword for the target: nobody has said that it works there.

    Accept the keyword it has in ``package.accept_keywords`` if you have tried it, or leave that target out of the entry.
    """

    identifier: ClassVar[str] = "atom-no-keyword"


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseRefused(AvailabilityFinding):
    """Every ebuild that matches has a licence that ACCEPT_LICENSE does not hold.

    A layer is copied to many machines: read the licence before accepting it in ``package.license``.
    """

    identifier: ClassVar[str] = "atom-license"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolvable(AvailabilityFinding):
    """The declared package exists, but its dependencies cannot be met as configured.

    The details show the chain from what fails up to what is declared: an absent or hidden dependency, a USE flag that is set
    otherwise, two versions that exclude each other, packages that need each other.
    """

    identifier: ClassVar[str] = "atom-unresolvable"


_CLASSES: tuple[tuple[type[Failure], type[AvailabilityFinding]], ...] = (
    (NoSuchPackage, UnknownPackage),
    (NotAsAsked, NoSuchVersion),
    (Masked, MaskedPackage),
    (MissingKeyword, NoKeyword),
    (LicenseNotAccepted, LicenseRefused),
    (Hidden, MaskedPackage),
)


@dataclass(frozen=True, slots=True)
class _Complaint:
    """One failure on one target, tied to the entry it is about (None: to none that we can name)."""

    kind: type[AvailabilityFinding]
    entry: DeclaredPackage | None
    failure: Failure
    target: str


def unavailable(layer: Layer, worker: Worker, config_roots: Mapping[Part, Path]) -> Iterator[Finding]:
    """Every declared package that cannot be had, and everything that does not resolve, in declaration order.

    ``config_roots`` names a resolver root for each part to look at; parts it does not name are left out. The same complaint on
    several targets is one finding. Raises ``ResolutionError`` only where Portage cannot use a root's configuration at all.
    """
    for version in layer.versions:
        complaints: list[_Complaint] = []
        for target in layer.targets:
            root = config_roots.get(layer.part(version, target))
            if root is not None:
                entries = tuple(entry for one in version.sets for entry in one.for_target(target.name))
                complaints += _of_part(worker, root, entries, target.name)
        yield from _merged(complaints, _positions(version))


def _of_part(worker: Worker, root: Path, entries: Sequence[DeclaredPackage], target: str) -> list[_Complaint]:
    """One part: each atom by itself first; only what stands alone is then resolved together."""
    answers = worker.check_atoms(root, [entry.atom for entry in entries])
    good, complaints = [], []
    for entry in entries:
        answer = answers[entry.atom]
        if isinstance(answer, Candidate):
            good.append(entry)
        else:
            complaints.append(_Complaint(_class_of(answer), entry, answer, target))
    if good:
        complaints += _unresolved(worker, root, good, target)
    return complaints


def _unresolved(worker: Worker, root: Path, entries: Sequence[DeclaredPackage], target: str) -> list[_Complaint]:
    by_atom = {entry.atom: entry for entry in entries}
    try:
        worker.closure(root, list(by_atom))
    except ResolutionError as error:
        return [
            _Complaint(Unresolvable, by_atom.get(failure.chain[-1].atom) if failure.chain else None, failure, target)
            for failure in error.failures
        ]
    return []


def _class_of(failure: Failure) -> type[AvailabilityFinding]:
    return next((finding for kind, finding in _CLASSES if isinstance(failure, kind)), Unresolvable)


def _positions(version: Version) -> Mapping[DeclaredPackage, int]:
    entries = [entry for one in version.sets for entry in one.packages]
    return {entry: position for position, entry in enumerate(entries)}


def _merged(complaints: Sequence[_Complaint], positions: Mapping[DeclaredPackage, int]) -> Iterator[Finding]:
    """One finding for all targets with the same complaint, in declaration order; what has no line comes last."""
    groups: dict[tuple[type[AvailabilityFinding], DeclaredPackage | None, str], list[_Complaint]] = {}
    for complaint in complaints:
        # A keyword's fact names the architecture; it is one complaint all the same.
        same = "" if complaint.kind is NoKeyword else complaint.failure.fact
        groups.setdefault((complaint.kind, complaint.entry, same), []).append(complaint)
    last = len(positions)
    ordered = sorted(groups.items(), key=lambda item: (positions[item[0][1]] if item[0][1] else last, item[0][2]))
    for (kind, entry, _), group in ordered:
        yield _finding(kind, entry, group)


def _finding(kind: type[AvailabilityFinding], entry: DeclaredPackage | None, group: Sequence[_Complaint]) -> AvailabilityFinding:
    first = group[0].failure
    location: Location | None = entry.location if entry else None
    several = kind is NoKeyword and len(group) > 1
    return kind(
        package=entry.name if entry else "",
        expected="an ebuild that can be installed",
        actual=first.fact,
        remedy=first.hint or "",
        location=location,
        fact=f"no ebuild for {first.atom} has a keyword" if several else first.fact,
        details=first.cause or "",
        targets=tuple(dict.fromkeys(complaint.target for complaint in group)),
    )
