"""Engines: how a prefix becomes able to emerge. One module each, behind the interface in ``base``."""

from __future__ import annotations

from collections.abc import Mapping

from compatlayer.declaration.model import EngineName
from compatlayer.engine.base import Engine
from compatlayer.engine.bootstrap import BootstrapEngine
from compatlayer.engine.guest import GuestEngine
from compatlayer.engine.native import NativeEngine
from compatlayer.engine.standalone import StandaloneEngine

_ENGINES: Mapping[EngineName, type[Engine]] = {
    EngineName.GUEST: GuestEngine,
    EngineName.STANDALONE: StandaloneEngine,
    EngineName.BOOTSTRAP: BootstrapEngine,
    EngineName.NATIVE: NativeEngine,
}


def engine_for(name: EngineName) -> Engine:
    """The engine of that name."""
    return _ENGINES[name]()
