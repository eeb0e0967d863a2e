"""Gathering what the checks look at: the inventory of a stage, and the closure it should be."""

from __future__ import annotations

from pathlib import Path

from compatlayer.declaration.model import Layer, Target, Version
from compatlayer.errors import StageError
from compatlayer.install import installed, resolve, untouched
from compatlayer.selection import select
from compatlayer.stage import find_stage
from compatlayer.verify.registry import Context


def context(layer: Layer, version: Version, target: Target, state: Path) -> Context:
    """The context of the stage of one part. Raises ``StageError`` without a stage, ``ResolutionError`` when nothing resolves."""
    chosen = select(layer, version, target)
    stage = find_stage(state, chosen.part)
    if stage is None and chosen.existing_tree is not None:
        return Context(chosen.existing_tree, untouched(chosen), resolve(chosen, state), chosen.packages, chosen.part)
    if stage is None:
        raise StageError(f"there is no stage of {chosen.part} yet", hint="build it: compatlayer install")
    return Context(stage.upper, installed(stage), resolve(chosen, state), chosen.packages, chosen.part)
