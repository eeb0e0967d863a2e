"""Which file is fetched next: a few at a time from each host, hosts side by side, waiting without holding up anybody.

A host that says "later" (Retry-After) is left alone by all; a file whose attempt failed for a reason that may pass comes back
after an exponentially growing time with jitter; a host that cannot be reached several times in a row is given up for this run.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from compatlayer.mirror.distfiles import Wanted
from compatlayer.mirror.sources import Source

_UNREACHABLE_IS_DOWN = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard to try: attempts per source, seconds before the second one (doubling up to the last), connections per host, and
    the longest Retry-After that is worth waiting for.
    """

    tries: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    longest_retry_after_s: float = 120.0
    per_host: int = 4

    def wait_s(self, tried: int) -> float:
        """How long to wait after ``tried`` attempts; jitter keeps many clients from coming back together."""
        longest = min(self.longest_wait_s, self.first_wait_s * 2.0 ** (tried - 1))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311  (nothing secret)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait: for a connection, for the next byte, and for a transfer that moves less than ``slow_bytes_s`` over
    ``window_s``.
    """

    connect_s: float = 15.0
    stall_s: float = 30.0
    slow_bytes_s: float = 1024.0
    window_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one source said: its URL, its origin, why the file did not come from there, and how many times it said that."""

    url: str
    origin: str
    reason: str
    times: int = 1


@dataclass(slots=True)
class Job:
    """One file on its way: where it may still be had, and what was tried."""

    wanted: Wanted
    sources: deque[Source]
    tried: int = 0
    refetched: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    settled: bool = False

    @property
    def host(self) -> str:
        """The host of the source that is next; empty before the store itself was looked at, and for local files."""
        return urlsplit(self.sources[0].url).netloc if self.sources and self.settled else ""

    def note(self, reason: str) -> None:
        """Remember why the present source failed this time; the same reason again is only counted."""
        attempt = Attempt(self.sources[0].url, self.sources[0].origin, reason)
        if self.attempts and self.attempts[-1] == replace(attempt, times=self.attempts[-1].times):
            attempt = replace(attempt, times=self.attempts.pop().times + 1)
        self.attempts.append(attempt)

    def next_source(self) -> None:
        """Give the present source up."""
        self.sources.popleft()
        self.tried = 0


@dataclass(slots=True)
class _Host:
    waiting: deque[Job] = field(default_factory=deque)
    active: int = 0
    not_before: float = 0.0
    unreachable: int = 0


class Queue:
    """Jobs for a number of worker threads."""

    def __init__(self, jobs: Iterable[Job], pace: Pace) -> None:
        self._pace = pace
        lock = threading.Lock()
        # Workers are alike, so one is woken for one thing that changed: waking all takes longer than fetching a small file.
        self._changed = threading.Condition(lock)
        self._ended = threading.Condition(lock)
        self._hosts: dict[str, _Host] = {}
        self._later: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._left = 0
        self._stopped = False
        for job in jobs:
            self._left += 1
            self._host(job.host).waiting.append(job)

    def take(self) -> Job | None:
        """The next job, as soon as there is one whose host has room; None when all is done or the queue was stopped."""
        with self._changed:
            while not self._stopped and self._left:
                now = time.monotonic()
                while self._later and self._later[0][0] <= now:
                    job = heapq.heappop(self._later)[2]
                    self._host(job.host).waiting.append(job)
                soonest = self._later[0][0] if self._later else None
                for name, host in self._hosts.items():
                    if not host.waiting or (name and host.active >= self._pace.per_host):
                        continue
                    if host.not_before > now:
                        soonest = min(soonest or host.not_before, host.not_before)
                        continue
                    host.active += 1
                    job = host.waiting.popleft()
                    self._changed.notify()  # there may be more to do, or another time to wait for
                    return job
                self._changed.wait(None if soonest is None else max(soonest - now, 0.001))
            return None

    def release(self, host: str, *, reached: bool | None) -> None:
        """A worker is done with a host; ``reached`` tells whether somebody answered there (None: it was not asked)."""
        with self._changed:
            one = self._host(host)
            one.active -= 1
            if reached is not None:
                one.unreachable = 0 if reached else one.unreachable + 1
            self._changed.notify()

    def put(self, job: Job, *, wait_s: float = 0.0) -> None:
        """Give a job back, for its present source, after a time."""
        with self._changed:
            if wait_s > 0:
                heapq.heappush(self._later, (time.monotonic() + wait_s, next(self._order), job))
            else:
                self._host(job.host).waiting.append(job)
            self._changed.notify()

    def add(self, jobs: Iterable[Job]) -> None:
        """More work."""
        with self._changed:
            for job in jobs:
                self._left += 1
                self._host(job.host).waiting.append(job)
                self._changed.notify()

    def finish(self) -> None:
        """A job is over, well or not."""
        with self._changed:
            self._left -= 1
            if not self._left:
                self._wake_all()

    def leave_alone(self, host: str, for_s: float) -> None:
        """Nobody asks ``host`` for a while."""
        with self._changed:
            one = self._host(host)
            one.not_before = max(one.not_before, time.monotonic() + for_s)

    def is_down(self, host: str) -> bool:
        """Whether ``host`` was given up."""
        with self._changed:
            return bool(host) and self._host(host).unreachable >= _UNREACHABLE_IS_DOWN

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._stopped = True
            self._wake_all()

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stopped

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end, at most that long; True when all is done or the queue was stopped."""
        with self._ended:
            return self._ended.wait_for(lambda: self._stopped or not self._left, timeout_s)

    def _wake_all(self) -> None:
        """The end has come; the lock is held."""
        self._changed.notify_all()
        self._ended.notify_all()

    def _host(self, name: str) -> _Host:
        return self._hosts.setdefault(name, _Host())
