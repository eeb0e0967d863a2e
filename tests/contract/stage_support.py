"""Ground for the stage's tests: a directory of its own, worked on by root or by an ordinary user.

As root, a test for the ordinary user runs in a forked child that has become user 23456 for good; as an ordinary user it
runs as it is.
"""

from __future__ import annotations

import functools
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

import compatlayer
from compatlayer import process
from compatlayer.declaration.model import TARGETS, Part
from compatlayer.stage import Bind, Stage, open_stage
from compatlayer.tree import beneath
from compatlayer.tree.manifest import Manifest

# Neither root nor "nobody", which the kernel also uses for ids that it cannot show.
USER_ID = 23456
PREFIX = PurePosixPath("/cvmfs/software.example.org/versions/2026.11/compat/linux/x86_64")
SOURCE = PurePosixPath("/compatlayer/source")

# What a stage stands on in these tests; a plain stage begins with the same.
LOWER = r"""
umask 022
mkdir -p bin etc lib/deep/er share/doc empty
echo tool > bin/tool; chmod 755 bin/tool
echo conf > etc/conf; echo hosts > etc/hosts
echo same > lib/a; ln lib/a lib/b
echo deep > lib/deep/er/file; echo other > lib/deep/other
echo one > share/doc/one; echo two > share/doc/two
ln -s etc/conf link; ln -s /etc/passwd absolute; ln -s nowhere dangling
echo read only > share/locked; chmod 444 share/locked
chmod 755 .
"""


@dataclass(frozen=True)
class Ground:
    """Where one test works: its directory, as whom, and whether its stage stands on a lower tree."""

    directory: Path
    user_id: int
    kind: str
    python: str

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def lower(self) -> Path:
        return self.directory / "lower"

    def part(self, prefix: PurePosixPath = PREFIX) -> Part:
        return Part("example", "2026.11", TARGETS["linux-x86_64"], prefix)

    def open(self, prefix: PurePosixPath = PREFIX) -> Stage:
        """A stage whose view shows ``LOWER``; opened again, the same stage."""
        stage = open_stage(self.state, self.part(prefix), lower=self.lower if self.kind == "overlay" else None)
        if self.kind == "plain" and not any(stage.upper.iterdir()):
            shell(LOWER, cwd=stage.upper)
        return stage

    def do(self, stage: Stage, script: str, *, binds: tuple[Bind, ...] = (), **options: bool) -> process.Completed:
        """Run a shell script in the stage's view, in the prefix."""
        view = stage.view(binds=binds, **options)
        start = 'cd "$1" || exit 99\n'
        return process.run(view.command(["sh", "-c", start + script, "sh", str(view.prefix)]), check=False)

    def seen(self, stage: Stage) -> Manifest:
        """The manifest of the prefix as a program in the view sees it."""
        package = Path(compatlayer.__file__).parent
        code = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "from pathlib import Path\n"
            "from compatlayer.tree.manifest import Manifest\n"
            "sys.stdout.buffer.write(Manifest.of_tree(Path(sys.argv[2])).to_bytes())\n"
        )
        copy = self.directory / "source"
        if not copy.exists():
            raise AssertionError(f"{package} was not copied")
        view = stage.view(binds=[Bind(copy, SOURCE)], read_only=True)
        command = [self.python, "-ISB", "-c", code, str(SOURCE), str(view.prefix)]
        return Manifest.from_bytes(process.run(view.command(command)).stdout.encode())


def shell(script: str, *, cwd: Path) -> None:
    subprocess.run(["sh", "-ec", script], cwd=cwd, check=True)


def become(user_id: int, function: Callable[[], None]) -> None:
    """Run ``function`` as ``user_id``, in a child process where that takes one; what it raises is raised here."""
    if user_id == os.geteuid():
        function()
        return
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        failure = ""
        try:
            os.close(reading)
            os.setgroups([])
            os.setresgid(user_id, user_id, user_id)
            os.setresuid(user_id, user_id, user_id)
            os.environ["HOME"] = "/"
            function()
        except BaseException:  # noqa: BLE001 (all of it goes to the parent)
            failure = traceback.format_exc()
        finally:
            os.write(writing, pickle.dumps(failure)[:65536])
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    failure = pickle.loads(answer) if answer else "the child died without a word"
    assert not failure, failure


def as_owner(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test function as the owner of its ``ground``."""

    @functools.wraps(test)
    def run(ground: Ground, **others: object) -> None:
        become(ground.user_id, lambda: test(ground, **others))

    return run


@functools.cache
def python_for(user_id: int) -> str:
    """A Python (3.11 or later) that this user may start; the tests' own may lie in root's home."""
    probe = (
        "import os, sys; u = int(sys.argv[1]); os.geteuid() == u or (os.setgid(u), os.setuid(u)); "
        "os.execv(sys.argv[2], sys.argv[2:])"
    )
    # A virtual environment may lie in /tmp, which a view hides; what it was made from does not.
    for candidate in (str(Path(sys.executable).resolve()), "/usr/bin/python3"):
        done = subprocess.run(
            [sys.executable, "-c", probe, str(user_id), candidate, "-c", "import tomllib"],
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            return candidate
    pytest.skip(f"no Python 3.11 that user {user_id} may start")


def make_ground(kind: str, who: str) -> Iterator[Ground]:
    """Yield a ground and remove it afterwards, whatever was left in it."""
    user_id = 0 if who == "root" else (os.geteuid() or USER_ID)
    directory = Path(tempfile.mkdtemp(prefix="compatlayer-stage-"))
    try:
        directory.chmod(0o755)
        ground = Ground(directory, user_id, kind, python_for(user_id))
        package = Path(compatlayer.__file__).parent
        wanted = ["__init__.py", "errors.py", "journal.py", "lock.py", "process.py", "tree", "stage", "declaration"]
        (directory / "source" / "compatlayer").mkdir(parents=True)
        for name in wanted:
            copy = shutil.copytree if (package / name).is_dir() else shutil.copy
            copy(package / name, directory / "source" / "compatlayer" / name)
        for name in ("state", "lower"):
            (directory / name).mkdir()
        for path in (directory, *directory.rglob("*")):
            os.chown(path, user_id, user_id)
        become(user_id, lambda: shell(LOWER, cwd=ground.lower))
        yield ground
    finally:
        beneath.remove_tree(directory)


KINDS_AND_USERS = [
    pytest.param((kind, who), id=f"{kind}-{who}", marks=[pytest.mark.userns, *([pytest.mark.root] if who == "root" else [])])
    for kind in ("plain", "overlay")
    for who in ("root", "user")
]
