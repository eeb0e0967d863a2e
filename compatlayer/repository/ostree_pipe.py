"""Talks to the OSTree helper: one process for all OSTree repositories of this run, started when it is first needed."""

from __future__ import annotations

import atexit
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from compatlayer import process
from compatlayer.errors import RepositoryError

PROGRAM = Path(__file__).with_name("ostree_helper.py")
# libostree's introspection data belongs to the system's own Python, never to the one in a virtual environment.
INTERPRETER = "/usr/bin/python3"
_HINT = "apt-get install gir1.2-ostree-1.0 python3-gi   (Fedora: dnf install ostree-libs python3-gobject-base)"


class OstreePipe:
    """The helper process. Start it from the main thread: it ends with the thread that started it."""

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile(prefix="compatlayer-ostree-")  # noqa: SIM115  (lives as long as the child)
        # An ordinary environment: GLib must find its own things, and no bus or proxy is wanted.
        arguments: list[str | Path] = [INTERPRETER, "-I", PROGRAM, str(os.getpid())]
        self._child = process.spawn(arguments, env={"GIO_USE_VFS": "local"}, stderr=self._log)
        self.owner = os.getpid()
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """Whether it can be asked; a forked child must not use its parent's."""
        return self.owner == os.getpid() and self._child.poll() is None

    def ask(self, repository: str, operation: str, **request: Any) -> Any:
        """Send one request and give its result. Raises ``RepositoryError`` with libostree's own words."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps({"operation": operation, **request}).encode() + b"\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = b""
        except BaseException:
            self.close()  # an answer may be under way that nobody would read
            raise
        if not line:
            raise self._died(repository)
        answer = json.loads(line)
        if "error" in answer:
            raise RepositoryError(f"OSTree refuses: {operation} in {repository}", cause=answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End the helper."""
        if self.owner != os.getpid() or self._log.closed:
            return
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None and not stream.closed:
                stream.close()
        self._child.wait()
        self._log.close()
        atexit.unregister(self.close)

    def _died(self, repository: str) -> RepositoryError:
        self._child.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines()[-6:]
        missing = any("No module named 'gi'" in line or "Namespace OSTree" in line for line in said)
        return RepositoryError(
            f"the helper for {repository} ended",
            cause="\n".join(said) or f"exit code {self._child.returncode}",
            hint=_HINT if missing else None,
        )


_pipe: OstreePipe | None = None


def pipe() -> OstreePipe:
    """The helper of this process."""
    global _pipe  # noqa: PLW0603  (one helper per process)
    if _pipe is None or not _pipe.alive:
        _pipe = OstreePipe()
    return _pipe
