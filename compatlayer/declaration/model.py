"""What a layer's declaration says, as frozen values.

Everything here was validated by ``declaration.load``; no other module reads the YAML. Paths in the declaration are
relative to ``Layer.root``, the directory of ``layer.yaml``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath

from compatlayer.errors import Location


class EngineName(enum.StrEnum):
    """How a prefix gets its toolchain (docs/reference/layer.md)."""

    GUEST = "guest"
    STANDALONE = "standalone"
    BOOTSTRAP = "bootstrap"
    NATIVE = "native"


class Status(enum.StrEnum):
    """Whether a version is being prepared, in use, or kept only for its history."""

    DRAFT = "draft"
    LIVE = "live"
    RETIRED = "retired"


class Backend(enum.StrEnum):
    """What publishes a repository."""

    OSTREE = "ostree"
    CVMFS = "cvmfs"


@dataclass(frozen=True, slots=True)
class Target:
    """An operating system and architecture.

    ``arch`` is the name of our prefixes (uname -m, mostly), ``keyword`` Gentoo's name for it (profiles/arch.list),
    ``chost`` the GNU triplet that Portage builds for.
    """

    name: str
    os: str
    arch: str
    keyword: str
    chost: str

    def __str__(self) -> str:
        return self.name


# Every target that can be declared. A macOS target can be declared and planned; building one needs macOS.
TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("linux-x86_64", "linux", "x86_64", "amd64", "x86_64-pc-linux-gnu"),
        Target("linux-aarch64", "linux", "aarch64", "arm64", "aarch64-unknown-linux-gnu"),
        Target("linux-riscv64", "linux", "riscv64", "riscv", "riscv64-unknown-linux-gnu"),
        Target("linux-ppc64le", "linux", "ppc64le", "ppc64", "powerpc64le-unknown-linux-gnu"),
        Target("macos-aarch64", "macos", "aarch64", "arm64-macos", "aarch64-apple-darwin"),
        Target("macos-x86_64", "macos", "x86_64", "x64-macos", "x86_64-apple-darwin"),
    )
}


# Where the profile of a target lies, unless a version says otherwise.
DEFAULT_PROFILE = "{repo}:{os}/{arch}"


@dataclass(frozen=True, slots=True)
class EbuildRepository:
    """An ebuild repository: a local ``path`` (relative to the root), or ``url`` and ``commit`` (40 hex digits)."""

    name: str
    path: PurePosixPath | None = None
    url: str | None = None
    commit: str | None = None
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A file that an engine needs for itself: what it is called, where it may be had, and what it must be."""

    name: str
    url: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What makes a prefix with engine ``bootstrap``: Gentoo's ``bootstrap-prefix.sh`` as of ``commit``, and the files that it
    asks for by itself, before there is a Portage that knows Manifests.
    """

    commit: str
    script: Source
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class HostLink:
    """A path of the layer that points at the host: plain (``target`` None: the same path), or at ``target``, which may
    be a CernVM-FS variant symlink such as ``$(EXAMPLE_ETC_HOSTS:-/etc/hosts)``.
    """

    path: PurePosixPath
    target: str | None = None


@dataclass(frozen=True, slots=True)
class DeclaredPackage:
    """One entry of a set file; the keys mean what they mean in EESSI's ``eessi_sets.yml``, and ``reason`` is ours."""

    name: str
    version: str | None
    overlay: str | None
    include_on: tuple[str, ...]
    exclude_on: tuple[str, ...]
    reason: str
    location: Location

    @property
    def atom(self) -> str:
        """The package atom: ``category/name``, ``=category/name-version``, with ``::overlay`` where one is named."""
        atom = f"={self.name}-{self.version}" if self.version else self.name
        return f"{atom}::{self.overlay}" if self.overlay else atom

    def applies_to(self, target: str) -> bool:
        """Whether this entry is part of ``target``'s set."""
        if self.include_on:
            return target in self.include_on
        return target not in self.exclude_on


@dataclass(frozen=True, slots=True)
class PackageSet:
    """One ``sets/*.yaml``: a name and its entries in file order."""

    name: str
    file: PurePosixPath
    packages: tuple[DeclaredPackage, ...]

    def rendered_name(self, target: str) -> str:
        """The name under which Portage knows this set on ``target``: ``<set>-<target>``."""
        return f"{self.name}-{target}"

    def for_target(self, target: str) -> tuple[DeclaredPackage, ...]:
        """The entries that apply to ``target``, in file order."""
        return tuple(package for package in self.packages if package.applies_to(target))


