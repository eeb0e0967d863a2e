"""``init --from-prefix``: a Gentoo Prefix that exists, as a declaration that describes it exactly.

The prefix's own Portage says what is in it: world and sets become sets, the repositories are pinned to their commits,
``etc/portage`` becomes ``config/``. What was only pulled in is held at its version by ``package.mask`` and ``package.unmask``, so
that Portage resolves what is installed, and the plan is empty. What cannot be held is noted.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from compatlayer import resolver, trees
from compatlayer.closures import resolve
from compatlayer.declaration.model import EbuildRepository, Layer, Target
from compatlayer.engine import native
from compatlayer.engine.base import Adopted
from compatlayer.errors import Mistake, UsageError
from compatlayer.gentoo import inventory as inventories
from compatlayer.gentoo.adoption import PrefixDescription
from compatlayer.gentoo.client import Worker
from compatlayer.gentoo.failures import Candidate, Masked, MissingKeyword, ResolutionError
from compatlayer.gentoo.packages import Inventory
from compatlayer.plan import Comparison, Verdict, compare
from compatlayer.selection import select
from compatlayer.takeover import found, scaffold
from compatlayer.takeover.describe import Entry, NewLayer, NewSet, NewVersion, Source
from compatlayer.takeover.found import FoundSource, Notes

STATE = ".compatlayer"
MAX_ROUNDS = 6
SYSTEM_REASON = "part of the profile's system set"
HEADERS = {
    "selected": "What var/lib/portage/world of the adopted prefix names. It does not say who asked: each reason is yours.",
    "system": "What the profile counts as the system (@system), as far as it is installed.",
    "unclaimed": "Installed, but nothing that is declared needs it. Give it a reason, or remove it with emerge --depclean.",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What was adopted: the part, how many packages it holds, how many of them are declared, and what a person has to know."""

    part: str
    packages: int
    declared: int
    notes: tuple[Mistake, ...]


@dataclass(slots=True)
class _Held:
    """What holds the prefix as it is: versions, keywords and USE flags, by package."""

    masked: dict[str, str] = field(default_factory=dict)
    unmasked: dict[str, str] = field(default_factory=dict)
    keywords: dict[str, str] = field(default_factory=dict)
    use: dict[str, str] = field(default_factory=dict)

    def files(self, target: Target) -> dict[PurePosixPath, bytes]:
        """``config/<target>``: beside what the prefix itself says, in ``common``."""
        tables = {
            "package.mask": (self.masked, "Held at the versions that the adopted prefix has, which package.unmask lets through."),
            "package.unmask": (
                self.unmasked,
                "The versions that the adopted prefix has. Remove a line here and in package.mask\nto let a package move.",
            ),
            "package.accept_keywords": (
                self.keywords,
                "Installed in the adopted prefix without a keyword for this architecture.",
            ),
            "package.use": (self.use, "USE flags that the adopted prefix was built with, and its settings no longer say."),
        }
        place = PurePosixPath("config", target.name)
        files = {}
        for name, (lines, comment) in tables.items():
            if lines:
                text = "".join(f"# {line}\n" for line in comment.splitlines()) + "".join(
                    f"{lines[key]}\n" for key in sorted(lines)
                )
                files[place / name] = text.encode()
        return files


