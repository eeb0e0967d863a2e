"""How long it will still take: from the packages done so far, and from how long each took last time."""

from __future__ import annotations

import json
import logging
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from compatlayer.journal import write_atomically
from compatlayer.progress import Event, PackageFinished, PackagePhase, PackagesPlanned, StepStarted, Transferred

log = logging.getLogger(__name__)

# The version at the end of category/name-version: PMS 3.2, https://projects.gentoo.org/pms/8/pms.html#x1-250003.2
_VERSION = re.compile(r"-\d+(\.\d+)*[a-z]?(_(alpha|beta|pre|rc|p)\d*)*(-r\d+)?$")

# Phases of taking a package away: how long that takes says nothing about building it.
_REMOVAL = frozenset({"unmerge", "prerm", "postrm", "clean", "cleanrm"})

# What merging a binary package takes, whatever building it took.
_BINARY_S = 2.0

# Before this share of the work is done, last time's pace is the better guess than this run's.
_ENOUGH = 0.05

# Where nothing was ever built, the first package says nothing about the others: often it is the smallest.
_GROUNDS = 3


@dataclass(slots=True)
class Durations:
    """How many seconds each package (``category/name``, any version) took when it was last built here.

    ``path`` None keeps nothing. A history that cannot be read is an empty one: it only ever improves an estimate.
    """

    path: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | None) -> Durations:
        """Read the history file, where there is one."""
        if path is None:
            return cls()
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            return cls(path, {str(name): float(seconds) for name, seconds in document.items() if float(seconds) >= 0})
        except (OSError, ValueError, TypeError, AttributeError):
            return cls(path)

    def save(self) -> None:
        """Write the history file, whole or not at all. A disk that refuses does not fail the run that was watched."""
        if self.path is None or not self.seconds:
            return
        document = {name: round(seconds, 1) for name, seconds in sorted(self.seconds.items())}
        try:
            write_atomically(self.path, json.dumps(document, indent=1).encode() + b"\n")
        except OSError as error:
            log.debug("the build times are not kept: %s", error)

    def of(self, package: str) -> float | None:
        """Seconds for ``category/name-version``, or None when it was never built here."""
        return self.seconds.get(name_of(package))


def name_of(package: str) -> str:
    """``category/name`` of ``category/name-version``."""
    return _VERSION.sub("", package)


class Estimate:
    """Follows a run's events and says how much of it is left; never says anything it has no ground for.

    A package weighs what it took last time; one that was never built weighs as much as the average of those that were. Where
    nothing was ever built, what is left weighs as much as the median of what is done: a C library takes longer than ten of the
    others together. The pace is wall-clock time per weight, so that packages built side by side count as they should.
    """

    def __init__(self, durations: Durations, now: Callable[[], float]) -> None:
        self._durations = durations
        self._last_time = dict(durations.seconds)  # this run's own times must not change what its packages weigh
        self._now = now
        self._began: float | None = None
        self._waiting: dict[str, None] = {}
        self._running: dict[str, float] = {}
        self._removed: set[str] = set()
        self._binaries: frozenset[str] = frozenset()
        self._done_weight = 0.0
        self._took: list[float] = []  # seconds, of every package that this run has finished
        self.done = 0
        self.total = 0

    def tell(self, event: Event) -> None:
        """Follow one event."""
        if isinstance(event, PackagesPlanned):
            self._begin()
            self._waiting = dict.fromkeys(event.packages)
            self._binaries = frozenset(event.binaries)
            self.total = max(self.total, len(event.packages))
        elif isinstance(event, PackagePhase):
            self._begin()
            self.done, self.total = event.done, event.total
            self._running.setdefault(event.package, self._now())
            self._waiting.pop(event.package, None)
            if event.phase in _REMOVAL:
                self._removed.add(event.package)
        elif isinstance(event, PackageFinished):
            self._begin()
            self.done, self.total = event.done, event.total
            self._waiting.pop(event.package, None)
            seen = self._running.pop(event.package, None) is not None
            self._took.append(event.elapsed_s)
            self._done_weight += self._weight(event.package) if self._last_time else event.elapsed_s
            if seen and event.package not in self._removed and not event.binary:
                self._durations.seconds[name_of(event.package)] = event.elapsed_s

    def remaining_s(self) -> float | None:
        """Seconds to go, or None while there is nothing to judge by."""
        if self._began is None or self.total <= self.done:
            return None
        now = self._now()
        begun = {package: min(now - since, 0.95 * self._weight(package)) for package, since in self._running.items()}
        done = self._done_weight + sum(begun.values())
        unnamed = max(0, self.total - self.done - len(self._running) - len(self._waiting))
        left = (
            sum(self._weight(package) for package in self._waiting)
            + sum(self._weight(package) - spent for package, spent in begun.items())
            + unnamed * self._average()
        )
        if self._last_time and done < _ENOUGH * (done + left):
            return left
        if self._last_time and not self.done:
            return left
        if not self._last_time and len(self._took) < min(_GROUNDS, self.total / 2):
            return None
        return left * (now - self._began) / done if done else None

    def _begin(self) -> None:
        if self._began is None:
            self._began = self._now()

    def _weight(self, package: str) -> float:
        if package in self._binaries:
            return _BINARY_S
        return self._last_time.get(name_of(package), self._average())

    def _average(self) -> float:
        if self._last_time:
            return max(sum(self._last_time.values()) / len(self._last_time), 0.1)
        return max(median(self._took), 0.1) if self._took else 1.0


class Rate:
    """How fast bytes come in, over the last seconds; says nothing before there is something to judge by."""

    _WINDOW_S = 10.0

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._seen: deque[tuple[float, int]] = deque()
        self._left = 0

    def tell(self, event: Event) -> None:
        """Follow one event; a new step begins afresh."""
        if isinstance(event, StepStarted):
            self._seen.clear()
        elif isinstance(event, Transferred):
            now = self._now()
            self._seen.append((now, event.bytes_done))
            while len(self._seen) > 2 and now - self._seen[0][0] > self._WINDOW_S:
                self._seen.popleft()
            self._left = event.bytes_total - event.bytes_done

    @property
    def bytes_s(self) -> float | None:
        """Bytes a second."""
        if len(self._seen) < 2:
            return None
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        return (last - first) / (ended - began) if ended > began and last > first else None

    def remaining_s(self) -> float | None:
        """Seconds to go at this rate."""
        rate = self.bytes_s
        return self._left / rate if rate and self._left > 0 else None
