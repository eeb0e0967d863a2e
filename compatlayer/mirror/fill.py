"""Filling the mirror: every wanted file is in the store in the end, verified, or reported with each attempt and its reason."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from compatlayer.errors import DistfileError, LockHeldError
from compatlayer.mirror.distfiles import Wanted, Wants
from compatlayer.mirror.schedule import Attempt, Pace, Patience
from compatlayer.mirror.store import Store
from compatlayer.progress import Monitor, Note

_LOCK_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """How to fill: threads, pace, patience, what ``mirror://`` names mean, and directories to look into first; whether there is a
    network; and for how long to wait while somebody else changes the store.
    """

    jobs: int = 8
    pace: Pace = field(default_factory=Pace)
    patience: Patience = field(default_factory=Patience)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    directories: tuple[Path, ...] = ()
    network: bool = True
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Got:
    """A file that came in: from where; ``origin`` is empty for one that the store had under another name or untold."""

    name: str
    size_bytes: int
    origin: str
    url: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A file that no source has, with all that was tried; ``network`` says whether asking the world was allowed."""

    wanted: Wanted
    attempts: tuple[Attempt, ...]
    network: bool = True

    @property
    def reason(self) -> str:
        """The attempts as text, a line each."""
        if self.wanted.trouble:
            return self.wanted.trouble
        if not self.attempts and not self.network:
            return "it is not in the mirror, and nothing is fetched"
        if not self.attempts:
            named = ", ".join(uri.uri for uri in self.wanted.uris)
            return BY_HAND if self.wanted.restrict.fetch else NO_SOURCE.format(named=named or "nothing")
        return "\n".join(_said(attempt) for attempt in self.attempts)


@dataclass(frozen=True, slots=True)
class Filled:
    """What a fill did: what came in, what could not be had, and how many files were there already."""

    wants: Wants
    got: tuple[Got, ...]
    missing: tuple[Missing, ...]
    present: int
    elapsed_s: float

    @property
    def fetched_bytes(self) -> int:
        """Bytes that were transferred."""
        return sum(one.size_bytes for one in self.got if one.origin)


BY_HAND = "RESTRICT=fetch: get it by hand, and say where it is with `mirror fill --from DIR`"
NO_SOURCE = "no source is known: its ebuild names {named}; what mirror:// means is said in layer.yaml, below mirrors"


def _said(attempt: Attempt) -> str:
    times = f" ({attempt.times} times)" if attempt.times > 1 else ""
    return f"{attempt.url}: {attempt.reason}{times}"


def fill(store: Store, wants: Wants, options: Options, monitor: Monitor) -> Filled:
    """Make the store hold all of ``wants``. A file that cannot be had does not end the run: see ``Filled.missing``.

    Raises ``DistfileError`` when the store cannot be written, ``LockHeldError`` when somebody else is changing it;
    KeyboardInterrupt passes, and the next run goes on with what had come in.
    """
    began = time.monotonic()
    store.index.set_needs(wants)
    absent = _absent(store, wants)
    hopeless = [Missing(wanted, ()) for wanted in absent if wanted.trouble]
    present = len(wants.files) - len(absent)
    absent = [wanted for wanted in absent if not wanted.trouble]
    if not absent:
        return Filled(wants, (), tuple(hopeless), present, time.monotonic() - began)
    from compatlayer.mirror.fetching import Fetching  # noqa: PLC0415  (requests takes its time, and a full mirror needs none)

    with _lock(store, options.wait_s, monitor):
        filling = Fetching(store, absent, options, monitor)
        try:
            filling.run()
        finally:
            store.sync()
    missing = sorted([*hopeless, *filling.missing], key=lambda one: one.wanted.name)
    got = tuple(sorted(filling.got, key=lambda one: one.name))
    return Filled(wants, got, tuple(missing), present, time.monotonic() - began)


def _absent(store: Store, wants: Wants) -> list[Wanted]:
    known = store.index.entries()
    return [wanted for wanted in wants.files.values() if wanted.trouble or not store.has(wanted, known.get(wanted.name))]


@contextmanager
def _lock(store: Store, wait_s: float, monitor: Monitor) -> Iterator[None]:
    """The store's lock, waited for if need be."""
    deadline = time.monotonic() + wait_s
    told = False
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(store.lock("mirror fill"))
                break
            except LockHeldError as error:
                if time.monotonic() >= deadline:
                    raise
                if not told:
                    monitor.tell(Note(f"waiting for the mirror, {error.cause}"))
                    told = True
                time.sleep(_LOCK_POLL_S)
        yield


def missing_error(missing: Sequence[Missing], *, hint: str | None = None) -> DistfileError:
    """The error for files that are not to be had: each with who needs it and what was tried."""
    paragraphs = []
    for one in missing:
        who = ", ".join(dict.fromkeys(need.package for need in one.wanted.needs))
        lines = "\n".join(f"  {line}" for line in one.reason.splitlines())
        paragraphs.append(f"{one.wanted.name} (for {who})\n{lines}")
    number = f"{len(missing)} source files" if len(missing) > 1 else "a source file"
    return DistfileError(f"{number} could not be had", cause="\n".join(paragraphs), hint=hint)
