"""Gathering what the checks look at: a stage, a revision or any prefix; what it should be; and where people wrote that."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from compatlayer import resolver
from compatlayer.declaration import policy_file
from compatlayer.declaration.model import Layer, Target, Version
from compatlayer.errors import Location, StageError, UsageError
from compatlayer.findings import Finding
from compatlayer.gentoo import inventory as inventories
from compatlayer.gentoo.client import Worker
from compatlayer.gentoo.failures import Failure
from compatlayer.gentoo.packages import Closure, Inventory
from compatlayer.gentoo.portage_configuration import PACKAGE_DATABASE
from compatlayer.gentoo.versions import parse_cpv
from compatlayer.resolver import Resolver
from compatlayer.selection import Selection, select
from compatlayer.stage import find_stage
from compatlayer.tree.manifest import Manifest
from compatlayer.verify.registry import Context

NO_DECLARATION = "there is no declaration of this prefix"


@contextmanager
def of_stage(layer: Layer, version: Version, target: Target, state: Path) -> Iterator[Context]:
    """The context of the stage of one part, or of the prefix that it adopts.

    Raises ``StageError`` without a stage, ``ResolutionError`` when nothing resolves.
    """
    chosen = select(layer, version, target, state)
    stage = find_stage(state, chosen.part)
    if stage is not None:
        with stage.seen() as tree:
            yield _context(chosen, tree, state, resolver.of_part(chosen, state, stage), memory=state / "verified")
    elif chosen.existing_tree is not None:
        yield _context(chosen, chosen.existing_tree, state, resolver.of_part(chosen, state), memory=state / "verified")
    else:
        raise StageError(f"there is no stage of {chosen.part} yet", hint="build it: compatlayer install")


def of_revision(
    layer: Layer, version: Version, target: Target, state: Path, tree: Path, manifest: Manifest | None = None
) -> Context:
    """The context of a published revision, whose tree lies at ``tree`` and is to be what ``manifest`` says."""
    chosen = select(layer, version, target, state)
    return replace(_context(chosen, tree, state, resolver.of_tree(chosen, state, tree)), manifest=manifest)


def of_prefix(tree: Path) -> Context:
    """The context of any prefix, without a declaration.

    Raises ``UsageError`` where there is no directory, or one without a package database: nothing could be wrong with it, and the
    verdict would be good.
    """
    hint = "name the prefix itself, the directory with var/db/pkg in it"
    if not tree.is_dir():
        raise UsageError(f"{tree} is not a directory", hint=hint)
    if not os.path.lexists(tree / PACKAGE_DATABASE):
        raise UsageError(f"{tree} is not a prefix", cause=f"there is no {PACKAGE_DATABASE} in it", hint=hint)
    return Context(tree, inventories.read(tree))


def _context(chosen: Selection, tree: Path, state: Path, answering: Resolver, memory: Path | None = None) -> Context:
    there = inventories.read(tree)
    root = resolver.root(chosen, state, answering)
    with answering.worker() as worker:
        closure = worker.closure(root, chosen.atoms, system=chosen.engine.installs_system).with_compiled_in(chosen.compiled_in)
        refused = _refused(worker, root, closure, there)
    return Context(
        tree,
        there,
        closure,
        chosen.packages,
        chosen.part,
        engine=chosen.version.engine,
        host_links=chosen.version.host_links,
        trusted_dirs=chosen.version.trusted_directories(chosen.part),
        build_paths=_build_paths(state),
        policy=policy_file.load(chosen.layer.root),
        refused=refused,
        memory=memory,
    )


def _refused(worker: Worker, root: Path, closure: Closure, there: Inventory) -> dict[str, Failure]:
    """Installed packages that could not be installed today, with Portage's answer. What is resolved need not be asked about."""
    resolved = {(package.id.cpv, package.repository) for package in closure}
    atoms = {
        f"={package.id.cpv}:{package.slot}" + (f"::{package.repository}" if package.repository else ""): package.id.cpv
        for package in there
        if (package.id.cpv, package.repository) not in resolved
    }
    if not atoms:
        return {}
    answers = worker.check_atoms(root, list(atoms))
    return {cpv: answer for atom, cpv in atoms.items() if isinstance(answer := answers[atom], Failure)}


def _build_paths(state: Path) -> tuple[PurePosixPath, ...]:
    """Directories of this machine that no file of a layer may name: the state directory, and a home that is a person's."""
    home = Path.home()
    return tuple(PurePosixPath(path) for path in (state.absolute(), home) if len(path.parts) > 2)


@dataclass(frozen=True, slots=True)
class Places:
    """Where people write what findings are about: the set files and the ebuilds of the layer's own overlays."""

    layer: Layer
    version: Version
    target: Target

    def located(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """``findings`` with the ebuild at fault, or the line that declares the package, where they name no place themselves."""
        declared = {package.name: package.location for one in self.version.sets for package in one.for_target(self.target.name)}
        ebuilds: dict[tuple[str, str], Location | None] = {}
        for finding in findings:
            if finding.location is not None or not finding.package:
                yield finding
                continue
            key = (finding.package, _VARIABLES.get(finding.identifier, ""))
            if key not in ebuilds:
                ebuilds[key] = self._ebuild(*key)
            yield replace(finding, location=ebuilds[key] or declared.get(_name(finding.package)))

    def _ebuild(self, package: str, variable: str) -> Location | None:
        """The ebuild of ``package`` in an overlay beside the layer, at the line that sets ``variable``, else its first."""
        try:
            one = parse_cpv(package)
        except ValueError:
            return None
        for repository in self.version.repositories:
            if repository.path is None:
                continue
            relative = repository.path / one.category / one.name / f"{one.name}-{one.version}.ebuild"
            try:
                lines = (self.layer.root / relative).read_text(errors="replace").splitlines()
            except OSError:
                continue
            matching = (number for number, line in enumerate(lines, 1) if variable and re.match(rf"\s*{variable}\+?=", line))
            return Location(str(relative), next(matching, 1))
        return None


# Findings whose cause is in one variable of the ebuild.
_VARIABLES: Mapping[str, str] = {
    "library-missing": "RDEPEND",
    "library-left-to-host": "RDEPEND",
    "soname-replaced": "RDEPEND",
    "script-interpreter-missing": "RDEPEND",
    "package-no-keyword": "KEYWORDS",
}


def _name(package: str) -> str:
    try:
        return parse_cpv(package).cp
    except ValueError:
        return package


def describe(context: Context) -> dict[str, object]:
    """The layer that a verdict is on, as plain data."""
    part = context.part
    return {
        "name": part.layer if part else None,
        "version": part.version if part else None,
        "target": part.target.name if part else None,
        "prefix": context.prefix,
        "tree": str(context.prefix_tree),
        "engine": str(context.engine) if context.engine else None,
    }
