"""The threads that fill a mirror: each takes a file, tries one source, and gives it back or finishes it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from compatlayer.errors import DistfileError
from compatlayer.mirror import sources, transfer
from compatlayer.mirror.distfiles import Wanted
from compatlayer.mirror.fill import Got, Missing, Options
from compatlayer.mirror.index import Index, content_key
from compatlayer.mirror.schedule import Job, Queue
from compatlayer.mirror.store import cannot_write
from compatlayer.mirror.transfer import Part, Stopped, TransferError
from compatlayer.progress import Monitor, StepFinished, StepStarted, Transferred

_TELL_EVERY_S = 0.2


class Shelf(Protocol):
    """Where files end up: the store, or a part of it."""

    root: Path
    incoming: Path
    index: Index

    def is_blank(self) -> bool:
        """Whether nothing lies in it, so that there is nothing to settle."""
        ...

    def settle(self, wanted: Wanted) -> bool:
        """Whether it holds the file after all."""
        ...

    def accept(self, temporary: Path, wanted: Wanted, digests: Mapping[str, str], *, origin: str, url: str) -> object:
        """Take a file whose hashes are right."""
        ...


class Fetching:
    """One run of the threads: ``got`` and ``missing`` are complete when ``run`` has returned."""

    def __init__(self, store: Shelf, absent: Sequence[Wanted], options: Options, monitor: Monitor) -> None:
        self.store, self.options, self.monitor = store, options, monitor
        self.own = sources.own_mirrors(options.names if options.network else {}, options.directories)
        self.got: list[Got] = []
        self.missing: list[Missing] = []
        self.error: BaseException | None = None
        self.bytes_total = sum(wanted.size_bytes for wanted in absent)
        self.bytes_done = 0
        self.last_name = ""
        self._active: dict[str, None] = {}
        self.total = len(absent)
        self._lock = threading.Lock()
        # Of files with the same content one is fetched, the others become links to it.
        self._twins: dict[str, list[Wanted]] = {}
        for wanted in absent:
            self._twins.setdefault(content_key(wanted.size_bytes, wanted.hashes), []).append(wanted)
        blank = store.is_blank()
        self.queue = Queue((self._job(twins.pop(0), settled=blank) for twins in self._twins.values()), options.pace)

    def run(self) -> None:
        """Fetch everything; raises what stopped it before its end."""
        threads = [
            threading.Thread(target=self._work, name=f"fetch-{number}", daemon=True)
            for number in range(min(self.options.jobs, self.total))
        ]
        began = time.monotonic()
        self.monitor.tell(StepStarted("fetching source files", self.total))
        try:
            for thread in threads:
                thread.start()
            while not self.queue.wait(_TELL_EVERY_S):
                self._tell()
        finally:
            self.queue.stop()
            # A thread that waits for a silent server ends with the process; it writes nothing any more.
            for thread in threads:
                thread.join(timeout=5 if self.error is None else 1)
        if self.error is not None:
            raise self.error
        self._tell()
        outcome = "failed" if self.missing else "done"
        self.monitor.tell(StepFinished("fetching source files", time.monotonic() - began, outcome))

    def _job(self, wanted: Wanted, *, settled: bool = False) -> Job:
        places = sources.of(wanted, self.own, self.options.names)
        if not self.options.network:
            places = [place for place in places if place.origin == sources.DIRECTORY]
        return Job(wanted, deque(places), settled=settled and bool(places))

    def _tell(self) -> None:
        with self._lock:
            done = len(self.got) + len(self.missing)
            # The one that has been coming in longest is the one that somebody waits for.
            name = next(iter(self._active), self.last_name)
            event = Transferred(name, done, self.total, self.bytes_done, self.bytes_total)
        self.monitor.tell(event)

    def _work(self) -> None:
        client = transfer.Client()
        try:
            while (job := self.queue.take()) is not None:
                self._step(client, job)
        except Stopped:
            pass
        except OSError as error:
            self._abort(cannot_write(self.store.root, error))
        except sqlite3.Error as error:
            self._abort(DistfileError(f"the mirror's index {self.store.index.path} cannot be written", cause=str(error)))
        except BaseException as error:  # noqa: BLE001  (the main thread raises it again)
            self._abort(error)
        finally:
            client.close()

    def _abort(self, error: BaseException) -> None:
        with self._lock:
            self.error = self.error or error
        self.queue.stop()

    def _step(self, client: transfer.Client, job: Job) -> None:
        """One attempt for one job: from the store itself first, then from the source that is next."""
        if not job.settled:
            job.settled = True
            try:
                if self.store.settle(job.wanted):
                    self._received(job.wanted.size_bytes)
                    self._done(job, Got(job.wanted.name, job.wanted.size_bytes, "", ""))
                else:
                    self._go_on(job)
            finally:
                self.queue.release("", reached=None)
            return
        wanted, source, host, reached = job.wanted, job.sources[0], job.host, None
        part = Part(self.store.incoming / f"{wanted.name[:180]}.{_short(wanted)}")
        try:
            reached, digests = self._attempt(client, job, part)
        finally:
            # Before the file is brought to the disk, so that the host has something to do meanwhile.
            self.queue.release(host, reached=reached)
        if digests is not None:
            if self.queue.stopped:
                raise Stopped
            self.store.accept(part.path, wanted, digests, origin=source.origin, url=source.url)
            part.note.unlink(missing_ok=True)
            self._done(job, Got(wanted.name, wanted.size_bytes, source.origin, source.url))

    def _attempt(self, client: transfer.Client, job: Job, part: Part) -> tuple[bool | None, dict[str, str] | None]:
        """Try the present source; returns whether its host answered (None: it was not asked), and the digests of what came."""
        source, wanted = job.sources[0], job.wanted
        if self.queue.is_down(job.host):
            job.note(f"not tried: {job.host} does not answer")
            job.next_source()
            self._go_on(job)
            return None, None
        with self._lock:
            self._active[wanted.name] = None
        try:
            return True, transfer.get(client, source.url, part, wanted, self.options.patience, self._received)
        except TransferError as error:
            self._failed(job, error)
            return not error.unreachable, None
        except OSError as error:
            if transfer.is_full(error):
                part.discard()  # makes a little room, so that the index can still be written
            raise
        finally:
            with self._lock:
                self._active.pop(wanted.name, None)

    def _failed(self, job: Job, error: TransferError) -> None:
        """Decide whether the same source is tried again, and when."""
        job.note(error.reason)
        pace = self.options.pace
        if error.fresh and not job.refetched:
            job.refetched = True
            self.queue.put(job)
            return
        job.tried += 1
        if error.wait_s is not None:
            self.queue.leave_alone(job.host, min(error.wait_s, pace.longest_retry_after_s))
        patient = error.wait_s is None or error.wait_s <= pace.longest_retry_after_s
        if error.again and patient and job.tried < pace.tries:
            self.queue.put(job, wait_s=pace.wait_s(job.tried) if error.wait_s is None else error.wait_s)
            return
        job.next_source()
        self._go_on(job)

    def _go_on(self, job: Job) -> None:
        """Queue the job for its next source, or give it up."""
        if job.sources:
            self.queue.put(job)
            return
        with self._lock:
            self.missing.append(Missing(job.wanted, tuple(job.attempts), self.options.network))
        self._end(job.wanted)

    def _done(self, job: Job, got: Got) -> None:
        with self._lock:
            self.got.append(got)
            self.last_name = got.name
        self._end(job.wanted)

    def _end(self, wanted: Wanted) -> None:
        twins = self._twins.pop(content_key(wanted.size_bytes, wanted.hashes), [])
        self.queue.add(map(self._job, twins))
        self.queue.finish()

    def _received(self, count: int) -> None:
        if self.queue.stopped:
            raise Stopped
        with self._lock:
            self.bytes_done += count


def _short(wanted: Wanted) -> str:
    """A part's name tells which content it is going to be: a new Manifest does not resume an old file."""
    return content_key(wanted.size_bytes, wanted.hashes).split(":")[1][:16] + ".part"
