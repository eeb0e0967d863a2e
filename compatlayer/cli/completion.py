"""What a shell offers for an option's value. A declaration that cannot be read offers nothing, and no error either."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import click

from compatlayer.declaration.model import TARGETS
from compatlayer.errors import CompatlayerError

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def _offered(names: Callable[[], Iterable[str]]) -> Completer:
    """A function as click calls it, out of one that knows the names."""

    @functools.wraps(names)
    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


@_offered
def versions() -> Iterable[str]:
    """The versions of the layer that the command line so far is about."""
    from compatlayer.cli.context import Session  # which names these functions itself

    try:
        return [version.name for version in Session().layer.versions]
    except CompatlayerError:
        return []


@_offered
def targets() -> Iterable[str]:
    """The targets of that layer; without one, all that there are."""
    from compatlayer.cli.context import Session

    try:
        return [target.name for target in Session().layer.targets]
    except CompatlayerError:
        return TARGETS


@_offered
def checks() -> Iterable[str]:
    """The checks of ``verify``."""
    from compatlayer.verify.registry import all_checks  # only when it is asked for

    return all_checks()


@_offered
def findings() -> Iterable[str]:
    """The identifiers of everything that ``verify`` can find."""
    from compatlayer.findings import registered
    from compatlayer.verify.registry import all_checks

    all_checks()
    return registered()
