"""Closure against inventory: what is as it should be, what is not, and the actions that make it so, each with its reason.

Pure. ``compare`` is the only comparison in the house: the plan and the check ``declared`` both stand on it, so that they cannot
disagree.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from compatlayer.declaration.model import DeclaredPackage
from compatlayer.engine.base import Step
from compatlayer.gentoo.packages import Closure, InstalledPackage, Inventory, Need, Parent, ResolvedPackage
from compatlayer.gentoo.versions import compare as compare_versions
from compatlayer.gentoo.versions import parse_cpv

# A dependency that Portage recorded with the slot and sub-slot it was built against: ``>=cat/name-1:slot/subslot=[flag]``.
_BUILT_AGAINST = re.compile(
    r"(?P<operator>[<>=~]*)(?P<name>[^\s:!<>=~]+):(?P<slot>[\w+.-]+)/(?P<subslot>[\w+.-]+)=(?:::[\w-]+)?(?:\[\S*\])?"
)


# The profile's system set, which an engine may install whether it is declared or not.
SYSTEM = "@system"


class Verdict(enum.StrEnum):
    """How one package stands; where several differences meet, the first of them in this order is named."""

    PRESENT = "present"
    MISSING = "missing"
    WRONG_VERSION = "wrong version"
    WRONG_SLOT = "wrong slot"
    WRONG_REPOSITORY = "wrong repository"
    WRONG_USE = "wrong USE"
    WRONG_SETTING = "wrong setting"
    REBUILD = "rebuild"
    UNNEEDED = "unneeded"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One package as wanted and as installed; at least one of the two is there.

    ``rebuild_for`` names the dependencies whose sub-slot has changed: ``dev-lang/lua:5.4/5.4.4 → 5.4/5.4.6``.
    """

    verdict: Verdict
    wanted: ResolvedPackage | None
    installed: InstalledPackage | None
    rebuild_for: tuple[str, ...] = ()

    @property
    def package(self) -> ResolvedPackage | InstalledPackage:
        """The wanted package, or the installed one that nothing wants."""
        package = self.wanted or self.installed
        assert package is not None, "a comparison has a wanted or an installed package"
        return package

    @property
    def name(self) -> str:
        """``category/name``."""
        return self.package.id.cp

    @property
    def use_changes(self) -> tuple[str, ...]:
        """Flags to switch: ``+on`` first, then ``-off``; none unless both sides are there."""
        if self.wanted is None or self.installed is None:
            return ()
        wanted, installed = set(self.wanted.use), set(self.installed.use)
        return (*(f"+{flag}" for flag in sorted(wanted - installed)), *(f"-{flag}" for flag in sorted(installed - wanted)))


def compare(closure: Closure, inventory: Inventory) -> tuple[Comparison, ...]:
    """Every package of the closure, in build order, and then every installed one that the closure does not hold."""
    installed, wanted_by_name = inventory.by_key(), _by_name(closure)
    spoken_for: set[tuple[str, str]] = set()
    comparisons = []
    for wanted in closure:
        found = installed.get(wanted.key)
        if found is not None:
            spoken_for.add(found.key)
            comparisons.append(_compare_one(wanted, found, wanted_by_name))
            continue
        other = _in_another_slot(wanted, inventory, wanted_by_name)
        if other is not None and other.id == wanted.id:
            # The very same version is merged over: nothing of it stays behind.
            spoken_for.add(other.key)
        comparisons.append(Comparison(Verdict.WRONG_SLOT if other else Verdict.MISSING, wanted, other))
    unneeded = [package for package in inventory if package.key not in spoken_for]
    return (*comparisons, *(Comparison(Verdict.UNNEEDED, None, package) for package in unneeded))


_ByName = Mapping[str, Sequence[ResolvedPackage]]


def _by_name(closure: Closure) -> _ByName:
    """The closure's packages by ``category/name``: one for each slot."""
    found: dict[str, list[ResolvedPackage]] = {}
    for package in closure:
        found.setdefault(package.id.cp, []).append(package)
    return found


def _compare_one(wanted: ResolvedPackage, found: InstalledPackage, wanted_by_name: _ByName) -> Comparison:
    """Compare what stands in the same slot."""
    rebuild_for = _changed_dependencies(found, wanted_by_name)
    verdict = Verdict.PRESENT
    if compare_versions(wanted.id.version, found.id.version) != 0:
        verdict = Verdict.WRONG_VERSION
    elif wanted.subslot != found.subslot:
        verdict = Verdict.WRONG_SLOT
    elif wanted.repository != found.repository:
        verdict = Verdict.WRONG_REPOSITORY
    elif wanted.use != found.use:
        verdict = Verdict.WRONG_USE
    elif wanted.compiled_in and wanted.compiled_in != found.compiled_in:
        # A package of which nothing is wanted may hold anything.
        verdict = Verdict.WRONG_SETTING
    elif rebuild_for:
        verdict = Verdict.REBUILD
    return Comparison(verdict, wanted, found, rebuild_for)


