"""Engines: how a prefix becomes able to emerge. One module each, behind the interface in ``base``."""

from __future__ import annotations

from compatlayer.declaration.model import EngineName
from compatlayer.engine.base import Engine
from compatlayer.engine.guest import GuestEngine
from compatlayer.engine.native import NativeEngine
from compatlayer.engine.standalone import StandaloneEngine
from compatlayer.errors import UsageError


def engine_for(name: EngineName) -> Engine:
    """The engine of that name. Raises ``UsageError`` for one that this release does not have yet."""
    if name == EngineName.GUEST:
        return GuestEngine()
    if name == EngineName.STANDALONE:
        return StandaloneEngine()
    if name == EngineName.NATIVE:
        return NativeEngine()
    raise UsageError(
        f"engine '{name}' is not available in this release", hint="set `engine: guest` for this version in layer.yaml"
    )
