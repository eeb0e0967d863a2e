"""A layer of tiny packages, and the real command line working on it: real Portage, real Ansible, real views.

Everything lies in one directory that anybody can reach, so that an ordinary user can own it: as root, ``user_id`` other than 0
runs the program as that user, with this environment's own Python, wherever that lies.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import compatlayer
from compatlayer.cli.context import this_machine
from compatlayer.declaration.model import TARGETS
from compatlayer.gentoo import inventory
from compatlayer.tree import beneath
from compatlayer.tree.manifest import Manifest
from tests.ebuild_repository import INSTALL, TinyRepository

TARGET = TARGETS[this_machine()]
PART = f"2026.11-{TARGET.name}"
PREFIX = f"/cvmfs/tiny.example.org/versions/2026.11/compat/{TARGET.os}/{TARGET.arch}"
SOURCE = Path(compatlayer.__file__).parent.parent
# Neither root nor "nobody", which the kernel also uses for ids that it cannot show.
USER_ID = 23456
TIMEOUT_S = 300

# What a layer declares that keeps binary packages beside its declaration.
TINY_BINARIES = "binaries: {path: bins}\n"

# What records when and in which order packages were merged: Portage's values, and its caches of them. BUILD_ID and BINPKGMD5 say
# which file of which build was merged; the former ends in a newline only where it was built.
TIMES = (
    "BUILD_ID",
    "BINPKGMD5",
    "BUILD_TIME",
    "COUNTER",
    "counter",
    "environment.bz2",
    "metadata",
    "mtimedb",
    "vdb_metadata.pickle",
)


@dataclass(frozen=True)
class Ended:
    """A command line that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Standard error as JSON lines."""
        return [json.loads(line) for line in self.err.splitlines()]


@dataclass
class TinyLayer:
    """A layer in ``directory``: ``layer/`` is its declaration, ``state/`` the state directory."""

    directory: Path
    user_id: int = field(default_factory=os.geteuid)
    prefix: str = PREFIX
    source: Path = SOURCE

    def __post_init__(self) -> None:
        self.repository = self.new_repository("tiny")
        self.environment: dict[str, str] = {}

    @property
    def root(self) -> Path:
        """Where ``layer.yaml`` lies."""
        return self.directory / "layer"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def stage(self) -> Path:
        return self.state / "stages" / PART

    @property
    def upper(self) -> Path:
        return self.stage / "upper"

    def new_repository(self, name: str) -> TinyRepository:
        """One more ebuild repository beside ``layer.yaml``."""
        repository = TinyRepository(self.root / name, name, arches=(TARGET.keyword,))
        repository.write(f"profiles/{TARGET.keyword}/make.defaults", _make_defaults())
        return repository

    def declare(self, *packages: str, repositories: Sequence[str] = ("tiny",), engine: str = "guest", more: str = "") -> None:
        """Declare ``category/name``, ``category/name=version`` or ``…::repository``, and write what is declared."""
        lines = [f"  - {{name: {name}, path: {name}}}" for name in repositories]
        text = f"""\
            name: tiny
            targets: [{TARGET.name}]
            prefix: {self.prefix.replace("2026.11", "{version}")}
            versions:
              "2026.11":
                status: live
                engine: {engine}
                sets: [set.yaml]
                profile: "{{repo}}:{{keyword}}"
                overlays:
            """
        text = "".join(line[12:] + "\n" for line in text.splitlines() if line.strip())
        self.write("layer.yaml", text + "".join(f"    {line}\n" for line in lines) + more)
        self.write("set.yaml", "name: tiny\npackages:\n" + "".join(map(_entry, packages)))

    def config(self, name: str, text: str) -> None:
        """Write a file of ``config/common``."""
        self.write(f"config/common/{name}", text)

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def package(self, cpv: str, *, phases: str = "", **metadata: Any) -> None:
        """A package that installs its version to ``usr/share/tiny``; ``phases`` are added, and win."""
        self.repository.ebuild(cpv, phases=INSTALL + phases, **metadata)

    def pausing(self, cpv: str, phase: str, **metadata: Any) -> None:
        """A package that stays in ``phase`` (such as ``src_compile``) until ``go`` is called; ``wait_for_pause`` waits for it."""
        # Not for ever: what a test leaves running ends by itself.
        waiting = f"[[ ! -e ${{PORTAGE_TMPDIR}}/go && ${{SECONDS}} -lt {10 * TIMEOUT_S} ]]"
        wait = f"touch ${{PORTAGE_TMPDIR}}/{phase}; SECONDS=0; while {waiting}; do sleep 0.1; done"
        self.package(cpv, phases=f"{phase}() {{ {wait}; }}\n", **metadata)

    def wait_for_pause(self, phase: str) -> None:
        """Wait until a package has reached ``phase``, and forget that it has."""
        marker = self.state / "build" / PART / phase
        wait_for(marker.exists, f"{phase} to begin")
        marker.unlink()

    def go(self) -> None:
        """Nothing pauses any more."""
        (self.state / "build" / PART).mkdir(parents=True, exist_ok=True)
        (self.state / "build" / PART / "go").touch()

    def command(self, *arguments: str) -> list[str]:
        """The argument list of a command line; the global options are those of this layer."""
        places = ["--layer", str(self.root / "layer.yaml"), "--state", str(self.state)]
        own = [sys.executable, "-m", "compatlayer", *places, *arguments]
        return own if self.user_id == os.geteuid() else [*as_user(self.user_id), *own]

    def run(self, *arguments: str, code: int | None = 0, environment: Mapping[str, str] | None = None) -> Ended:
        """Run a command line to its end; it must end with ``code`` (None: any)."""
        self._give_away()
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.source,
            env=self._environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if code is not None and done.returncode != code:
            raise AssertionError(f"{arguments} ended with {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}")
        return Ended(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def running(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
        """Start a command line; it is killed at the end of the block, should it still run."""
        self._give_away()
        with subprocess.Popen(
            self.command(*arguments),
            cwd=self.source,
            env=self._environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def install(self, *arguments: str, code: int = 0) -> Ended:
        """Install, with the result as JSON."""
        return self.run("--format", "json", "install", *arguments, code=code)

    def actions(self) -> list[tuple[str, str, str]]:
        """The plan: (action, category/name, change)."""
        actions = self.run("--format", "json", "plan").document["actions"]
        return [(one["action"], one["package"], one["change"]) for one in actions]

    @property
    def runs(self) -> list[Path]:
        """The run directories, oldest first."""
        return sorted(path for path in (self.state / "runs").glob("2*") if path.is_dir())

    @property
    def last_run(self) -> Path:
        """The newest run directory, as ``runs/latest`` has it."""
        return (self.state / "runs" / "latest").resolve(strict=True)

    def installed(self) -> list[str]:
        """What the stage holds, as ``category/name-version``; fails when an entry is damaged."""
        found = inventory.read(self.upper)
        assert not found.unreadable
        return [package.id.cpv for package in found]

    def content(self) -> dict[str, tuple[str, ...]]:
        """Everything in the stage by path, without what records when and in which order it was merged."""
        return content_of(self.upper)

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("LANG", "TERM", "PYTHONDONTWRITEBYTECODE") if name in os.environ}
        path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"PATH": path, "HOME": str(self.directory), **kept, **self.environment, **(more or {})}

    def _give_away(self) -> None:
        """Whatever the test has written belongs to the user who works here."""
        if self.user_id != os.geteuid():
            for path in (self.directory, self.root, *self.root.rglob("*")):
                os.chown(path, self.user_id, self.user_id, follow_symlinks=False)


def content_of(tree: Path) -> dict[str, tuple[str, ...]]:
    """Everything in a prefix by path, without what records when and in which order it was merged."""
    found = {}
    for entry in Manifest.of_tree(tree):
        record = {name: value for name, value in entry.record().items() if name not in ("path", "mtime")}
        if entry.path.startswith("var/db/pkg/") and entry.path.endswith("/CONTENTS"):
            record = {"lines": re.sub(r" \d+$", "", (tree / entry.path).read_text(), flags=re.MULTILINE)}
        elif entry.path.startswith("var/") and Path(entry.path).name in TIMES:
            record = {}
        found[entry.path] = tuple(f"{name}={value}" for name, value in sorted(record.items()))
    return found


def _make_defaults() -> str:
    return (
        f'ARCH="{TARGET.keyword}"\nACCEPT_KEYWORDS="{TARGET.keyword}"\nCHOST="{TARGET.chost}"\nACCEPT_LICENSE="* -@EULA"\n'
        'CONFIG_PROTECT_MASK="/etc"\n'
    )


def _entry(package: str) -> str:
    name, _, overlay = package.partition("::")
    name, _, version = name.partition("=")
    words = [f"name: {name}", f'version: "{version}"' if version else "", f"overlay: {overlay}" if overlay else ""]
    return "".join(f"  {'- ' if word is words[0] else '  '}{word}\n" for word in words if word) + "    reason: a test needs it\n"


# Shows what this environment is made of under its own paths to a user who may not pass the directories above it (root's
# home, say), in a mount namespace of its own, and becomes that user.
_SHOW_AND_BECOME = r"""
set -e
user=$1; hidden=$2; shift 2
hold=$(mktemp -d)
mount -t tmpfs -o mode=755 hold "$hold"
number=0
for path in $SHOWN; do
    number=$((number + 1)); mkdir "$hold/$number"; mount --bind "$path" "$hold/$number"
