"""The key of a binary package: a digest over all that goes into its build. Pure: values in, values out.

Two builds with the same key may stand for each other. What goes in is told apart in named parts, so that a person can be told
which of them differs: ``USE static``, ``eclass toolchain-funcs``, ``dependency sys-libs/zlib-1.3.1``. docs/adr/0024 says what is
in and what is not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from compatlayer.gentoo.ingredients import Ingredients
from compatlayer.gentoo.packages import Closure, Need, ResolvedPackage

FORMAT = "compatlayer binary package 1"

# FEATURES that change how Portage works and not what it builds; one that is not listed counts (make.conf(5)).
_WITHOUT_EFFECT = (
    "assume-digests binpkg-logs binpkg-multi-instance binpkg-request-signature binpkg-signing buildpkg buildpkg-live buildsyspkg "
    "candy cgroup clean-logs collision-protect compress-build-logs compress-index config-protect-if-modified distlocks "
    "ebuild-locks fail-clean getbinpkg keeptemp keepwork lmirror merge-sync merge-wait metadata-transfer mirror news "
    "observability parallel-fetch parallel-install pkgdir-index-trusted preserve-libs protect-owned "
    "qa-unresolved-soname-deps skiprocheck split-elog split-log unknown-features-filter unknown-features-warn unmerge-backup "
    "unmerge-logs unmerge-orphans userfetch usersync webrsync-gpg"
)
# Variables of emerge's environment that say where and by whom it is run.
_MACHINE = (
    "HOME DISTDIR PKGDIR RPMDIR PORTAGE_LOGDIR EMERGE_LOG_DIR PORTAGE_USERNAME PORTAGE_GRPNAME PORTAGE_INST_UID PORTAGE_INST_GID "
    "FETCHCOMMAND RESUMECOMMAND MAKEOPTS FEATURES PORTAGE_OVERRIDE_EPREFIX PORTAGE_REPOSITORIES PORTAGE_RO_DISTDIRS"
)
# Settings that say how a build is run and what it fetches.
_PROCEDURE = "MAKEOPTS EMERGE_DEFAULT_OPTS GENTOO_MIRRORS PORTAGE_BINHOST PORTAGE_NICENESS PORTAGE_ELOG_SYSTEM"
# Files of etc/portage that decide which packages there are, and with which settings: what they decide is in other parts.
_DECISIONS = (
    "make.conf make.profile repos.conf binrepos.conf mirrors sets sets.conf package.use package.env package.mask package.unmask "
    "package.accept_keywords package.accept_restrict package.keywords package.license package.properties"
)
WITHOUT_EFFECT = frozenset(_WITHOUT_EFFECT.split())
MACHINE = frozenset(_MACHINE.split())
PROCEDURE = frozenset(_PROCEDURE.split())
DECISIONS = frozenset(_DECISIONS.split())


@dataclass(frozen=True, slots=True)
class Premises:
    """What all packages of a part have in common.

    ``owner`` is who owns what is installed: ``root``, or ``user`` for whoever builds. ``toolchain`` says by name which compiler,
    linker and other host programs there are, and what the wrapper consists of. ``environment`` is emerge's, ``features`` are the
    words of its FEATURES, ``configuration`` are the files below ``etc/portage``; ``compiled_in`` are settings of the layer that
    its engine passes on to one package, by ``category/name``.
    """

    prefix: PurePosixPath
    target: str
    engine: str
    portage: str
    owner: str
    trusted_directories: tuple[str, ...] = ()
    compiled_in: Mapping[str, str] = field(default_factory=dict)
    toolchain: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    configuration: Mapping[PurePosixPath, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Key:
    """The key of one package, and the parts it was made of. ``tested``: its own tests were part of the build."""

    cpv: str
    digest: str
    parts: Mapping[str, str]
    tested: bool = False


def keys(closure: Closure, ingredients: Sequence[Ingredients], premises: Premises) -> dict[str, Key]:
    """The key of every package of ``closure`` by ``category/name-version``; ``ingredients`` are in the same order.

    A package's key covers its own parts and those of everything it needs to be built or to run, directly or not, so that a
    change below it changes it too; packages that need each other are no trouble.
    """
    own = {
        package.id.cpv: _own_parts(package, described, premises) for package, described in zip(closure, ingredients, strict=True)
    }
    digests = {cpv: _digest(parts) for cpv, parts in own.items()}
    needs = needed(closure)
    names = {cpv: _digest({"": digests[cpv], **{one: digests[one] for one in below(cpv, needs)}}) for cpv in own}
    return {
        cpv: Key(
            cpv,
            names[cpv],
            {**parts, **{f"dependency {other}": names[other] for other in sorted(needs[cpv])}},
            tested="FEATURES test" in parts,
        )
        for cpv, parts in own.items()
    }


def needed(closure: Closure) -> dict[str, set[str]]:
    """Who needs whom: what each package needs to be built or to run. What it only needs afterwards (PDEPEND) does not count."""
    found: dict[str, set[str]] = {package.id.cpv: set() for package in closure}
    for package in closure:
        for parent in package.parents:
            if parent.cpv in found and parent.need is not Need.POST:
                found[parent.cpv].add(package.id.cpv)
    return found


def below(cpv: str, needs: Mapping[str, set[str]]) -> set[str]:
    """Everything that a package needs, directly or not; never itself."""
    found: set[str] = set()
    waiting = [cpv]
    while waiting:
        for other in needs[waiting.pop()] - found:
            found.add(other)
            waiting.append(other)
    return found - {cpv}


def differing(wanted: Mapping[str, str], other: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the parts in which two keys differ, as sentences want them."""
    return tuple(sorted(name for name in {*wanted, *other} if wanted.get(name) != other.get(name)))


