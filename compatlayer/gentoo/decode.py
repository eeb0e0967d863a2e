"""The worker's answers, JSON as it comes from the pipe, turned into values; raises KeyError, TypeError, ValueError for others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compatlayer.gentoo.ingredients import Ingredients
from compatlayer.gentoo.packages import Closure, Distfile, FetchMap, Need, Parent, ResolvedPackage, SourceUri
from compatlayer.gentoo.versions import parse_cpv

Raw = Mapping[str, Any]


def closure(raw: Raw) -> Closure:
    """The answer to ``closure``."""
    return Closure(tuple(map(_resolved, raw["packages"])), tuple(raw["provided"]))


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


def ingredients(raw: Raw) -> Ingredients:
    """One package of the answer to ``ingredients``."""
    return Ingredients(**{**raw, "features": tuple(raw["features"]), "use": tuple(raw["use"])})


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
        merge_code=bool(raw["merge_code"]),
    )
