"""Worker processes: forked, so that they share our memory; fed over pipes, so that one which dies is noticed.

Threads would not do: opening and reading 100,000 small files is work under Python's global lock.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, NoReturn

from compatlayer.errors import CompatlayerError

# Orders a worker has at a time: one under way, one waiting, so that none is idle while we prepare the next.
_AHEAD = 2
_STOP = b""


def processors() -> int:
    """How many processors this process may use, at most eight: beyond that disks are the limit."""
    return max(1, min(8, len(os.sched_getaffinity(0))))


def run(orders: Iterable[Any], make: Callable[[], Callable[[Any], Any]], workers: int) -> Iterator[Any]:
    """Give each of ``orders`` to one of ``workers`` processes and pass on their answers, in any order.

    ``make`` is called once in each worker, after the fork, and returns what answers an order. Orders and answers are pickled.
    Raises ``CompatlayerError`` when a worker is killed, ``RuntimeError`` when one fails. However this ends, the workers end.
    """
    crew = _Crew(make, workers)
    try:
        yield from crew.work(orders)
    finally:
        crew.dismiss()


class _Crew:
    def __init__(self, make: Callable[[], Callable[[Any], Any]], workers: int) -> None:
        self._lines: dict[Connection, int] = {}
        self._busy: dict[Connection, int] = {}
        # What lies in memory now is shared until it is written to; the collector's marks would be such a write.
        gc.collect()
        gc.freeze()
        try:
            for _ in range(workers):
                self._hire(make)
        finally:
            gc.unfreeze()

    def _hire(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        ours, theirs = Pipe()
        process = os.fork()
        if process == 0:
            for line in (*self._lines, ours):
                line.close()  # else a worker would not see its own pipe end
            _serve(theirs, make)
        theirs.close()
        self._lines[ours] = process
        self._busy[ours] = 0

    def work(self, orders: Iterable[Any]) -> Iterator[Any]:
        """Hand out and collect until all is answered."""
        free = deque(list(self._lines) * _AHEAD)
        for order in orders:
            if not free:
                for line in self._ready():
                    yield self._answer(line)
                    free.append(line)
            line = free.popleft()
            self._send(line, pickle.dumps(order, pickle.HIGHEST_PROTOCOL))
            self._busy[line] += 1
        while any(self._busy.values()):
            for line in self._ready():
                yield self._answer(line)

    def _ready(self) -> list[Connection]:
        return [line for line in wait([line for line, busy in self._busy.items() if busy]) if isinstance(line, Connection)]

    def _send(self, line: Connection, order: bytes) -> None:
        try:
            line.send_bytes(order)
        except OSError as error:
            raise self._died(line) from error

    def _answer(self, line: Connection) -> Any:
        try:
            succeeded, answer = pickle.loads(line.recv_bytes())  # noqa: S301 - from our own child
        except (EOFError, OSError) as error:
            raise self._died(line) from error
        self._busy[line] -= 1
        if not succeeded:
            raise RuntimeError(f"a reading process failed:\n{answer}")
        return answer

    def _died(self, line: Connection) -> CompatlayerError:
        _, status = os.waitpid(self._lines.pop(line), 0)
        self._busy.pop(line)
        line.close()
        code = os.waitstatus_to_exitcode(status)
        cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return CompatlayerError(
            "a process that reads the tree ended early",
            cause=cause,
            hint="free some memory, or look for who ended it; run it again",
        )

    def dismiss(self) -> None:
        """End all workers: at once, for they only read."""
        for line, process in self._lines.items():
            line.close()
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        self._lines.clear()


def _serve(line: Connection, make: Callable[[], Callable[[Any], Any]]) -> NoReturn:
    """A worker's life: answer orders until the other end of the line is closed."""
    try:
        # Ctrl-C reaches the whole group; the parent says when to stop.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            answer = make()
            while True:
                order = pickle.loads(line.recv_bytes())  # noqa: S301 - from our own parent
                line.send_bytes(pickle.dumps((True, answer(order)), pickle.HIGHEST_PROTOCOL))
        except EOFError:
            pass
        except Exception:  # noqa: BLE001 - the parent raises it
            line.send_bytes(pickle.dumps((False, traceback.format_exc())))
    finally:
        # Not sys.exit: what the parent registered to do at its end is not ours to do.
        os._exit(0)
