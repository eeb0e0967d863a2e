"""For each package that is to be merged: a stored one, or a build; and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compatlayer.binaries import key as keys
from compatlayer.binaries.entry import Entry, Line, verified
from compatlayer.binaries.premises import Keyring
from compatlayer.binaries.store import Index, Place, UnusableError
from compatlayer.errors import RepositoryError
from compatlayer.gentoo.versions import parse_cpv
from compatlayer.signing import PublicKey

# More names than these in a sentence say no more than a number does.
NAMED = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """One package: its stored file with where that is, or None and why it is built."""

    cpv: str
    entry: Entry | None
    place: str
    because: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A stored package, or a whole store (``cpv`` empty), that was not used although it was there, and why."""

    cpv: str
    place: str
    reason: str


def sentences(refusals: Sequence[Refusal]) -> list[str]:
    """For a person: what is refused, and why; packages that share a reason share a sentence."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for refusal in refusals:
        grouped.setdefault((refusal.place, refusal.reason), []).append(refusal.cpv)
    found = []
    for (place, reason), cpvs in grouped.items():
        if cpvs == [""]:
            what = f"the binary packages in {place}"
        elif len(cpvs) == 1:
            what = f"the binary package {cpvs[0]} in {place}"
        else:
            what = f"{len(cpvs)} binary packages in {place} ({listed(cpvs)})"
        found.append(f"{what} cannot be used: {reason}")
    return found


def listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


@dataclass(slots=True)
class Search:
    """Looks for stored packages in some places, best first; what was wrong on the way is in ``refusals``."""

    ring: Keyring
    places: Sequence[Place]
    trusted: Sequence[PublicKey]
    refusals: list[Refusal] = field(default_factory=list)
    _indexes: list[tuple[Place, Index]] | None = None

    def choose(self, cpv: str, known: Mapping[str, str], target: Path) -> Choice:
        """Put the stored package of ``cpv`` at ``target``, or say why it has to be built.

        ``known`` are the keys of what will be installed when this one is: a package built on something else than that does not
        belong there.
        """
        wanted = self.ring.keys.get(cpv)
        if wanted is None:
            return Choice(cpv, None, "", self.ring.without.get(cpv, "nothing is known of it"))
        stranger = self.stranger(cpv, known)
        if stranger:
            return Choice(cpv, None, "", f"{stranger} was not installed from what is declared now")
        refused = ""
        for place, line in self._candidates(wanted):
            try:
                entry = verified(line, self.trusted)
                if entry.key.digest != wanted.digest or entry.cpv != cpv:
                    raise UnusableError("its entry is about another package")
                place.fetch(entry, target)
            except RepositoryError as error:
                reason = f"{error.fact}: {error.cause}" if error.cause else error.fact
                self.refusals.append(Refusal(cpv, place.name, reason))
                refused = refused or f"the one in {place.name} cannot be used"
                continue
            return Choice(cpv, entry, place.name, "")
        return Choice(cpv, None, "", refused or self._nearest(wanted))

    def stranger(self, cpv: str, known: Mapping[str, str]) -> str | None:
        """A package that ``cpv`` needs and that is not what its key stands for; None when there is none."""
        for other in sorted(keys.below(cpv, self.ring.needs)):
            there = self.ring.keys.get(other)
            if there is None or known.get(other) != there.digest:
                return other
        return None

    def _candidates(self, wanted: keys.Key) -> Iterator[tuple[Place, Line]]:
        """Entries with this key; of each place the newest first, since what replaced a damaged one came later."""
        for place, index in self.indexes():
            for line in reversed(index.lines):
                if line.claimed.key.digest == wanted.digest and line.claimed.cpv == wanted.cpv:
                    yield place, line

    def _nearest(self, wanted: keys.Key) -> str:
        """Why none fits: what the stored package that is most alike differs in."""
        others = [line.claimed for _, index in self.indexes() for line in index if line.claimed.cpv == wanted.cpv]
        if not others:
            return "none is stored"
        found = min((keys.differing(wanted.parts, other.key.parts) for other in others), key=len)
        return f"the stored one differs in {listed(found)}" if found else "the stored one stands on other packages"

    def indexes(self) -> list[tuple[Place, Index]]:
        """The index of each place that can be read, read once."""
        if self._indexes is None:
            self._indexes = []
            for place in self.places:
                try:
                    index = place.index()
                except UnusableError as error:
                    self.refusals.append(Refusal("", place.name, f"{error.fact}: {error.cause}" if error.cause else error.fact))
                    continue
                self.refusals += [Refusal("", place.name, f"index, {said}") for said in index.unreadable]
                self._indexes.append((place, index))
        return self._indexes


def file_of(directory: Path, cpv: str) -> Path:
    """Where Portage looks for a package below PKGDIR: the first, and here the only, of its builds."""
    package = parse_cpv(cpv)
    return directory / package.category / package.name / f"{package.name}-{package.version}-1.gpkg.tar"
