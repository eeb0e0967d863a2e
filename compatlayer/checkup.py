"""Before anything is built: the declaration, and everything that can be resolved from it, for every version and target.

Reads only; the resolver's configuration roots in the state directory are the one thing written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from compatlayer import resolver
from compatlayer.declaration import configuration, sets
from compatlayer.declaration.model import Layer, Part, Target, Version
from compatlayer.errors import DeclarationError
from compatlayer.findings import Finding
from compatlayer.gentoo.availability import unavailable
from compatlayer.resolver import Resolver
from compatlayer.selection import select


def check_layer(
    layer: Layer, state: Path, *, versions: Sequence[Version] | None = None, targets: Sequence[Target] | None = None
) -> tuple[Finding, ...]:
    """Every finding, those of the declaration itself first; ``versions`` and ``targets`` narrow what is resolved.

    Raises ``DeclarationError`` for mistakes in ``config/``, which make resolving pointless.
    """
    return tuple(_findings(layer, state, versions or layer.versions, targets or layer.targets))


def _findings(layer: Layer, state: Path, versions: Sequence[Version], targets: Sequence[Target]) -> Iterator[Finding]:
    mistakes = configuration.check(layer)
    if mistakes:
        raise DeclarationError(mistakes)
    yield from sets.todo_reasons(layer, versions)
    yield from sets.stale(layer)
    # A prefix with a Portage of its own is asked about with that; all others share ours.
    asked: dict[Resolver, dict[Part, Path]] = {}
    for version in versions:
        for target in targets:
            chosen = select(layer, version, target, state)
            answering = resolver.of_part(chosen, state)
            asked.setdefault(answering, {})[chosen.part] = resolver.root(chosen, state, answering)
    for answering, roots in asked.items():
        with answering.worker() as worker:
            yield from unavailable(layer, worker, roots)
