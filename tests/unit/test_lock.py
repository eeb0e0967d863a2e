"""A lock names its holder, never waits, and goes with the process that held it."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from compatlayer import lock
from compatlayer.errors import LockHeldError


def held_by_another(path: Path) -> tuple[int, int]:
    """A child that holds ``path`` until it is killed: its process id and a pipe that it keeps open."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with lock.hold(path, "install of 2026.11"):
            os.write(writing, b"held")
            signal.pause()
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 4) == b"held"
    return child, reading


def test_a_second_holder_is_refused_and_told_who_and_since_when(tmp_path: Path) -> None:
    path = tmp_path / "stage" / "lock"
    child, pipe = held_by_another(path)
    try:
        with pytest.raises(LockHeldError) as caught, lock.hold(path, "mine"):
            pytest.fail("it was let in")
        holder = lock.holder(path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(pipe)
    assert holder is not None
    assert (holder.pid, holder.host, holder.purpose) == (child, socket.gethostname(), "install of 2026.11")
    assert str(caught.value) == (
        f"{tmp_path}/stage is in use\n"
        f"  held by: install of 2026.11, process {child} of {holder.operator} on {holder.host}, since {holder.since_utc}\n"
        "  hint: wait until it has finished, or stop it; the lock goes with the process, there is nothing to delete"
    )
    assert caught.value.exit_code == 5


def test_a_killed_holder_leaves_the_lock_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    child, pipe = held_by_another(path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(pipe)
    assert json.loads(path.read_text())["pid"] == child, "what it wrote is still there, and means nothing"
    assert lock.holder(path) is None
    with lock.hold(path, "mine"):
        holder = lock.holder(path)
        assert holder is not None
        assert holder.pid == os.getpid()


def test_a_lock_is_free_again_after_its_block_also_when_that_failed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(RuntimeError), lock.hold(path, "first"):
        raise RuntimeError
    assert path.read_bytes() == b""
    with lock.hold(path, "second"):
        pass


def test_a_holder_that_has_not_written_its_name_is_still_a_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    child, pipe = held_by_another(path)
    try:
        path.write_bytes(b'{"torn')
        assert lock.holder(path) is None
        with pytest.raises(LockHeldError, match="in use") as caught, lock.hold(path, "mine"):
            pytest.fail("it was let in")
        assert caught.value.cause == f"another process holds {path}"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(pipe)


def test_nobody_holds_what_is_not_there(tmp_path: Path) -> None:
    assert lock.holder(tmp_path / "nothing") is None
    assert list(tmp_path.iterdir()) == []