def _in_another_slot(wanted: ResolvedPackage, inventory: Inventory, wanted_by_name: _ByName) -> InstalledPackage | None:
    """An installed package of the same name in a slot that nothing wants; the same version before any other."""
    slots = {package.slot for package in wanted_by_name[wanted.id.cp]}
    others = [package for package in inventory if package.id.cp == wanted.id.cp and package.slot not in slots]
    return next((package for package in others if package.id == wanted.id), others[-1] if others else None)


def _changed_dependencies(installed: InstalledPackage, wanted_by_name: _ByName) -> tuple[str, ...]:
    """Slot-operator dependencies of ``installed`` whose recorded slot and sub-slot the closure no longer holds.

    A name that the closure does not hold at all is left alone: the host provides it, or the ebuild has stopped asking for it.
    """
    changed = []
    for token in installed.depends.split():
        match = _BUILT_AGAINST.fullmatch(token)
        if match is None:
            continue
        name = parse_cpv(match["name"].rstrip("*")).cp if match["operator"] else match["name"]
        there = wanted_by_name.get(name, ())
        was = f"{match['slot']}/{match['subslot']}"
        slots = [f"{package.slot}/{package.subslot}" for package in there]
        if slots and was not in slots:
            in_same_slot = [f"{package.slot}/{package.subslot}" for package in there if package.slot == match["slot"]]
            changed.append(f"{name}:{was} → {(in_same_slot or slots)[-1]}")
    return tuple(dict.fromkeys(changed))


class Kind(enum.StrEnum):
    """What is done to one package."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    REBUILD = "rebuild"
    REMOVE = "remove"
    KEEP = "keep"

    @property
    def builds(self) -> bool:
        """Whether Portage has to merge something for it."""
        return self in (Kind.INSTALL, Kind.UPGRADE, Kind.DOWNGRADE, Kind.REBUILD)


@dataclass(frozen=True, slots=True)
class Action:
    """One package, what is done to it, what that changes (``5.4.4 → 5.4.6``, ``+readline``), and why it is there."""

    kind: Kind
    comparison: Comparison
    change: str
    reason: str

    @property
    def atom(self) -> str:
        """The exact atom: the wanted package's with its repository, or the installed one's."""
        if self.comparison.wanted is not None:
            return self.comparison.wanted.atom
        package = self.comparison.package
        return f"={package.id.cpv}:{package.slot}"

    @property
    def description(self) -> str:
        """One line: ``upgrade dev-lang/lua 5.4.4 → 5.4.6: needed by …``."""
        return f"{self.kind} {self.comparison.name} {self.change}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What converging will do, in build order; kept and removed packages last.

    As long as there are ``steps`` to be done before anything can be emerged, packages are not known yet.
    """

    actions: tuple[Action, ...]
    steps: tuple[Step, ...] = ()

    def __iter__(self) -> Iterator[Action]:
        return iter(self.actions)

    @property
    def is_empty(self) -> bool:
        """Whether nothing needs to be done; kept packages are no work."""
        return not self.steps and all(action.kind is Kind.KEEP for action in self.actions)

    @property
    def install_atoms(self) -> tuple[str, ...]:
        """Exact atoms of all that is built, in build order: ``=category/name-version:slot::repository``."""
        return tuple(action.atom for action in self.actions if action.kind.builds)

    @property
    def remove_atoms(self) -> tuple[str, ...]:
        """Exact atoms of all that is removed."""
        return tuple(action.atom for action in self.actions if action.kind is Kind.REMOVE)

    def of(self, kind: Kind) -> tuple[Action, ...]:
        """The actions of one kind."""
        return tuple(action for action in self.actions if action.kind is kind)


def make_plan(
    closure: Closure, inventory: Inventory, declared: Sequence[DeclaredPackage], *, remove_unneeded: bool = False
) -> Plan:
    """The actions that turn ``inventory`` into ``closure``; unneeded packages are kept unless ``remove_unneeded``."""
    reasons = Reasons(closure, declared)
    actions = []
    for comparison in compare(closure, inventory):
        kind = _kind_of(comparison, remove_unneeded)
        if kind is not None:
            actions.append(Action(kind, comparison, _change_of(comparison, kind), reasons.of(comparison)))
    return Plan(tuple(actions))