done
for path in $hidden; do mount -t tmpfs -o mode=755 shown "$path"; done
number=0
for path in $SHOWN; do
    number=$((number + 1)); mkdir -p "$path"; mount --bind "$hold/$number" "$path"
done
umount -R "$hold"; rmdir "$hold"
unset SHOWN
exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs "$@"
"""


@functools.cache
def as_user(user_id: int) -> tuple[str, ...]:
    """What goes before a command so that root runs it as ``user_id``, who can read this Python and this checkout."""
    own = {Path(sys.prefix), Path(sys.base_prefix), SOURCE}
    hidden = {top for path in own if (top := _closed(path)) is not None}
    if not hidden:
        return ("setpriv", "--reuid", str(user_id), "--regid", str(user_id), "--clear-groups")
    shown = sorted(path for path in own if any(path.is_relative_to(top) for top in hidden))
    if any(" " in str(path) for path in shown):
        pytest.fail(f"cannot show {shown} to another user: a space in a name")
    variable = f"SHOWN={' '.join(map(str, shown))}"
    prologue = ("env", variable, "unshare", "--mount", "sh", "-c", _SHOW_AND_BECOME, "sh")
    return (*prologue, str(user_id), " ".join(map(str, sorted(hidden))))


def _closed(path: Path) -> Path | None:
    """The topmost directory above ``path`` that others may not pass."""
    for above in reversed(path.parents):
        if not above.stat().st_mode & 0o001:
            return above
    return None


@contextmanager
def tiny_layer(user_id: int | None = None) -> Iterator[TinyLayer]:
    """A new layer in a directory of its own, removed afterwards with all that was built in it."""
    directory = Path(tempfile.mkdtemp(prefix="compatlayer-tiny-"))
    try:
        directory.chmod(0o755)
        yield TinyLayer(directory, os.geteuid() if user_id is None else user_id)
    finally:
        beneath.remove_tree(directory)


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = 120) -> None:
    """Wait until ``condition`` holds; fails, naming ``what``, when it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s for {what}")
        time.sleep(0.02)


def processes_in(directory: Path) -> dict[int, str]:
    """Processes, by id, whose command line or environment names ``directory``: what a run has left behind."""
    found = {}
    needle = os.fsencode(directory)
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            line = (process / "cmdline").read_bytes()
            if needle in line or needle in (process / "environ").read_bytes():
                found[int(process.name)] = shlex.join(os.fsdecode(word) for word in line.split(b"\0"))
        except OSError:
            continue
    return found


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C."""
    process.send_signal(signal.SIGINT)
