"""Packages as values: what is installed, what Portage resolves, and why.

Names follow PMS: ``cpv`` is ``category/name-version[-rN]``, ``cp`` is ``category/name``, a slot may have a sub-slot.
Source: Package Manager Specification, https://projects.gentoo.org/pms/8/pms.html
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PackageId:
    """Category, name and version (with revision), e.g. ``app-arch``, ``bzip2``, ``1.0.8-r1``."""

    category: str
    name: str
    version: str

    @property
    def cp(self) -> str:
        """``category/name``."""
        return f"{self.category}/{self.name}"

    @property
    def cpv(self) -> str:
        """``category/name-version``."""
        return f"{self.category}/{self.name}-{self.version}"

    def __str__(self) -> str:
        return self.cpv


@dataclass(frozen=True, slots=True)
class InstalledPackage:
    """One entry of ``var/db/pkg``. ``use`` holds the flags that were on *and* are in ``iuse``, sorted; ``size_bytes`` is the
    installed size Portage recorded; ``depends`` the recorded RDEPEND, PDEPEND, IDEPEND with slot operators resolved;
    ``compiled_in`` what its ebuild recorded of the engine's settings that are in its files.
    """

    id: PackageId
    slot: str
    subslot: str
    repository: str
    eapi: str
    use: tuple[str, ...]
    iuse: tuple[str, ...]
    built_at_utc: datetime | None
    size_bytes: int | None
    depends: str = ""
    compiled_in: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What a second package cannot share: ``category/name`` and slot."""
        return (self.id.cp, self.slot)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry of ``var/db/pkg`` that cannot be understood: its path below the prefix, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that is installed, in Portage's version order, and what could not be read."""

    packages: tuple[InstalledPackage, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    def __iter__(self) -> Iterator[InstalledPackage]:
        return iter(self.packages)

    def __len__(self) -> int:
        return len(self.packages)

    def by_key(self) -> Mapping[tuple[str, str], InstalledPackage]:
        """Packages by (category/name, slot)."""
        return {package.key: package for package in self.packages}


class Need(enum.StrEnum):
    """Why one package pulls another in."""

    RUNTIME = "runtime"
    BUILD = "build"
    POST = "post"


@dataclass(frozen=True, slots=True)
class Parent:
    """Who needs a package: the parent's cpv, or ``@set`` when it is declared; the atom that asks for it; and what for."""

    cpv: str
    atom: str
    need: Need


@dataclass(frozen=True, slots=True)
class ResolvedPackage:
    """One package of a closure, as Portage would build it. ``use`` and ``compiled_in`` as in ``InstalledPackage``; ``parents`` is
    never empty. ``merge_code`` says whether its ebuild, or a hook, may run code of its own when it is merged or removed
    (pkg_setup, pkg_preinst, pkg_postinst, pkg_prerm, pkg_postrm).
    """

    id: PackageId
    slot: str
    subslot: str
    repository: str
    use: tuple[str, ...]
    iuse: tuple[str, ...]
    parents: tuple[Parent, ...]
    restrict: tuple[str, ...] = ()
    license: str = ""
    merge_code: bool = True
    compiled_in: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """``category/name`` and slot."""
        return (self.id.cp, self.slot)

    @property
    def atom(self) -> str:
        """The one atom that names exactly this package: ``=category/name-version:slot::repository``."""
        return f"={self.id.cpv}:{self.slot}::{self.repository}"


@dataclass(frozen=True, slots=True)
class Closure:
    """The declared set with all its dependencies, in an order in which it can be built."""

    packages: tuple[ResolvedPackage, ...]
    provided: tuple[str, ...] = field(default=())

    def __iter__(self) -> Iterator[ResolvedPackage]:
        return iter(self.packages)

    def with_compiled_in(self, settings: Mapping[str, str]) -> Closure:
        """The same closure, with the engine's settings (by ``category/name``) that are compiled into packages."""
        packages = (replace(package, compiled_in=settings.get(package.id.cp, "")) for package in self.packages)
        return replace(self, packages=tuple(packages)) if settings else self

    def by_key(self) -> Mapping[tuple[str, str], ResolvedPackage]:
        """Packages by (category/name, slot)."""
        return {package.key: package for package in self.packages}


@dataclass(frozen=True, slots=True)
class SourceUri:
    """One place of a distfile, as SRC_URI names it.

    For ``mirror://NAME/PATH`` there are ``mirror`` and ``path``, and ``expansions`` holds what the configuration root's own
    mirror lists make of it. ``unrestricted`` is EAPI 8's prefix: ``fetch`` or ``mirror`` lifts that RESTRICT for this place.
    """

    uri: str
    mirror: str | None = None
    path: str = ""
    expansions: tuple[str, ...] = ()
    unrestricted: str | None = None


@dataclass(frozen=True, slots=True)
class Distfile:
    """A source file: where it may be had, in Portage's order, and what its Manifest says it is.

    ``size_bytes`` is None, and ``hashes`` (hash name → hexadecimal digest) empty, when the Manifest does not name it.
    """

    name: str
    uris: tuple[SourceUri, ...]
    size_bytes: int | None
    hashes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FetchMap:
    """The distfiles of one package with its USE flags, in SRC_URI's order; ``restrict`` holds the words that apply."""

    cpv: str
    repository: str
    distfiles: tuple[Distfile, ...]
    restrict: tuple[str, ...] = ()