@dataclass(frozen=True, slots=True)
class Version:
    """One generation of the layer: its own sets, pins and configuration."""

    name: str
    status: Status
    engine: EngineName
    sets: tuple[PackageSet, ...]
    tree: EbuildRepository | None
    overlays: tuple[EbuildRepository, ...]
    profile: str | None = None
    trusted_dirs: tuple[str, ...] = ()
    locales: tuple[str, ...] = ()
    host_links: tuple[HostLink, ...] = ()
    bootstrap: Bootstrap | None = None

    @property
    def repositories(self) -> tuple[EbuildRepository, ...]:
        """Tree first (where there is one), then the overlays; the first is Portage's main repository."""
        return (self.tree, *self.overlays) if self.tree else self.overlays

    def trusted_directories(self, part: Part) -> tuple[str, ...]:
        """The directories that the loader searches first in ``part``, one of this version's, absolute."""
        fields = {"prefix": part.prefix, "version": self.name, "os": part.target.os, "arch": part.target.arch}
        return tuple(text.format_map(fields) for text in self.trusted_dirs)

    def profile_for(self, target: Target) -> str:
        """Portage's profile on ``target`` as ``repository:path`` (PMS 5.2.1); ``{repo}`` is the main repository."""
        return (self.profile or DEFAULT_PROFILE).format(
            repo=self.repositories[0].name, os=target.os, arch=target.arch, keyword=target.keyword, version=self.name
        )


@dataclass(frozen=True, slots=True)
class RepositoryDeclaration:
    """Where layers are published: an OSTree repository at ``path``, or a CernVM-FS repository called ``name``."""

    backend: Backend
    path: PurePosixPath | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where binary packages are kept: ``path`` is read and written, ``urls`` are read. ``keys`` are the public keys of those who
    may sign them, as files; none named: the keys that receipts may be signed with.
    """

    path: PurePosixPath | None = None
    urls: tuple[str, ...] = ()
    keys: tuple[PurePosixPath, ...] = ()


@dataclass(frozen=True, slots=True)
class Gates:
    """What a promotion demands; None and 0 mean that this gate is not used."""

    verify: str | None = None
    advisories: str | None = None
    acceptance: bool = False
    parity: bool = False
    approvals: int = 0
    approvers: tuple[PurePosixPath, ...] = ()


@dataclass(frozen=True, slots=True)
class AcceptedRisk:
    """An advisory the layer lives with: why, and until when."""

    advisory: str
    reason: str
    until: date


@dataclass(frozen=True, slots=True)
class Consumer:
    """A tree of software that stands on the layer; ``path`` may hold ``{version}``, ``{os}`` and ``{arch}``."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Builder:
    """A machine that builds one target."""

    target: str
    host: str
    user: str | None = None
    scratch: PurePosixPath | None = None
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One version for one target: what is built, verified, published, promoted and rolled back."""

    layer: str
    version: str
    target: Target
    prefix: PurePosixPath

    def __str__(self) -> str:
        return f"{self.version}/{self.target.name}"


@dataclass(frozen=True, slots=True)
class Layer:
    """The whole declaration. ``root`` is the directory of ``layer.yaml``; ``file`` its path as it was given."""

    name: str
    root: Path
    file: Path
    targets: tuple[Target, ...]
    prefix_template: str
    versions: tuple[Version, ...]
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    binaries: Binaries | None = None
    repositories: Mapping[str, RepositoryDeclaration] = field(default_factory=dict)
    gates: Gates = field(default_factory=Gates)
    accepted_risks: tuple[AcceptedRisk, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    builders: tuple[Builder, ...] = ()

    def part(self, version: Version, target: Target) -> Part:
        """The part of ``version`` for ``target``, with the absolute path that is compiled into it."""
        return self.part_of(version.name, target)

    def part_of(self, version: str, target: Target) -> Part:
        """The same by the version's name, which need not be declared any more."""
        prefix = self.prefix_template.format(version=version, os=target.os, arch=target.arch)
        return Part(self.name, version, target, PurePosixPath(prefix))
