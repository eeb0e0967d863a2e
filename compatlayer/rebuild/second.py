"""The second build: this program once more, as another user on another host, in a state directory of its own.

The user and the host name come from namespaces (user_namespaces(7), uts_namespaces(7)), so that neither root nor an account is
needed: what the other user writes belongs to us. Nothing is taken over from the first build but the mirror's verified files.
"""

from __future__ import annotations

import locale
import os
import pwd
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compatlayer import lock, process
from compatlayer.converge import BUILD
from compatlayer.declaration.model import Layer, Part
from compatlayer.errors import ConvergeError, HostError, StageError
from compatlayer.mirror import store
from compatlayer.rebuild.circumstances import BUILD_AT, Circumstances
from compatlayer.stage import Stage, find_stage
from compatlayer.tree import beneath

# Sets host name and umask, then becomes the rest, without the capabilities that the former needed, and ends with us.
_BECOME_ANOTHER = """\
hostname "$1" && umask "$2" || exit 125
shift 2
exec setpriv --ambient-caps=-all --inh-caps=-all --pdeathsig KILL -- "$@"
"""
_REFUSED = 125


@dataclass(frozen=True, slots=True)
class Built:
    """A finished second build: its stage, and when it began and ended, in seconds since 1970."""

    stage: Stage
    began_s: float
    ended_s: float


def here(state: Path, jobs: int) -> Circumstances:
    """The circumstances of this process: those that an install has which is begun like this one."""
    user_id = os.geteuid()
    try:
        user = pwd.getpwuid(user_id).pw_name
    except KeyError:
        user = f"user{user_id}"
    mask = os.umask(0)
    os.umask(mask)
    return Circumstances(
        user_id=user_id,
        user=user,
        host_name=socket.gethostname(),
        time_zone=os.environ.get("TZ") or time.tzname[0],
        locale=os.environ.get("LC_ALL") or locale.setlocale(locale.LC_CTYPE),
        umask=mask,
        home=str(Path.home()),
        state=str(state),
        build_directory=f"/compatlayer/{BUILD}",
        jobs=jobs,
        file_system=file_system(state),
    )


def file_system(directory: Path) -> str:
    """The type of the file system that holds a directory, as proc(5) names it in ``mountinfo``; empty when it does not say."""
    above = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    device = above.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        front, _, rear = line.partition(" - ")
        if front.split()[2] == wanted:
            return rear.split()[0]
    return ""


