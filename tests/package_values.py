"""Short ways to write package values in tests."""

from __future__ import annotations

from pathlib import Path

from compatlayer.declaration.model import DeclaredPackage
from compatlayer.errors import Location
from compatlayer.gentoo.packages import Closure, InstalledPackage, Inventory, Need, Parent, ResolvedPackage
from compatlayer.gentoo.versions import package_key, parse_cpv


def declared(name: str, *, line: int = 1, reason: str = "users want it", **fields: object) -> DeclaredPackage:
    """An entry of ``sets/tiny.yaml``."""
    values: dict[str, object] = {"version": None, "overlay": None, "include_on": (), "exclude_on": ()}
    values |= fields
    return DeclaredPackage(name=name, reason=reason, location=Location("sets/tiny.yaml", line), **values)  # type: ignore[arg-type]


def wanted(
    cpv: str,
    slot: str = "0",
    *,
    repository: str = "tiny",
    use: str = "",
    iuse: str | None = None,
    parents: tuple[Parent, ...] = (),
    compiled_in: str = "",
) -> ResolvedPackage:
    """A resolved package; ``slot`` may hold a sub-slot."""
    main, _, sub = slot.partition("/")
    flags = tuple(sorted(use.split()))
    every = tuple(sorted((use if iuse is None else iuse).split()))
    found = parents or (declares(cpv),)
    return ResolvedPackage(parse_cpv(cpv), main, sub or main, repository, flags, every, found, compiled_in=compiled_in)


def declares(cpv: str) -> Parent:
    """The parent of a package that a set names."""
    return Parent("@tiny", parse_cpv(cpv).cp, Need.RUNTIME)


def installed(
    cpv: str,
    slot: str = "0",
    *,
    repository: str = "tiny",
    use: str = "",
    iuse: str | None = None,
    depends: str = "",
    compiled_in: str = "",
) -> InstalledPackage:
    """An installed package; ``slot`` may hold a sub-slot."""
    main, _, sub = slot.partition("/")
    flags = tuple(sorted(use.split()))
    every = tuple(sorted((use if iuse is None else iuse).split()))
    return InstalledPackage(
        parse_cpv(cpv), main, sub or main, repository, "8", flags, every, None, None, depends=depends, compiled_in=compiled_in
    )


def closure(*packages: ResolvedPackage, provided: tuple[str, ...] = ()) -> Closure:
    return Closure(packages, provided)


def inventory(*packages: InstalledPackage) -> Inventory:
    return Inventory(tuple(sorted(packages, key=lambda package: package_key(package.id))))


def record(prefix: Path, cpv: str, **values: str) -> Path:
    """Write an entry of ``var/db/pkg`` as Portage does, a file per value."""
    entry = prefix / "var/db/pkg" / cpv
    entry.mkdir(parents=True)
    for key, value in ({"SLOT": "0", "repository": "tiny", "EAPI": "8"} | values).items():
        (entry / key).write_text(f"{value}\n")
    return entry
