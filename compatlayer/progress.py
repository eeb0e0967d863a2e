"""What is going on, as values: long work tells a ``Monitor``, and what it looks like is ``report``'s business.

The base ``Monitor`` does nothing, so that code can always call it; ``Tape`` remembers, for tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """Base of everything a monitor is told."""


@dataclass(frozen=True, slots=True)
class StepStarted(Event):
    """A named step of a run begins, such as ``role overlay``; ``total`` says how many items it holds, if known."""

    step: str
    total: int | None = None


@dataclass(frozen=True, slots=True)
class StepFinished(Event):
    """The step of that name ended after ``elapsed_s`` seconds; ``outcome`` is ``done``, ``unchanged`` or ``failed``."""

    step: str
    elapsed_s: float
    outcome: str = "done"


@dataclass(frozen=True, slots=True)
class PackagesPlanned(Event):
    """The packages (``category/name-version``) that this run is going to merge, so that its end can be estimated; those in
    ``binaries`` come from binary packages, the others are built. Tell it once.
    """

    packages: tuple[str, ...]
    binaries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PackagePhase(Event):
    """A package (``category/name-version``) entered a phase of its build, as Portage names it; ``done`` of ``total``
    finished.
    """

    package: str
    phase: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class PackageFinished(Event):
    """A package was merged or unmerged; ``done`` of ``total`` are finished, this one after ``elapsed_s`` seconds.

    ``binary``: it was merged from a binary package.
    """

    package: str
    done: int
    total: int
    elapsed_s: float
    binary: bool = False


@dataclass(frozen=True, slots=True)
class Transferred(Event):
    """Bytes of files came in: ``done`` of ``total`` files, ``bytes_done`` of ``bytes_total`` bytes."""

    name: str
    done: int
    total: int
    bytes_done: int
    bytes_total: int


@dataclass(frozen=True, slots=True)
class Note(Event):
    """A sentence for the person watching."""

    text: str


class Monitor:
    """Takes events and does nothing with them."""

    def tell(self, event: Event) -> None:
        """Called once per event, in order, from one thread at a time; must not raise and must not block for long."""

    def close(self) -> None:
        """No more events will come; gives the terminal back."""


@dataclass(slots=True)
class Tape(Monitor):
    """Remembers every event."""

    events: list[Event] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        self.events.append(event)