@contextmanager
def workplace(directory: Path, purpose: str, *, keep: bool = False) -> Iterator[Path]:
    """An empty directory for one second build, removed at the end of the block unless ``keep``.

    What an earlier run has left there is removed first.

    Raises ``LockHeldError`` when another run uses it, ``StageError`` when it cannot be written or something else lies there.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StageError(f"{directory.parent} cannot be made", cause=error.strerror, hint=_ELSEWHERE) from error
    if not os.access(directory.parent, os.W_OK | os.X_OK):
        raise StageError(f"{directory.parent} cannot be written to", cause="it belongs to somebody else", hint=_ELSEWHERE)
    with lock.hold(directory.with_name(f"{directory.name}.lock"), purpose):
        _refuse_strangers(directory)
        _remove(directory)
        directory.mkdir(mode=0o755)
        try:
            (directory / _MARK).touch()
            yield directory
        finally:
            if not keep:
                _remove(directory)


_MARK = ".second-build"
_ELSEWHERE = "name a directory of yours with --scratch"


def _refuse_strangers(directory: Path) -> None:
    """Never delete what no second build has made."""
    if directory.is_dir() and any(directory.iterdir()) and not (directory / _MARK).exists():
        raise StageError(
            f"{directory} is in the way", cause="it was not made by a second build", hint="move it, or choose --scratch"
        )


def _remove(directory: Path) -> None:
    if directory.is_dir():
        # The mark goes last: what a kill leaves is known for what it is.
        for name in sorted(os.listdir(directory), key=lambda name: name == _MARK):
            with beneath.Beneath(directory) as inside:
                beneath.remove(name, inside=inside.directory(beneath.ROOT))
        directory.rmdir()


def build(
    layer: Layer, part: Part, mirror: Path, place: Path, as_whom: Circumstances, *, offline: bool = False, quiet: bool = False
) -> Built:
    """Install ``part`` from source into the empty directory ``place``, under the circumstances ``as_whom``.

    What is said meanwhile goes to standard error. Raises ``HostError`` where this machine does not let us be somebody else,
    ``ConvergeError`` when the second build fails: with its words, which were printed.
    """
    _lend(mirror, place / "mirror")
    home = Path(as_whom.home)
    (home / "tmp").mkdir(parents=True)
    options = ["--no-binaries", "--jobs", str(as_whom.jobs), "--build-at", BUILD_AT, *(["--offline"] if offline else [])]
    names = [
        "--layer",
        str(layer.file.absolute()),
        "--layer-version",
        part.version,
        "--target",
        part.target.name,
        "--state",
        str(place),
    ]
    general = ["--no-progress", *(["--quiet"] if quiet else [])]
    command = [sys.executable, "-m", "compatlayer", *names, *general, "install", *options]
    environment = {
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "TZ": as_whom.time_zone,
        "LC_ALL": as_whom.locale,
        "USER": as_whom.user,
        "LOGNAME": as_whom.user,
    }
    began_s = time.time()
    _carry_out([*another(as_whom), *command], environment, place)
    stage = find_stage(place, part)
    if stage is None:
        raise ConvergeError("the second build has ended well, and left no stage", cause=str(place))
    return Built(stage, began_s, time.time())


def another(as_whom: Circumstances) -> tuple[str, ...]:
    """What goes before a command so that another user runs it on another host, with another umask."""
    user = str(as_whom.user_id)
    namespaces = ("unshare", "--user", f"--map-user={user}", f"--map-group={user}", "--keep-caps", "--uts")
    return (*namespaces, "sh", "-c", _BECOME_ANOTHER, "sh", as_whom.host_name, f"{as_whom.umask:04o}")


def check(as_whom: Circumstances) -> None:
    """Raises ``HostError`` when this machine does not let us be somebody else: before anything is built."""
    done = process.run([*another(as_whom), "id", "-u"], check=False)
    if done.returncode != 0 or done.stdout.strip() != str(as_whom.user_id):
        raise HostError(
            "this machine does not let us build as another user on another host",
            cause=done.stderr.strip() or f"the user id is {done.stdout.strip()}, not {as_whom.user_id}",
            hint="a second build wants user namespaces, and the programs unshare, setpriv and hostname",
        )


def _carry_out(command: list[str], environment: dict[str, str], place: Path) -> None:
    """Run the second install to its end; it ends with us, however we end."""
    child = process.spawn(command, env=environment)
    try:
        assert child.stdin is not None, "spawn gives pipes"
        assert child.stdout is not None, "spawn gives pipes"
        child.stdin.close()
        child.stdout.read()
        code = child.wait()
    except KeyboardInterrupt:
        # The terminal has told it as well; it stops Ansible first.
        child.wait()
        raise
    finally:
        process.end(child)
    if code != 0:
        raise ConvergeError(
            "the second build failed",
            cause=f"it ended with exit code {code}; what it said stands above",
            hint=_KEEP.format(place),
        )


_KEEP = "its logs were in {}/runs; --keep keeps them"


def _lend(mirror: Path, target: Path) -> None:
    """Give the second build the files of the mirror under a second name, or a copy; it hashes them all itself."""
    for area in (store.PUBLIC, store.PRIVATE, "trees"):
        if (mirror / area).is_dir():
            shutil.copytree(mirror / area, target / area, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or a file of somebody else
        shutil.copy2(source, target)