def _kind_of(comparison: Comparison, remove_unneeded: bool) -> Kind | None:
    wanted, installed = comparison.wanted, comparison.installed
    if comparison.verdict is Verdict.PRESENT:
        return None
    if wanted is None:
        return Kind.REMOVE if remove_unneeded else Kind.KEEP
    if installed is None:
        return Kind.INSTALL
    if comparison.verdict is Verdict.WRONG_VERSION:
        newer = compare_versions(wanted.id.version, installed.id.version) > 0
        return Kind.UPGRADE if newer else Kind.DOWNGRADE
    if comparison.verdict is Verdict.WRONG_SLOT and wanted.id != installed.id:
        return Kind.INSTALL
    return Kind.REBUILD


def _change_of(comparison: Comparison, kind: Kind) -> str:
    """What changes, old → new, version first; for a package that comes or goes just its version."""
    wanted, installed = comparison.wanted, comparison.installed
    if wanted is None or installed is None or kind is Kind.INSTALL:
        return comparison.package.id.version
    parts = [wanted.id.version]
    if wanted.id.version != installed.id.version:
        parts = [f"{installed.id.version} → {wanted.id.version}"]
    slots = f"{installed.slot}/{installed.subslot}", f"{wanted.slot}/{wanted.subslot}"
    if slots[0] != slots[1] and comparison.verdict is Verdict.WRONG_SLOT:
        parts.append(f"slot {slots[0]} → {slots[1]}")
    if wanted.repository != installed.repository:
        parts.append(f"::{installed.repository or 'unknown'} → ::{wanted.repository}")
    return " ".join([*parts, *comparison.use_changes])


class Reasons:
    """Why a package is there: which line declares it, or who needs it."""

    def __init__(self, closure: Closure, declared: Sequence[DeclaredPackage]) -> None:
        self._declared: dict[str, DeclaredPackage] = {}
        for package in declared:
            self._declared.setdefault(package.atom, package)
        self._order = {package.id.cpv: position for position, package in enumerate(closure)}

    def declaration(self, package: ResolvedPackage) -> DeclaredPackage | None:
        """The entry of a set file that asks for this very package."""
        atoms = (parent.atom for parent in package.parents if parent.cpv.startswith("@"))
        return next((self._declared[atom] for atom in atoms if atom in self._declared), None)

    def of(self, comparison: Comparison) -> str:
        """The reason of one comparison, in one line."""
        wanted, installed = comparison.wanted, comparison.installed
        if wanted is None:
            return "neither declared nor needed by anything that is"
        reason = self.of_package(wanted)
        if comparison.verdict is Verdict.REBUILD:
            return f"built against {', '.join(comparison.rebuild_for)}; {reason}"
        if comparison.verdict is Verdict.WRONG_SETTING and installed is not None:
            was = installed.compiled_in or "settings that were not recorded"
            return f"built with {was}, wanted with {wanted.compiled_in}; {reason}"
        if comparison.verdict is Verdict.WRONG_SLOT and installed is not None and installed.slot != wanted.slot:
            return f"slot {installed.slot} is installed, slot {wanted.slot} is wanted; {reason}"
        return reason

    def of_package(self, package: ResolvedPackage) -> str:
        """``declared in FILE:LINE: REASON``, or ``needed by CPV (NEED)``, the closest need first."""
        entry = self.declaration(package)
        if entry is not None:
            return f"declared in {entry.location.line_in_file}: {entry.reason}"
        names = sorted({parent.cpv for parent in package.parents if parent.cpv.startswith("@")})
        if names == [SYSTEM]:
            return "part of the profile's system set"
        if names:
            return f"declared in {', '.join(names)}"
        if not package.parents:
            return "pulled in by Portage's resolver"
        parents = sorted(package.parents, key=self._closeness)
        others = len({parent.cpv for parent in parents}) - 1
        more = f" and {others} more" if others else ""
        return f"needed by {parents[0].cpv} ({parents[0].need}){more}"

    def _closeness(self, parent: Parent) -> tuple[int, int, str]:
        """Runtime needs first, then those of packages that come last in build order: they are nearest to what is declared."""
        rank = (Need.RUNTIME, Need.POST, Need.BUILD).index(parent.need)
        return (rank, -self._order.get(parent.cpv, 0), parent.atom)