class _Adoption:
    """One adoption under way: the declaration so far, and the rounds that make it resolve to what is installed."""

    def __init__(self, adopted: Adopted, description: PrefixDescription, name: str, notes: Notes) -> None:
        self.prefix = adopted.tree
        self.description = description
        self.name = name
        self.notes = notes
        self.target = found.target_of(description)
        self.version, self.template = found.template_of(self.prefix, self.target)
        self.profile = found.profile_of(description)
        self.sources = found.sources_of(description, notes)
        self.configuration = found.configuration_of(self.prefix, notes)
        self.inventory: Inventory = inventories.read(self.prefix)
        self.held = _Held()
        self.sets: dict[str, dict[str, Entry]] = {}
        self._avoided: set[str] = set()
        self._gone: set[str] = set()
        self._take_sets()

    @property
    def declared(self) -> dict[str, Entry]:
        """Every declared package by name."""
        return {name: entry for entries in self.sets.values() for name, entry in entries.items()}

    def files(self) -> Mapping[PurePosixPath, bytes]:
        """The repository as it stands now."""
        sets = tuple(
            NewSet(f"{self.name}-{key}" if key != "selected" else self.name, tuple(entries.values()), HEADERS.get(key, ""))
            for key, entries in self.sets.items()
        )
        main = self.sources[0].source
        overlays = (*(one.source for one in self.sources[1:]), Source(self._own_overlay(), path="overlay"))
        version = NewVersion(
            self.version,
            "native",
            sets,
            overlays,
            tree=main,
            profile=self.profile,
            comment=f"Adopted from {self.prefix}: its own Portage, under its own Python, is asked.",
        )
        layer = NewLayer(
            self.name,
            (self.target.name,),
            self.template,
            (version,),
            header=f"The Gentoo Prefix {self.prefix}, adopted by `compatlayer init --from-prefix`.\n"
            "Every package still needs its reason: `compatlayer check` lists those that say TODO.",
        )
        extra = dict(self.configuration) | self.held.files(self.target)
        for one in self.sources:
            extra.update(one.files)
        files = scaffold.files_of(layer, extra=extra, own_masters=main.name)
        # The prefix's own settings are the only ones.
        make_conf = PurePosixPath("config/common/make.conf")
        if make_conf not in self.configuration:
            files.pop(make_conf, None)
        return files

    def hold_versions(self, layer: Layer, state: Path) -> None:
        """Hold every installed package at its version, as far as the pinned repositories still have it."""
        chosen = select(layer, layer.versions[0], self.target, state)
        answering = resolver.of_part(chosen, state)
        root = resolver.root(chosen, state, answering)
        atoms = {f"={one.id.cpv}" + (f"::{one.repository}" if one.repository else ""): one for one in self.inventory}
        with answering.worker() as worker:
            answers = worker.check_atoms(root, list(atoms))
        declared = self.declared
        for atom, package in atoms.items():
            answer = answers[atom]
            if not isinstance(answer, Candidate | Masked | MissingKeyword):
                self._gone.add(package.id.cpv)
                self.notes.add(package.id.cpv, f"cannot be built from the pinned repositories: {answer.fact}", answer.hint)
                continue
            exact = f"={package.id.cpv}"
            if isinstance(answer, MissingKeyword):
                self.held.keywords[package.id.cpv] = f"{exact} **"
            if isinstance(answer, Masked) or package.id.cp not in declared:
                self.held.unmasked[package.id.cpv] = exact
            if package.id.cp not in declared:
                self.held.masked[package.id.cp] = package.id.cp
        for entries in self.sets.values():
            for name, entry in entries.items():
                if f"{name}-{entry.version}" in self._gone:
                    entries[name] = Entry(name, reason=entry.reason)

    def settle(self, comparisons: tuple[Comparison, ...]) -> bool:
        """Change the declaration where it resolves to something else than what is installed; whether anything was changed."""
        # What is chosen in place of something installed comes first: it makes that seem unneeded.
        changed = self._avoid_what_is_not_installed(comparisons)
        for one in comparisons:
            if one.verdict is Verdict.WRONG_USE and one.installed is not None:
                flags = " ".join(_back(change) for change in one.use_changes)
                line = f"={one.installed.id.cpv} {flags}"
                changed |= self.held.use.get(one.installed.id.cpv) != line
                self.held.use[one.installed.id.cpv] = line
        if changed:
            return True
        for one in comparisons:
            if one.verdict is Verdict.UNNEEDED and one.name not in self.declared:
                installed = one.package.id
                version = None if installed.cpv in self._gone else installed.version
                self.sets.setdefault("unclaimed", {})[one.name] = Entry(one.name, version)
                self.held.masked.pop(one.name, None)
                changed = True
        return changed

    def _avoid_what_is_not_installed(self, comparisons: tuple[Comparison, ...]) -> bool:
        """Mask what is missing altogether: where another package of a choice is installed, Portage then takes that."""
        names = {package.id.cp for package in self.inventory}
        missing = {one.name for one in comparisons if one.verdict is Verdict.MISSING and one.name not in names} - self._avoided
        self._avoided |= missing
        self.held.masked.update((name, name) for name in missing)
        return bool(missing)

    def give_up_avoiding(self) -> bool:
        """Let the packages be chosen again that were masked for not being installed; whether there were any."""
        avoided = [name for name in self._avoided if self.held.masked.pop(name, None)]
        for name in sorted(avoided):
            self.notes.add(
                name, "is needed, but not installed: the plan installs it", "a build dependency that was removed, probably"
            )
        return bool(avoided)

    def _take_sets(self) -> None:
        """World first, then the selected sets, then the system; a package belongs to the first that names it."""
        order = ["selected", *(key for key in self.description.sets if key not in ("selected", "system")), "system"]
        taken: dict[str, str] = {}
        for key in order:
            entries: dict[str, Entry] = {}
            for member in self.description.sets.get(key, ()):
                if not member.installed:
                    if key != "system":
                        self.notes.add(f"@{key}", f"names {member.atom}, which is not installed: left out")
                    continue
                best = member.installed[-1]
                if best.cp in taken:
                    if best.version != taken[best.cp] and key != "system":
                        self.notes.add(f"@{key}", f"names {member.atom}, but {best.cp} is declared already: one entry a package")
                    continue
                taken[best.cp] = best.version
                reason = SYSTEM_REASON if key == "system" else "TODO"
                entries[best.cp] = Entry(best.cp, best.version, reason=reason)
            if entries or key == "selected":
                self.sets[key] = entries

    def _own_overlay(self) -> str:
        names = {one.source.name for one in self.sources}
        return "site" if "site" not in names else "compatlayer-site"


