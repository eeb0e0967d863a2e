"""What the worker says of a resolution that failed, as values; apart from ``decode``, since it is seldom needed.

Raises KeyError, TypeError, ValueError for what a worker would not say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from compatlayer.gentoo.failures import (
    Blocked,
    Candidate,
    Circular,
    Failure,
    Hidden,
    LicenseNotAccepted,
    Mask,
    Masked,
    MissingKeyword,
    NoSuchPackage,
    NotAsAsked,
    RequiredUseViolated,
    Requirement,
    Side,
    SlotConflict,
    Unusable,
    UseRequired,
)
from compatlayer.gentoo.versions import parse_cpv

Raw = Mapping[str, Any]


def candidate(raw: Raw) -> Candidate:
    """One ebuild as the worker describes it."""
    return Candidate(
        parse_cpv(raw["cpv"]), raw["slot"], raw["subslot"], raw["repository"], tuple(map(_mask, raw.get("masks", ())))
    )


def failure(raw: Raw) -> Failure:
    """One failure; a kind that only a newer worker knows becomes a plain ``Failure``."""
    build = _FAILURES.get(raw["kind"])
    common = {"atom": raw.get("atom", ""), "chain": tuple(map(_requirement, raw.get("chain", ())))}
    return Failure(**common) if build is None else build(common, raw)


def _mask(raw: Raw) -> Mask:
    return Mask(**{**raw, "keywords": tuple(raw.get("keywords", ()))})


def _candidates(raw: Raw) -> tuple[Candidate, ...]:
    return tuple(map(candidate, raw["candidates"]))


def _requirement(raw: Raw) -> Requirement:
    return Requirement(raw["cpv"], raw["atom"])


def _side(raw: Raw) -> Side:
    return Side(raw["cpv"], raw["repository"], tuple(map(_requirement, raw["wanted_by"])))


def _not_as_asked(common: dict[str, Any], raw: Raw) -> Failure:
    return NotAsAsked(**common, aspect=raw["kind"], candidates=_candidates(raw))


def _hidden(kind: type[Hidden]) -> Callable[[dict[str, Any], Raw], Failure]:
    return lambda common, raw: kind(**common, candidates=_candidates(raw))


def _use(common: dict[str, Any], raw: Raw) -> Failure:
    return UseRequired(**common, cpv=raw["cpv"], changes=tuple(raw["changes"]), missing=tuple(raw["missing"]))


def _required_use(common: dict[str, Any], raw: Raw) -> Failure:
    return RequiredUseViolated(**common, cpv=raw["cpv"], constraint=raw["detail"], use=tuple(raw["use"]))


def _circular(common: dict[str, Any], raw: Raw) -> Failure:
    return Circular(**common, cycle=tuple((step["cpv"], step["atom"], step["needs"]) for step in raw["cycle"]))


def _slot_conflict(common: dict[str, Any], raw: Raw) -> Failure:
    return SlotConflict(**common, sides=tuple(map(_side, raw["sides"])))


def _blocked(common: dict[str, Any], raw: Raw) -> Failure:
    return Blocked(**common, blockers=tuple(raw["blockers"]), blocked=tuple(raw["blocked"]))


def _unusable(common: dict[str, Any], raw: Raw) -> Failure:
    return Unusable(**common, detail=raw["detail"])


_FAILURES: Mapping[str, Callable[[dict[str, Any], Raw], Failure]] = {
    "package": lambda common, raw: NoSuchPackage(**common, similar=tuple(raw["similar"])),
    "version": _not_as_asked,
    "slot": _not_as_asked,
    "repository": _not_as_asked,
    "mask": _hidden(Masked),
    "keyword": _hidden(MissingKeyword),
    "license": _hidden(LicenseNotAccepted),
    "other": _hidden(Hidden),
    "use": _use,
    "required-use": _required_use,
    "circular": _circular,
    "slot-conflict": _slot_conflict,
    "blocker": _blocked,
    "invalid": _unusable,
    "configuration": _unusable,
}
