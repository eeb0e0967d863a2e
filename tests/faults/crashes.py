"""Kill -9 at every point where a run touches the world, one after the other.

A *point* lies before and after each line of a journal, each file that is replaced, and each request that changes a backend. A
piece of work is run in a forked child, once to count its points, then once for each of them, in a fresh copy of the
same ground.
"""

from __future__ import annotations

import os
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compatlayer import journal, process, promote, signing
from compatlayer.repository import cvmfs_transaction, ostree_pipe
from tests.published_part import PublishedLayer

# The helper's operations that change a repository, and cvmfs_server's.
CHANGES = ("init", "write", "commit", "set_ref")
SERVER_CHANGES = ("transaction", "publish", "abort")

Work = Callable[[PublishedLayer], object]


def count_points(ground: Path, scratch: Path, work: Work) -> int:
    """How many points a piece of work has."""
    place = _copy(ground, scratch / "counted")
    counter = scratch / "points"
    code = _in_child(place, work, lambda number: counter.write_text(str(number)))
    assert code == 0
    shutil.rmtree(place)
    return int(counter.read_text())


def killed_at_every_point(ground: Path, scratch: Path, work: Work) -> Iterator[tuple[int, PublishedLayer]]:
    """The layers that runs have left behind that were killed at their first, second, … point."""
    for point in range(1, count_points(ground, scratch, work) + 1):
        place = _copy(ground, scratch / f"killed-{point}")

        def die(number: int, at: int = point) -> None:
            if number == at:
                os.kill(os.getpid(), signal.SIGKILL)

        code = _in_child(place, work, die)
        assert code == -signal.SIGKILL, f"point {point}: ended with {code}"
        yield point, PublishedLayer(place)
        shutil.rmtree(place)


def _copy(ground: Path, place: Path) -> Path:
    shutil.copytree(ground, place, symlinks=True)
    return place


def _in_child(place: Path, work: Work, at_point: Callable[[int], object]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _watch(at_point)
            work(PublishedLayer(place))
            code = 0
        except BaseException:  # noqa: BLE001  (a child must not go on as its parent)
            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status)


def _watch(at_point: Callable[[int], object]) -> None:
    """Call ``at_point`` with 1, 2, … at each point from now on; only ever in a child."""
    seen = 0

    def passing() -> None:
        nonlocal seen
        seen += 1
        at_point(seen)

    def watched(function: Callable[..., object]) -> Callable[..., object]:
        def around(*args: object, **kwargs: object) -> object:
            passing()
            result = function(*args, **kwargs)
            passing()
            return result

        return around

    patch = pytest.MonkeyPatch()
    patch.setattr(journal.Journal, "record", watched(journal.Journal.record))
    patch.setattr(journal.Journal, "clear", watched(journal.Journal.clear))
    ask = ostree_pipe.OstreePipe.ask

    def asked(pipe: ostree_pipe.OstreePipe, repository: str, operation: str, **request: object) -> object:
        one = watched(ask) if operation in CHANGES else ask
        return one(pipe, repository, operation, **request)

    patch.setattr(ostree_pipe.OstreePipe, "ask", asked)
    for module in (promote, signing):
        patch.setattr(module, "write_atomically", watched(journal.write_atomically))
    run = process.run

    def running(args: list[str], **options: object) -> object:
        changes = "cvmfs_server" in str(args[0]) and args[1] in SERVER_CHANGES
        return (watched(run) if changes else run)(args, **options)  # type: ignore[arg-type]

    patch.setattr(process, "run", running)
    # The mount is written to in between: before and after each change list.
    patch.setattr(cvmfs_transaction, "apply", watched(cvmfs_transaction.apply))
    patch.setattr(cvmfs_transaction, "write_atomically", watched(cvmfs_transaction.write_atomically))
