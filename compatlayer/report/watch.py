"""What long work looks like: moving bars on a terminal, plain lines in a log, JSON lines for a program.

All of it goes to standard error; results have standard output to themselves.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import IO

from compatlayer.progress import (
    Event,
    Monitor,
    Note,
    PackageFinished,
    PackagePhase,
    PackagesPlanned,
    StepFinished,
    StepStarted,
    Transferred,
)
from compatlayer.report.estimate import Durations, Estimate, Rate
from compatlayer.report.text import about, clock, count, duration, printable, size

# A log says at least this often that a long phase or transfer is moving, and no more often.
QUIET_S = 30.0


class Silent(Monitor):
    """Shows nothing, and still remembers how long packages took."""

    def __init__(self, durations: Durations | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self.durations = durations or Durations()
        self.now = now
        self.began = now()
        self.estimate = Estimate(self.durations, now)
        self.rate = Rate(now)

    @property
    def elapsed_s(self) -> float:
        """Seconds since this monitor was made."""
        return self.now() - self.began

    def tell(self, event: Event) -> None:
        """Follow the event, for the estimate."""
        self.estimate.tell(event)
        self.rate.tell(event)

    def close(self) -> None:
        """Remember this run's durations."""
        self.durations.save()


class LogMonitor(Silent):
    """Plain lines with the elapsed time, without control codes: ``[  1:03] 3/12 app-arch/bzip2-1.0.8: merged in 7 s``.

    A package gets a line when it begins and when it ends; its phases only when nothing was said for half a minute.
    """

    def __init__(self, stream: IO[str], durations: Durations | None = None, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(durations, now)
        self.stream = stream
        self._packages: set[str] = set()
        self._last_said = self.began

    def tell(self, event: Event) -> None:
        """Write a line, where the event is worth one."""
        super().tell(event)
        said = self._say(event)
        if said is not None:
            self._last_said = self.now()
            self.stream.write(f"[{clock(self.elapsed_s):>7}] {printable(said)}\n")
            self.stream.flush()

    def _say(self, event: Event) -> str | None:
        match event:
            case PackagePhase():
                return self._phase(event)
            case PackageFinished():
                self._packages.discard(event.package)
                left = self.estimate.remaining_s()
                rest = f", {about(left)} left" if left is not None else ""
                how = "merged from its binary package" if event.binary else "done"
                return f"{event.done}/{event.total} {event.package}: {how} in {duration(event.elapsed_s)}{rest}"
            case Transferred():
                return transferred(event, self.rate) if event.done == event.total or self._quiet_for_long() else None
            case _:
                return sentence(event)

    def _phase(self, event: PackagePhase) -> str | None:
        if event.package not in self._packages:
            self._packages.add(event.package)
            return f"{event.done}/{event.total} {event.package}: {event.phase}"
        return f"{event.package}: {event.phase}" if self._quiet_for_long() else None

    def _quiet_for_long(self) -> bool:
        return self.now() - self._last_said >= QUIET_S


class JsonMonitor(Silent):
    """One JSON object a line: ``event`` (the kind, such as ``package-phase``), ``at_s`` (since the start),
    ``remaining_s`` where it can be judged, and the event's own fields.
    """

    def __init__(self, stream: IO[str], durations: Durations | None = None, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(durations, now)
        self.stream = stream

    def tell(self, event: Event) -> None:
        """Write the event's line."""
        super().tell(event)
        document: dict[str, object] = {"event": kind(event), "at_s": round(self.elapsed_s, 3), **asdict(event)}
        is_transfer = isinstance(event, Transferred)
        left = self.rate.remaining_s() if is_transfer else self.estimate.remaining_s()
        if left is not None:
            document["remaining_s"] = round(left, 1)
        if is_transfer and self.rate.bytes_s is not None:
            document["bytes_s"] = round(self.rate.bytes_s)
        self.stream.write(json.dumps(document) + "\n")
        self.stream.flush()


def kind(event: Event) -> str:
    """The event's class in kebab case: ``package-phase``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", type(event).__name__).lower()


def sentence(event: Event) -> str | None:
    """What a step or a note says; None for events that are not sentences."""
    match event:
        case StepStarted():
            return f"{event.step} ({event.total})" if event.total is not None else event.step
        case StepFinished():
            return f"{event.step}: {event.outcome}, {duration(event.elapsed_s)}"
        case PackagesPlanned():
            built = len(event.packages) - len(event.binaries)
            if not event.binaries:
                return f"{count(built, 'package')} to build"
            taken = f"{count(len(event.binaries), 'package')} to take from binary packages"
            return f"{taken}, {built:,} to build" if built else taken
        case Note():
            return event.text
        case _:
            return None


def transferred(event: Transferred, rate: Rate | None = None) -> str:
    """``3/9 files, 1.5 MiB of 4.0 MiB, 800.0 KiB/s, a few seconds left: bzip2-1.0.8.tar.gz``, as far as it is known."""
    said = f"{event.done}/{event.total} files, {size(event.bytes_done)} of {size(event.bytes_total)}"
    if rate is not None and rate.bytes_s is not None:
        said += f", {size(int(rate.bytes_s))}/s"
    left = rate.remaining_s() if rate is not None else None
    if left is not None:
        said += f", {about(left)} left"
    return f"{said}: {event.name}" if event.name else said
