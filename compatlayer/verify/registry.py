"""Which checks there are, and how they are run.

A check is a function from a ``Context`` to findings, made known with ``@check``. A new one is a module in this package, named in
``MODULES``; each of its findings is a class whose docstring is the long explanation. A check that looks at files brings a visitor
(``compatlayer.verify.reading``), so that the tree is walked and read once, whatever checks are run.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath

from compatlayer.declaration.model import DeclaredPackage, EngineName, HostLink, Part
from compatlayer.declaration.policy import Policy
from compatlayer.errors import UsageError
from compatlayer.findings import Finding
from compatlayer.gentoo.failures import Failure
from compatlayer.gentoo.packages import Closure, Inventory
from compatlayer.tree.manifest import Manifest
from compatlayer.verify.reading import Reading, Visitor, by_path
from compatlayer.verify.reading.home import home_of

# In the order in which they run and report: from the whole to the detail.
MODULES = ("declared", "integrity", "linkage", "loader", "scripts", "links", "catalog", "policy")


@dataclass(frozen=True, slots=True)
class Context:
    """What a check may look at.

    ``prefix_tree`` is the prefix's own directory, wherever it is found on disk; nothing in it is run. ``closure``, ``declared``
    and ``part`` are empty for a prefix that comes without a declaration; ``engine`` then is too, which is the strictest.

    ``host_links`` and ``trusted_dirs`` (absolute directories where the loader looks first) are the declared ones.
    ``build_paths`` are absolute directories of the machine that built this (its state directory, the builder's home), which must
    not be found in any file. ``policy`` is the site's own. ``refused`` are installed packages (``category/name-version``) that
    Portage would not install today, with its answer. ``manifest`` is the recorded one, where there is one. ``memory`` is the
    directory where what a full pass saw is kept for ``quick`` ones; with None neither happens. ``reading`` is set while checks
    are run: the one pass over the tree that they share.
    """

    prefix_tree: Path
    inventory: Inventory
    closure: Closure | None = None
    declared: tuple[DeclaredPackage, ...] = ()
    part: Part | None = None
    engine: EngineName | None = None
    host_links: tuple[HostLink, ...] = ()
    trusted_dirs: tuple[str, ...] = ()
    build_paths: tuple[PurePosixPath, ...] = ()
    policy: Policy | None = None
    refused: Mapping[str, Failure] = field(default_factory=dict)
    manifest: Manifest | None = None
    memory: Path | None = None
    quick: bool = False
    reading: Reading | None = None

    @property
    def prefix(self) -> str:
        """The absolute path at which the prefix lives: the part's, else what its packages say, else where it was found."""
        return str(self.part.prefix) if self.part else home_of(self.prefix_tree, self.inventory)

    @property
    def pass_(self) -> Reading:
        """The shared pass; only checks may ask for it."""
        if self.reading is None:
            raise ValueError("the tree is read only while checks are run")
        return self.reading

    def begin(self) -> Reading:
        """A pass over the tree that has not happened yet."""
        return Reading(
            self.prefix_tree, self.prefix, self.inventory, memory=self.memory, quick=self.quick, manifest=self.manifest
        )

    def in_order(self, findings: Iterable[Finding]) -> list[Finding]:
        """Findings as they are reported: by package in version order, those without one last, then by path."""
        ranks = {package.id.cpv: rank for rank, package in enumerate(self.inventory)}
        return sorted(findings, key=lambda one: (ranks.get(one.package, len(ranks)), by_path(one.path), one.identifier))


@dataclass(frozen=True, slots=True)
class Check:
    """A registered check; ``summary`` is its line in lists, ``needs_declaration`` says that it has no meaning without one.

    ``visitor`` makes what looks at the files for it.
    """

    name: str
    summary: str
    run: Callable[[Context], Iterator[Finding]]
    needs_declaration: bool = False
    visitor: Callable[[Context], Visitor] | None = None

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
    name: str, *, needs_declaration: bool = False, visitor: Callable[[Context], Visitor] | None = None
) -> Callable[[Callable[[Context], Iterator[Finding]]], Callable[[Context], Iterator[Finding]]]:
    """Make a function known as the check ``name``; the first line of its docstring becomes the summary.

    ``visitor`` is called with the context, in each process that reads the tree.
    """

    def register(function: Callable[[Context], Iterator[Finding]]) -> Callable[[Context], Iterator[Finding]]:
        known = _checks.get(name)
        if known is not None and known.run.__module__ != function.__module__:
            raise ValueError(f"check {name!r} is already taken by {known.run.__module__}")
        summary = (function.__doc__ or "").strip().partition("\n")[0]
        _checks[name] = Check(name, summary, function, needs_declaration, visitor)
        return function

    return register


def all_checks() -> Mapping[str, Check]:
    """Every check by name, in the order of ``MODULES``; imports them."""
    return _imported(MODULES)


def _imported(modules: Iterable[str]) -> dict[str, Check]:
    for module in modules:
        importlib.import_module(f"{__package__}.{module}")
    return {name: _checks[name] for name in sorted(_checks, key=_position)}


def refuse_unknown(names: Iterable[str]) -> None:
    """Raise ``UsageError`` for a name that no check has."""
    for name in names:
        if name not in MODULES and name not in (known := all_checks()):
            import difflib  # noqa: PLC0415 - 17 ms that only a mistake needs

            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}"
            raise UsageError(f"there is no check named '{name}'", hint=hint)


def select(context: Context, names: Sequence[str] | None = None) -> Selected:
    """The checks of those ``names`` (default: all) that apply to ``context``. Raises ``UsageError`` for an unknown name."""
    refuse_unknown(names or ())
    # A module brings the check of its own name. What is not asked for is not imported: that takes as long as 10,000 small files.
    known = _imported(names) if names and all(name in MODULES for name in names) else all_checks()
    wanted = [one for one in known.values() if not names or one.name in names]
    return Selected(
        tuple(one for one in wanted if one.applies_to(context)), tuple(one for one in wanted if not one.applies_to(context))
    )


def findings(context: Context, names: Sequence[str] | None = None) -> Iterator[Finding]:
    """Run the checks and pass their findings on as they come: check by check, each in its own fixed order.

    A caller that wants to know how much was read gives a ``context`` with a ``reading`` of its own, and asks that afterwards.
    """
    chosen = select(context, names).run
    reading = context.reading or context.begin()
    context = replace(context, reading=reading)
    for one in chosen:
        if one.visitor is not None:
            reading.join(one.name, partial(one.visitor, context))
    for one in chosen:
        yield from one.run(context)


def _position(name: str) -> tuple[int, str]:
    module = _checks[name].run.__module__.rpartition(".")[2]
    return (MODULES.index(module) if module in MODULES else len(MODULES), name)
