"""The worker's answers, JSON as it comes from the pipe, turned into values; raises KeyError, TypeError, ValueError for others."""

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
from compatlayer.gentoo.packages import Closure, Distfile, FetchMap, Need, Parent, ResolvedPackage, SourceUri
from compatlayer.gentoo.versions import parse_cpv

Raw = Mapping[str, Any]


def closure(raw: Raw) -> Closure:
    """The answer to ``closure``."""
    return Closure(tuple(map(_resolved, raw["packages"])), tuple(raw["provided"]))


def candidate(raw: Raw) -> Candidate:
    """One ebuild as the worker describes it."""
    return Candidate(
        parse_cpv(raw["cpv"]), raw["slot"], raw["subslot"], raw["repository"], tuple(map(_mask, raw.get("masks", ())))
    )


def fetch_map(raw: Raw) -> FetchMap:
    """One package of the answer to ``fetch_map``."""
    distfiles = tuple(
        Distfile(
            name=file["name"],
            uris=tuple(SourceUri(**{**uri, "expansions": tuple(uri["expansions"])}) for uri in file["uris"]),
            size_bytes=file["size"],
            hashes=file["hashes"],
        )
        for file in raw["distfiles"]
    )
    return FetchMap(raw["cpv"], raw["repository"], distfiles, tuple(raw["restrict"]))


def failure(raw: Raw) -> Failure:
    """One failure; a kind that only a newer worker knows becomes a plain ``Failure``."""
    build = _FAILURES.get(raw["kind"])
    common = {"atom": raw.get("atom", ""), "chain": tuple(map(_requirement, raw.get("chain", ())))}
    return Failure(**common) if build is None else build(common, raw)


def _resolved(raw: Raw) -> ResolvedPackage:
    return ResolvedPackage(
        id=parse_cpv(raw["cpv"]),
        slot=raw["slot"],
        subslot=raw["subslot"],
        repository=raw["repository"],
        use=tuple(raw["use"]),
        iuse=tuple(raw["iuse"]),
        parents=tuple(Parent(each["cpv"], each["atom"], Need(each["need"])) for each in raw["parents"]),
        restrict=tuple(raw["restrict"]),
        license=raw["license"],
    )


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
