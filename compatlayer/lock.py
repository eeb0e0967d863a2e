"""Locks that say who holds them, where and why.

A lock is a file under ``flock(2)``: the kernel releases it when its holder dies, however it dies, so a lock is never stale
and nobody ever has to delete one. The holder's name stands in the file for the next person's error message.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from compatlayer.errors import LockHeldError


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: host, process, operator, what for, and since when (UTC, ISO 8601)."""

    host: str
    pid: int
    operator: str
    purpose: str
    since_utc: str

    def __str__(self) -> str:
        return f"{self.purpose}, process {self.pid} of {self.operator} on {self.host}, since {self.since_utc}"


@contextmanager
def hold(path: Path, purpose: str) -> Iterator[None]:
    """Hold the lock file ``path`` for the length of a ``with`` block.

    Raises ``LockHeldError``, naming the holder, when somebody else has it: it never waits. The file stays behind, empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _held(path) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(_this_process(purpose))).encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(path: Path) -> Holder | None:
    """Who holds ``path`` now, or None when it is free, missing, or its holder has not yet written its name."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    finally:
        os.close(descriptor)
    return None


def _this_process(purpose: str) -> Holder:
    try:
        operator = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        operator = f"uid {os.getuid()}"
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Holder(socket.gethostname(), os.getpid(), operator, purpose, since)


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, OSError):
        return None


def _held(path: Path) -> LockHeldError:
    who = _read(path)
    return LockHeldError(
        f"{path.parent} is in use",
        cause=f"held by: {who}" if who else f"another process holds {path}",
        hint="wait until it has finished, or stop it; the lock goes with the process, there is nothing to delete",
    )
