"""Gathering what the checks look at: the inventory of a stage, and the closure it should be."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from compatlayer.declaration.model import Layer, Target, Version
from compatlayer.errors import StageError
from compatlayer.gentoo.packages import Inventory
from compatlayer.install import installed, resolve, untouched
from compatlayer.selection import Selection, select
from compatlayer.stage import find_stage
from compatlayer.verify.registry import Context


def context(layer: Layer, version: Version, target: Target, state: Path) -> Context:
    """The context of the stage of one part. Raises ``StageError`` without a stage, ``ResolutionError`` when nothing resolves."""
    chosen = select(layer, version, target)
    stage = find_stage(state, chosen.part)
    if stage is None and chosen.existing_tree is not None:
        return _context(chosen, chosen.existing_tree, untouched(chosen), state)
    if stage is None:
        raise StageError(f"there is no stage of {chosen.part} yet", hint="build it: compatlayer install")
    return _context(chosen, stage.upper, installed(stage), state)


def _context(chosen: Selection, tree: Path, there: Inventory, state: Path) -> Context:
    return Context(
        tree,
        there,
        resolve(chosen, state),
        chosen.packages,
        chosen.part,
        engine=chosen.version.engine,
        host_links=chosen.version.host_links,
        build_paths=_build_paths(state),
        memory=state / "verified",
    )


def _build_paths(state: Path) -> tuple[PurePosixPath, ...]:
    """Directories of this machine that no file of a layer may name: the state directory, and a home that is a person's."""
    home = Path.home()
    return tuple(PurePosixPath(path) for path in (state.absolute(), home) if len(path.parts) > 2)
