"""The only caller of ``subprocess``: argument lists, no shell, a fixed locale, a log line that can be pasted.

Programs get a minimal environment (``base_environment``) plus what the caller names, never this process's own.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from compatlayer.errors import ProgramError

log = logging.getLogger(__name__)

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Names a package that provides a program, where the two differ, for the hint when it is missing: Debian's, Fedora's.
PROVIDERS: Mapping[str, tuple[str, str]] = {
    "bwrap": ("bubblewrap", "bubblewrap"),
    "ostree": ("ostree", "ostree"),
    "nginx": ("nginx-light", "nginx"),
    "busybox": ("busybox-static", "busybox"),
    "scanelf": ("pax-utils", "pax-utils"),
    "xz": ("xz-utils", "xz"),
    "unshare": ("util-linux", "util-linux"),
    "setpriv": ("util-linux", "util-linux"),
}


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that has ended: its arguments, exit code (negative: killed by that signal) and what it printed."""

    args: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


def base_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment every program starts with: a system PATH, our HOME and user, a fixed locale and UTC, then ``extra``."""
    environment = {"PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    for name in ("HOME", "USER", "LOGNAME", "TMPDIR"):
        if name in os.environ:
            environment[name] = os.environ[name]
    environment.update(extra or {})
    return environment


def run(
    args: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin_text: str | None = None,
    timeout_s: float | None = None,
    check: bool = True,
    capture: bool = True,
) -> Completed:
    """Run a program to its end and return what it printed.

    ``env`` is added to ``base_environment``. With ``capture=False`` the program shares this terminal. Raises ``ProgramError``
    when it is missing, runs into ``timeout_s``, or, with ``check``, ends with anything but 0.
    """
    arguments = tuple(str(arg) for arg in args)
    log.debug("run: %s", shlex.join(arguments))
    try:
        done = subprocess.run(
            arguments,
            env=base_environment(env),
            cwd=cwd,
            input=stdin_text,
            stdin=None if stdin_text is not None or not capture else subprocess.DEVNULL,
            stdout=subprocess.PIPE if capture else None,
            stderr=subprocess.PIPE if capture else None,
            timeout=timeout_s,
            check=False,
            text=True,
            errors="surrogateescape",
        )
    except FileNotFoundError as error:
        raise missing_program(arguments[0]) from error
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"{arguments[0]} did not end within {timeout_s:g} s", cause=shlex.join(arguments)) from error
    completed = Completed(arguments, done.returncode, done.stdout or "", done.stderr or "")
    if check and completed.returncode != 0:
        raise failed_program(completed)
    return completed


def spawn(
    args: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stderr: IO[bytes] | None = None,
    start_new_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program with its standard input and output as binary pipes; the caller waits for it and closes them."""
    arguments = tuple(str(arg) for arg in args)
    log.debug("spawn: %s", shlex.join(arguments))
    try:
        return subprocess.Popen(
            arguments,
            env=base_environment(env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=start_new_session,
        )
    except FileNotFoundError as error:
        raise missing_program(arguments[0]) from error


def end(spawned: subprocess.Popen[bytes]) -> None:
    """Close the pipes of a spawned program, and see it end: by itself, since its input has ended, else killed."""
    for pipe in (spawned.stdin, spawned.stdout, spawned.stderr):
        if pipe is not None:
            pipe.close()
    try:
        spawned.wait(timeout=5)
    except subprocess.TimeoutExpired:
        spawned.kill()
        spawned.wait()


def become(args: Sequence[str | Path], *, env: Mapping[str, str]) -> NoReturn:
    """Replace this process by a program, with exactly ``env``: signals, terminal and exit code are then its own.

    Raises ``ProgramError`` when it is missing; does not return otherwise. Buffered output must be flushed before.
    """
    arguments = tuple(str(arg) for arg in args)
    log.debug("become: %s", shlex.join(arguments))
    try:
        os.execvpe(arguments[0], arguments, dict(env))
    except FileNotFoundError as error:
        raise missing_program(arguments[0]) from error


def missing_program(name: str) -> ProgramError:
    """The error for a program that is not on PATH, with the command that installs it."""
    program = Path(name).name
    apt, dnf = PROVIDERS.get(program, (program, program))
    return ProgramError(f"{program} is not installed or not on PATH", hint=f"apt-get install {apt}   (Fedora: dnf install {dnf})")


def failed_program(completed: Completed, *, last_lines: int = 12) -> ProgramError:
    """The error for a program that ended badly; tells a signal from an exit code and quotes its last lines."""
    program = Path(completed.args[0]).name
    if completed.returncode < 0:
        try:
            name = signal.Signals(-completed.returncode).name
        except ValueError:
            name = str(-completed.returncode)
        ending = f"was killed by {name}"
    else:
        ending = f"failed with exit code {completed.returncode}"
    said = (completed.stderr.strip() or completed.stdout.strip()).splitlines()[-last_lines:]
    return ProgramError(f"{program} {ending}", cause="\n".join([*said, f"command: {shlex.join(completed.args)}"]))
