"""Around a converge: stored packages are laid out for Portage before it, and what it has built is stored after it.

PKGDIR belongs to one run and holds nothing but what was chosen, so that Portage cannot take anything else. What was built is
stored even where a later package failed, or the run was killed: then by the next one.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from compatlayer.binaries import gpkg
from compatlayer.binaries.choose import Choice, Refusal, Search, file_of, listed, sentences
from compatlayer.binaries.entry import Entry
from compatlayer.binaries.identities import Identities
from compatlayer.binaries.premises import Keyring, keyring
from compatlayer.binaries.store import Place, Store, digest_of
from compatlayer.converge import Places, Work
from compatlayer.errors import CompatlayerError
from compatlayer.progress import Monitor, Note
from compatlayer.signing import PrivateKey, PublicKey

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stores:
    """Which stores an install uses: ``own`` is read and written, ``others`` are read, in this order.

    ``trusted`` are the public keys that count; ``signer`` gives the key that signs what is stored, once there is something.
    """

    own: Store | None
    others: tuple[Place, ...]
    trusted: tuple[PublicKey, ...]
    signer: Callable[[], PrivateKey]

    @property
    def places(self) -> tuple[Place, ...]:
        """All of them, best first."""
        return (self.own, *self.others) if self.own else self.others


@dataclass(slots=True)
class Provision:
    """What a run takes from stores, and what came of it: filled in as the run goes on."""

    choices: Sequence[Choice] = ()
    refusals: Sequence[Refusal] = ()
    stored: list[str] = field(default_factory=list)
    not_stored: dict[str, str] = field(default_factory=dict)

    @property
    def taken(self) -> frozenset[str]:
        """The packages (``category/name-version``) that lie ready for Portage."""
        return frozenset(choice.cpv for choice in self.choices if choice.entry is not None)


@contextmanager
def providing(
    stores: Stores, work: Work, identities: Identities, places: Places, monitor: Monitor, *, bound: bool
) -> Iterator[Provision]:
    """Lay out what is stored for the length of a ``with`` block, and store at its end what was built in it.

    Hold the stage's lock. A store that cannot be read or written is told and never fails the block.
    """
    run = _Run(stores, work, identities, places, bound=bound)
    provision = run.begin()
    for sentence in sentences(provision.refusals):
        monitor.tell(Note(f"warning: {sentence}"))
    try:
        yield provision
    finally:
        try:
            run.end(provision)
        except CompatlayerError as error:  # what was built is in the stage all the same, and how that went matters more
            monitor.tell(Note(f"warning: what was built is not stored: {error.fact}"))
        for reason in dict.fromkeys(provision.not_stored.values()):
            names = [cpv for cpv, why in provision.not_stored.items() if why == reason]
            monitor.tell(Note(f"not stored: {listed(names)}: {reason}"))


class _Run:
    """The steps of one ``with`` block."""

    def __init__(self, stores: Stores, work: Work, identities: Identities, places: Places, *, bound: bool) -> None:
        self.stores, self.work, self.identities, self.places, self.bound = stores, work, identities, places, bound
        self.directory = places.host["packages"]
        self.builds = [action.comparison.package.id.cpv for action in work.plan if action.kind.builds]
        self.bindist = {package.id.cpv for package in work.closure if "bindist" in package.restrict}
        self.ring = self._ring()

    def begin(self) -> Provision:
        """Store what a run that was killed has left, then look for what this one can take."""
        provision = Provision()
        self._store(provision, self.identities.announced(), taken=frozenset())
        known = {**self.identities.settle(), **self._digests(self.builds)}
        _empty(self.directory)
        search = Search(self.ring, self.stores.places, self.stores.trusted)
        provision.choices = [search.choose(cpv, known, file_of(self.directory, cpv)) for cpv in self.builds]
        provision.refusals = search.refusals
        self.identities.announce(self._digests(self.builds))
        return provision

    def end(self, provision: Provision) -> None:
        """Remember what was merged, and store what was built, whichever way the run has ended."""
        before = self._digests(self.builds)
        if any(self._built(before, provision.taken)):
            # Files may have been edited while it was built; nobody knows which of them went in.
            self.ring = self._ring()
        self._store(provision, before, provision.taken)
        _empty(self.directory)

    def _ring(self) -> Keyring:
        return keyring(self.work.chosen, self.work.closure, self.places, bound=self.bound)

    def _digests(self, cpvs: Iterable[str]) -> dict[str, str]:
        return {cpv: self.ring.keys[cpv].digest for cpv in cpvs if cpv in self.ring.keys}

    def _store(self, provision: Provision, announced: Mapping[str, str], taken: frozenset[str]) -> None:
        """Store the packages in PKGDIR that were built under the keys that were announced."""
        known = self.identities.settle()
        if self.stores.own is None:
            return
        packages: list[tuple[Entry, bytes, Path]] = []
        try:
            for cpv, file in self._built(announced, taken):
                reason = self._objection(cpv, announced[cpv], known) or gpkg.flaw(file)
                if reason:
                    provision.not_stored[cpv] = reason
                    continue
                entry = Entry(self.ring.keys[cpv], digest_of(file), file.stat().st_size)
                packages.append((entry, entry.signed(self.stores.signer()), file))
            if packages:
                self.stores.own.add(packages)
                provision.stored += [entry.cpv for entry, _, _ in packages]
        except (CompatlayerError, OSError) as error:
            provision.not_stored.update({entry.cpv: str(error).replace("\n", " ") for entry, _, _ in packages})
            log.debug("nothing is stored", exc_info=True)

    def _built(self, announced: Mapping[str, str], taken: frozenset[str]) -> Iterator[tuple[str, Path]]:
        for cpv in announced:
            file = file_of(self.directory, cpv)
            if cpv not in taken and file.is_file():
                yield cpv, file

    def _objection(self, cpv: str, announced: str, known: Mapping[str, str]) -> str | None:
        """Why a package must not stand for its key."""
        there = self.ring.keys.get(cpv)
        if there is None:
            return self.ring.without.get(cpv, "it is no longer declared")
        if there.digest != announced:
            return "what it is built from has changed meanwhile"
        if cpv in self.bindist:
            return "it may not be given away (RESTRICT=bindist)"
        stranger = Search(self.ring, (), ()).stranger(cpv, known)
        return f"{stranger} was not installed from what is declared now" if stranger else None


def _empty(directory: Path) -> None:
    if directory.is_dir():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
