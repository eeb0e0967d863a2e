"""A child that answers JSON lines: asked one thing at a time, never waited for without a limit, always reaped.

Knows nothing of Portage; ``client`` gives the requests their meaning.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from compatlayer import process
from compatlayer.errors import ResolveError

CLOSE_TIMEOUT_S = 5.0
LAST_LINES = 12
LAST_BYTES = 16 * 1024
MAX_ANSWER_BYTES = 256 * 1024 * 1024
LOOK_EVERY_S = 0.25
READ_BYTES = 256 * 1024


class WorkerError(ResolveError):
    """The worker process failed: it died, hung, could not be started or answered with rubbish."""


class JsonPipe:
    """The running child. Not for use by several threads at once."""

    def __init__(self, args: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile(prefix="compatlayer-worker-")  # noqa: SIM115 - lives as long as the child
        self._number = 0
        self._buffer = bytearray()
        try:
            # Its own session: Ctrl-C reaches us first, and what the child has started can be ended with it.
            self._child = process.spawn(args, env=env, stderr=self._log, start_new_session=True)
        except BaseException:
            self._log.close()
            raise
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._stdin, self._stdout = self._child.stdin, self._child.stdout
        os.set_blocking(self._stdin.fileno(), False)
        os.set_blocking(self._stdout.fileno(), False)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether requests can be sent."""
        return not self._stdout.closed

    def ask(self, operation: str, request: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send one request and give its whole answer.

        Raises ``WorkerError`` when the child dies, says something else, or takes longer than ``timeout_s``; it is gone then. An
        interruption (Ctrl-C) ends it as well.
        """
        if not self.alive:
            raise WorkerError("Portage's worker is no longer running", hint="start it again")
        self._number += 1
        line = json.dumps({"id": self._number, "operation": operation, **request}).encode() + b"\n"
        try:
            deadline = time.monotonic() + timeout_s
            self._send(line, deadline)
            return self._decode(self._receive(deadline), operation)
        except TimeoutError:
            self.kill()
            raise self._error(f"Portage's worker did not answer {operation!r} within {timeout_s:g} s") from None
        except (BrokenPipeError, EOFError):
            ending = self._ending()
            raise self._error(f"Portage's worker {ending} during {operation!r}") from None
        except BaseException:
            self.kill()
            raise

    def close(self) -> None:
        """Let the child end by itself, or end it; it is reaped either way."""
        if not self.alive:
            return
        self._stdin.close()
        if self._ended_soon():
            self._stdout.close()
        else:
            self.kill()

    def kill(self) -> None:
        """End the child and whatever it has started, now; reaps it."""
        # Its group may be gone already.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self._end_what_it_started()
        self._stdout.close()
        if not self._stdin.closed:
            self._stdin.close()

    def _end_what_it_started(self) -> None:
        """End what has left the child's group: Portage gives each ebuild that it sources a session of its own.

        Whatever writes its standard error to our nameless log file was started by the child. Where there is no /proc, such a
        process ends by itself when it is done.
        """
        for _ in range(5):
            found = [pid for pid in _processes() if self._writes_to_log(pid)]
            if not found:
                return
            for pid in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    def _writes_to_log(self, pid: int) -> bool:
        try:
            return os.path.samestat(Path(f"/proc/{pid}/fd/2").stat(), os.fstat(self._log.fileno()))
        except OSError:
            return False

    def release(self) -> None:
        """Close, and drop the child's messages too."""
        self.close()
        self._log.close()

    def last_words(self) -> str:
        """The last lines that the child wrote to standard error."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - LAST_BYTES))
        lines = self._log.read().decode(errors="replace").splitlines()
        return "\n".join([line for line in lines if line.strip()][-LAST_LINES:])

    def _send(self, line: bytes, deadline: float) -> None:
        descriptor, rest = self._stdin.fileno(), memoryview(line)
        while rest:
            self._wait(descriptor, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:
                continue

    def _receive(self, deadline: float) -> bytes:
        descriptor = self._stdout.fileno()
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > MAX_ANSWER_BYTES:
                self.kill()
                raise self._error(f"Portage's worker sent more than {MAX_ANSWER_BYTES >> 20} MB in one answer")
            self._wait(descriptor, select.POLLIN, deadline)
            try:
                chunk = os.read(descriptor, READ_BYTES)
            except BlockingIOError:
                continue
            if not chunk:
                raise EOFError
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        """Wait until ``descriptor`` is ready; ``TimeoutError`` at the deadline, ``EOFError`` when the child is dead.

        A dead child is looked for as well: what it had started may hold its end of the pipe open for as long as it likes.
        """
        poll = select.poll()
        poll.register(descriptor, event)
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            dead = self._child.poll() is not None
            # What a dead child has written before is still to be had.
            if poll.poll(0 if dead else min(left_s, LOOK_EVERY_S) * 1000):
                return
            if dead:
                raise EOFError

    def _decode(self, line: bytes, operation: str) -> dict[str, Any]:
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if isinstance(answer, dict) and answer.get("id") == self._number:
            return answer
        self.kill()
        shown = line[:200].decode(errors="backslashreplace")
        raise self._error(f"Portage's worker answered {operation!r} with rubbish", f"it said: {shown}")

    def _ending(self) -> str:
        """How the child ended, in words."""
        self._ended_soon()
        self.kill()
        code = self._child.wait()
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    def _ended_soon(self) -> bool:
        """Whether the child, whose pipe is closed, ends by itself within a moment."""
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        while self._child.poll() is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def _error(self, fact: str, *causes: str) -> WorkerError:
        words = self.last_words()
        cause = "\n".join([*causes, *([f"its last words:\n{words}"] if words else [])])
        return WorkerError(fact, cause=cause or None, hint="run again with -v; if it happens again, it is a bug")


def _processes() -> list[int]:
    """The ids of all processes that can be seen; none where there is no /proc."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
