"""Why Portage cannot give what is asked for, as values: each kind says its fact, its cause and the next step.

``ResolutionError`` carries all of them at once. ``text`` is what Portage itself printed, for those who know its words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from compatlayer.errors import ResolveError, render
from compatlayer.gentoo.packages import PackageId
from compatlayer.gentoo.versions import parse_cpv

CONFIG_HINT = "config/common/ (or config/<target>/)"


@dataclass(frozen=True, slots=True)
class Mask:
    """What hides one ebuild: ``mask`` (with the file, line and comment of package.mask), ``keyword``, ``license``, ``other``."""

    kind: str
    detail: str
    comment: str = ""
    file: str = ""
    line: int | None = None
    keywords: tuple[str, ...] = ()
    arch: str = ""
    license: str = ""

    def __str__(self) -> str:
        if self.kind == "mask":
            place = f" by {self.file}:{self.line}" if self.line else f" by {self.file}" if self.file else ""
            return f"masked{place}: {self.comment or 'without a comment'}"
        if self.kind == "keyword":
            has = f"has {' '.join(self.keywords)}" if self.keywords else "has none at all"
            return f"no keyword for {self.arch} (it {has})"
        if self.kind == "license":
            return f"licence not accepted: {self.license}"
        return self.detail


@dataclass(frozen=True, slots=True)
class Candidate:
    """An ebuild that exists: which, where, and what hides it, if anything does."""

    id: PackageId
    slot: str
    subslot: str
    repository: str
    masks: tuple[Mask, ...] = ()

    def __str__(self) -> str:
        return f"{self.id.cpv}:{self.slot}::{self.repository}"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One step of a chain: who (a cpv, or ``@set``) asks for which atom; ``place`` is the set's ``FILE:LINE`` where known."""

    cpv: str
    atom: str
    place: str = ""

    def __str__(self) -> str:
        return f"declared in {self.place or self.cpv}" if self.cpv.startswith("@") else f"required by {self.cpv} ({self.atom})"

    def located(self, places: Mapping[str, str]) -> Requirement:
        """The same step with its place, where ``places`` (declared atom → ``FILE:LINE``) knows it."""
        return replace(self, place=places.get(self.atom, "")) if self.cpv.startswith("@") else self


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One reason why there is no solution. ``chain`` leads from the failing atom up to the declared one."""

    atom: str = ""
    chain: tuple[Requirement, ...] = ()

    @property
    def fact(self) -> str:
        """What is wrong, in one line."""
        return f"Portage finds no way to install {self.atom}"

    @property
    def details(self) -> tuple[str, ...]:
        """The lines that say why, without the chain."""
        return ()

    @property
    def hint(self) -> str | None:
        """The next step."""
        return None

    def located(self, places: Mapping[str, str]) -> Failure:
        """The same failure, its declared atoms named by ``FILE:LINE`` instead of by set."""
        return replace(self, chain=tuple(step.located(places) for step in self.chain))

    @property
    def cause(self) -> str | None:
        """Details and chain, a line each."""
        return "\n".join([*self.details, *map(str, self.chain)]) or None

    def __str__(self) -> str:
        return render(self.fact, self.cause, self.hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSuchPackage(Failure):
    """No configured repository has a package of that name."""

    similar: tuple[str, ...] = ()

    @property
    def fact(self) -> str:
        return f"no ebuild repository has a package for {self.atom}"

    @property
    def hint(self) -> str | None:
        return f"did you mean {' or '.join(self.similar)}?" if self.similar else "check the name, or add the overlay that has it"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAsAsked(Failure):
    """The package exists, but not with that ``aspect``: version, slot or repository."""

    aspect: str
    candidates: tuple[Candidate, ...] = ()

    @property
    def fact(self) -> str:
        return f"no ebuild matches {self.atom}: the package exists, but not in that {self.aspect}"

    @property
    def details(self) -> tuple[str, ...]:
        return (f"there are {', '.join(map(str, self.candidates))}",) if self.candidates else ()

    @property
    def hint(self) -> str | None:
        return f"name a {self.aspect} that exists"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden(Failure):
    """Ebuilds match, but each is masked, lacks a keyword, or has a licence that is not accepted."""

    candidates: tuple[Candidate, ...] = ()

    @property
    def details(self) -> tuple[str, ...]:
        return tuple(f"{candidate}: {mask}" for candidate in self.candidates for mask in candidate.masks)

    @property
    def fact(self) -> str:
        return f"every ebuild for {self.atom} is hidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked(Hidden):
    """package.mask hides what would serve."""

    @property
    def fact(self) -> str:
        return f"every ebuild for {self.atom} is masked"

    @property
    def hint(self) -> str | None:
        return f"name another version, or unmask it in {CONFIG_HINT} package.unmask once the mask's reason does not apply"


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingKeyword(Hidden):
    """No ebuild is marked as good for this architecture."""

    @property
    def fact(self) -> str:
        arches = sorted({mask.arch for candidate in self.candidates for mask in candidate.masks if mask.arch})
        return f"no ebuild for {self.atom} has a keyword for {' or '.join(arches) or 'this architecture'}"

    @property
    def hint(self) -> str | None:
        return f"accept the keyword it has in {CONFIG_HINT} package.accept_keywords, or leave the target out with exclude_on"


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseNotAccepted(Hidden):
    """ACCEPT_LICENSE does not hold the licence."""

    @property
    def fact(self) -> str:
        return f"no ebuild for {self.atom} has an accepted licence"

    @property
    def hint(self) -> str | None:
        return f"accept the licence in {CONFIG_HINT} package.license"


@dataclass(frozen=True, slots=True, kw_only=True)
class UseRequired(Failure):
    """A dependency asks for USE flags that are set otherwise, or that the package does not have (``missing``)."""

    cpv: str
    changes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def fact(self) -> str:
        if self.missing:
            return f"{self.atom} asks for USE flags that {self.cpv} does not have: {' '.join(self.missing)}"
        return f"{self.atom} needs other USE flags of {self.cpv}: {' '.join(self.changes)}"

    @property
    def hint(self) -> str | None:
        if self.missing:
            return None
        name = parse_cpv(self.cpv).cp
        flags = " ".join(flag.removeprefix("+") for flag in self.changes)
        return f"add `{name} {flags}` to {CONFIG_HINT} package.use"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredUseViolated(Failure):
    """The configured flags break the ebuild's REQUIRED_USE (``constraint``)."""

    cpv: str
    constraint: str
    use: tuple[str, ...] = ()

    @property
    def fact(self) -> str:
        return f"the USE flags of {self.cpv} break its rule: {self.constraint}"

    @property
    def details(self) -> tuple[str, ...]:
        return (f"switched on: {' '.join(self.use) or 'none'}",)

    @property
    def hint(self) -> str | None:
        return f"set flags that keep the rule in {CONFIG_HINT} package.use"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circular(Failure):
    """Packages need each other before they can be built; ``cycle`` holds (who, by which atom, whom) and ends where it began."""

    cycle: tuple[tuple[str, str, str], ...] = ()

    @property
    def fact(self) -> str:
        names = [who for who, _, _ in self.cycle]
        return f"packages need each other: {' → '.join([*names, *names[:1]])}" if names else "packages need each other"

    @property
    def details(self) -> tuple[str, ...]:
        return tuple(f"{who} needs {whom} ({atom})" for who, atom, whom in self.cycle)

    @property
    def hint(self) -> str | None:
        return f"switch off a USE flag that asks for one of them in {CONFIG_HINT} package.use, or provide one from the host"


