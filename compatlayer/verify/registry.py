"""Which checks there are, and how they are run.

A check is a function from a ``Context`` to findings, made known with ``@check``. A new one is a module in this package, named in
``MODULES``; each of its findings is a class whose docstring is the long explanation.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compatlayer.declaration.model import DeclaredPackage, Part
from compatlayer.errors import UsageError
from compatlayer.findings import Finding
from compatlayer.gentoo.packages import Closure, Inventory

# In the order in which they run and report: from the whole to the detail.
MODULES = ("declared",)


@dataclass(frozen=True, slots=True)
class Context:
    """What a check may look at.

    ``prefix_tree`` is the prefix's own directory, wherever it is found on disk; nothing in it is run. ``closure``, ``declared``
    and ``part`` are empty for a prefix that comes without a declaration.
    """

    prefix_tree: Path
    inventory: Inventory
    closure: Closure | None = None
    declared: tuple[DeclaredPackage, ...] = ()
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A registered check; ``summary`` is its line in lists, ``needs_declaration`` says that it has no meaning without one."""

    name: str
    summary: str
    run: Callable[[Context], Iterator[Finding]]
    needs_declaration: bool = False

    def applies_to(self, context: Context) -> bool:
        """Whether ``context`` holds what this check needs."""
        return context.closure is not None or not self.needs_declaration


@dataclass(frozen=True, slots=True)
class Selected:
    """The checks to run, and those left out because there is no declaration: a verdict has to say so."""

    run: tuple[Check, ...]
    left_out: tuple[Check, ...]


_checks: dict[str, Check] = {}


def check(
    name: str, *, needs_declaration: bool = False
) -> Callable[[Callable[[Context], Iterator[Finding]]], Callable[[Context], Iterator[Finding]]]:
    """Make a function known as the check ``name``; the first line of its docstring becomes the summary."""

    def register(function: Callable[[Context], Iterator[Finding]]) -> Callable[[Context], Iterator[Finding]]:
        known = _checks.get(name)
        if known is not None and known.run.__module__ != function.__module__:
            raise ValueError(f"check {name!r} is already taken by {known.run.__module__}")
        summary = (function.__doc__ or "").strip().partition("\n")[0]
        _checks[name] = Check(name, summary, function, needs_declaration)
        return function

    return register


def all_checks() -> Mapping[str, Check]:
    """Every check by name, in the order of ``MODULES``; imports them."""
    for module in MODULES:
        importlib.import_module(f"{__package__}.{module}")
    return {name: _checks[name] for name in sorted(_checks, key=_position)}


def select(context: Context, names: Sequence[str] | None = None) -> Selected:
    """The checks of those ``names`` (default: all) that apply to ``context``. Raises ``UsageError`` for an unknown name."""
    known = all_checks()
    for name in names or ():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}"
            raise UsageError(f"there is no check named '{name}'", hint=hint)
    wanted = [one for one in known.values() if not names or one.name in names]
    return Selected(
        tuple(one for one in wanted if one.applies_to(context)), tuple(one for one in wanted if not one.applies_to(context))
    )


def findings(context: Context, names: Sequence[str] | None = None) -> Iterator[Finding]:
    """Run the checks and pass their findings on as they come: check by check, each in its own fixed order."""
    for one in select(context, names).run:
        yield from one.run(context)


def _position(name: str) -> tuple[int, str]:
    module = _checks[name].run.__module__.rpartition(".")[2]
    return (MODULES.index(module) if module in MODULES else len(MODULES), name)
