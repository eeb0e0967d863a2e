"""Engines: how a prefix becomes able to emerge. One module each, behind the interface in ``base``."""

from __future__ import annotations

from compatlayer.declaration.model import EngineName
from compatlayer.engine.base import Engine


def engine_for(name: EngineName) -> Engine:
    """The engine of that name. The others, and what they need, are not loaded."""
    match name:
        case EngineName.GUEST:
            from compatlayer.engine.guest import GuestEngine  # noqa: PLC0415

            return GuestEngine()
        case EngineName.STANDALONE:
            from compatlayer.engine.standalone import StandaloneEngine  # noqa: PLC0415

            return StandaloneEngine()
        case EngineName.BOOTSTRAP:
            from compatlayer.engine.bootstrap import BootstrapEngine  # noqa: PLC0415

            return BootstrapEngine()
        case EngineName.NATIVE:
            from compatlayer.engine.native import NativeEngine  # noqa: PLC0415

            return NativeEngine()