@dataclass(frozen=True, slots=True)
class Side:
    """One version of a slot conflict, and who wants it."""

    cpv: str
    repository: str
    wanted_by: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotConflict(Failure):
    """Two versions are wanted where only one can be installed; ``atom`` names the slot."""

    sides: tuple[Side, ...] = ()

    @property
    def fact(self) -> str:
        versions = " and ".join(f"{side.cpv}::{side.repository}" for side in self.sides)
        return f"{versions} are both wanted, but slot {self.atom} holds only one"

    def located(self, places: Mapping[str, str]) -> Failure:
        sides = tuple(replace(side, wanted_by=tuple(step.located(places) for step in side.wanted_by)) for side in self.sides)
        return replace(self, sides=sides, chain=tuple(step.located(places) for step in self.chain))

    @property
    def details(self) -> tuple[str, ...]:
        return tuple(f"{side.cpv} is {requirement}" for side in self.sides for requirement in side.wanted_by)

    @property
    def hint(self) -> str | None:
        return "let those that ask agree on one version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked(Failure):
    """``blockers`` refuse to be installed together with ``blocked``."""

    blockers: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()

    @property
    def fact(self) -> str:
        return f"{', '.join(self.blockers)} cannot be installed together with {', '.join(self.blocked)} ({self.atom})"

    @property
    def hint(self) -> str | None:
        return "leave one of them out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable(Failure):
    """The atom is none, or Portage cannot use its configuration at all; ``detail`` says why."""

    detail: str = ""

    @property
    def fact(self) -> str:
        return f"{self.atom}: {self.detail}" if self.atom else f"Portage cannot use its configuration: {self.detail}"


class ResolutionError(ResolveError):
    """Portage finds no solution; ``failures`` says why, ``text`` is what it printed."""

    def __init__(self, failures: Sequence[Failure], text: str = "") -> None:
        if not failures:
            raise ValueError("a ResolutionError needs at least one failure")
        first = failures[0]
        super().__init__(first.fact, cause=first.cause, hint=first.hint)
        self.failures = tuple(failures)
        self.text = text

    def located(self, places: Mapping[str, str]) -> ResolutionError:
        """The same refusal in the declaration's words: ``places`` maps a declared atom to its ``FILE:LINE``."""
        return ResolutionError([failure.located(places) for failure in self.failures], self.text)

    def __str__(self) -> str:
        return "\n".join(str(failure) for failure in self.failures)