def _own_parts(package: ResolvedPackage, described: Ingredients, premises: Premises) -> dict[str, str]:
    """Everything but the dependencies; each part as a short text or a digest."""
    implicit = set(described.use) - set(package.iuse)
    features = _features(described.features, premises.features)
    parts = {
        "format": FORMAT,
        "package": f"{package.id.cpv}:{package.slot}/{package.subslot}::{package.repository}",
        "prefix": str(premises.prefix),
        "target": premises.target,
        "engine": premises.engine,
        "Portage": premises.portage,
        "owner": premises.owner,
        "trusted directories": ":".join(premises.trusted_directories),
        "ebuild": described.ebuild,
    }
    if package.id.cp in premises.compiled_in:
        parts["compiled in"] = premises.compiled_in[package.id.cp]
    parts |= {f"USE {flag}": "on" for flag in {*package.use, *implicit}}
    parts |= {f"FEATURES {name}": "on" for name in features - WITHOUT_EFFECT}
    parts |= {f"eclass {name}": digest for name, digest in described.eclasses.items()}
    parts |= {f"file {name}": digest for name, digest in described.files.items()}
    parts |= {f"source {name}": _text(said) for name, said in described.sources.items()}
    parts |= {f"hook {name}": digest for name, digest in described.hooks.items()}
    parts |= {f"setting {name}": _text(value) for name, value in described.settings.items() if name not in PROCEDURE}
    parts |= {f"environment {name}": _text(value) for name, value in premises.environment.items() if name not in MACHINE}
    parts |= {f"toolchain {name}": _text(value) for name, value in premises.toolchain.items()}
    parts |= dict(_configuration(package, premises.configuration))
    return parts


def _features(configured: Sequence[str], words: Sequence[str]) -> set[str]:
    """FEATURES in force: the environment's words come last, ``-word`` takes one away, ``-*`` all."""
    found = set(configured)
    for word in words:
        if word == "-*":
            found.clear()
        elif word.startswith("-"):
            found.discard(word[1:])
        else:
            found.add(word)
    return found


def _configuration(package: ResolvedPackage, files: Mapping[PurePosixPath, bytes]) -> Iterator[tuple[str, str]]:
    """What reaches this package's build from etc/portage by itself: patches, bashrc files, hooks, and anything unknown."""
    patched = {PurePosixPath("patches", name) for name in _names(package)}
    hooked = {PurePosixPath("env", name) for name in _names(package)}
    for path, content in sorted(files.items()):
        top, second = path.parts[0], path.parts[1] if len(path.parts) > 1 else ""
        if top == "patches":
            counts = path.parent in patched
        elif top == "env":
            # A file at the top is named by package.env, and evaluated there; one for a package is sourced by bash.
            counts = path in hooked
        elif top == "profile":
            counts = second.endswith("bashrc")
        else:
            counts = top not in DECISIONS
        if counts:
            name = f"patch {path.relative_to(top)}" if top == "patches" else f"etc/portage/{path}"
            yield name, hashlib.sha256(content).hexdigest()


def _names(package: ResolvedPackage) -> set[str]:
    """The names under which a package's patches and hooks may lie (portage(5), ebuild(5)): with and without version and slot."""
    version, _, revision = package.id.version.partition("-r")
    name = f"{package.id.category}/{package.id.name}"
    plain = {name, f"{name}-{version}", f"{name}-{version}-r{revision or 0}"}
    return plain | {f"{one}:{package.slot}" for one in plain}


def _text(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()


def _digest(parts: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