def _back(change: str) -> str:
    """The flag as it was built, from the change that leads away from it: ``+x`` is off, ``-x`` is on."""
    return f"-{change[1:]}" if change.startswith("+") else change[1:]


def adopt(prefix: Path, directory: Path) -> Result:
    """Write a layer repository into ``directory`` that describes the prefix at ``prefix``; the prefix is only read.

    Raises ``HostError`` for what is no prefix, ``UsageError`` for a prefix that cannot be declared or a directory in use,
    ``ResolutionError`` when Portage cannot resolve what is installed.
    """
    scaffold.refuse_used(directory)
    adopted = native.find(prefix.absolute())
    notes = Notes()
    with Worker(python=adopted.python) as worker:
        description = worker.describe(adopted.tree)
    adoption = _Adoption(adopted, description, scaffold.layer_name(directory), notes)
    if not adoption.sources:
        raise UsageError(f"{prefix} uses no ebuild repository", hint="its etc/portage/repos.conf names none")
    with _workplace(directory) as workplace:
        state = workplace / STATE
        _fetch(adoption.sources, state)
        adoption.hold_versions(_written(adoption, workplace), state)
        _settle(adoption, workplace, state)
        layer = scaffold.write(directory, adoption.files())
        if (state / trees.DIRECTORY).is_dir():
            (directory / STATE).mkdir()
            (state / trees.DIRECTORY).rename(directory / STATE / trees.DIRECTORY)
    part = str(layer.part(layer.versions[0], adoption.target))
    return Result(part, len(adoption.inventory), len(adoption.declared), tuple(dict.fromkeys(notes.found)))


def _settle(adoption: _Adoption, workplace: Path, state: Path) -> None:
    """Resolve and compare until the declaration gives what is installed, or nothing more can be held."""
    for _ in range(MAX_ROUNDS):
        layer = _written(adoption, workplace)
        chosen = select(layer, layer.versions[0], adoption.target, state)
        try:
            closure = resolve(chosen, state)
        except ResolutionError:
            if not adoption.give_up_avoiding():
                raise
            continue
        if not adoption.settle(compare(closure, adoption.inventory)):
            return


def _written(adoption: _Adoption, workplace: Path) -> Layer:
    place = workplace / "layer"
    shutil.rmtree(place, ignore_errors=True)
    return scaffold.write(place, adoption.files())


def _fetch(sources: list[FoundSource], state: Path) -> None:
    """Pin the repositories; what the prefix has under git need not be fetched from anywhere."""
    for one in sources:
        pin = trees.pin(EbuildRepository(one.source.name, url=one.source.url, commit=one.source.commit), state)
        if pin is not None:
            trees.tree(pin, nearby=[one.nearby] if one.nearby else [])


@contextmanager
def _workplace(directory: Path) -> Iterator[Path]:
    """A directory beside the new one, on its file system, removed at the end."""
    above = directory.absolute().parent
    above.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".compatlayer-adopt-", dir=above) as name:
        yield Path(name)
