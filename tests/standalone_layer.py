"""This repository's own standalone layer, really built: once for all tests and workers, and kept for the next run.

It lies in ``.compatlayer/tests`` beside the state of the person who works here, and shares nothing with that but the mirror.
It is built again when something has changed that its files are made from. Tests look at it and leave it as it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

from compatlayer.cli.context import this_machine
from compatlayer.declaration import load
from compatlayer.declaration.model import TARGETS, EngineName, Layer, Part, Version
from compatlayer.gentoo.packages import Closure
from compatlayer.install import prepare
from tests.tiny_layer import SOURCE, Ended, as_user

DECLARATION = SOURCE / "layer.yaml"
TARGET = TARGETS[this_machine()]
STATE = SOURCE / ".compatlayer" / "tests"
# Cold, on two processors that do something else as well.
BUILD_TIMEOUT_S = 3600
TIMEOUT_S = 300


@dataclass(frozen=True)
class StandaloneLayer:
    """The layer as built: ``tree`` is what will lie at ``part.prefix``."""

    state: Path
    part: Part
    file: Path = DECLARATION

    @property
    def tree(self) -> Path:
        return self.state / "stages" / f"{self.part.version}-{self.part.target.name}" / "upper"

    @property
    def prefix(self) -> PurePosixPath:
        return self.part.prefix

    def run(self, *arguments: str, code: int = 0, layer: Path | None = None, user_id: int | None = None) -> Ended:
        """Run a command line of ours on it, or on another declaration; as ``user_id`` where one is named."""
        return run(self.state, self.part.version, *arguments, code=code, layer=layer or self.file, user_id=user_id)

    def in_empty_root(
        self, *command: str, binds: Sequence[str] = (), check: bool = True, timeout_s: float = TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a command where there is nothing but the layer, /proc, /dev and an empty /tmp; ``binds`` are more words for bwrap."""
        root = ["bwrap", "--unshare-all", "--die-with-parent", "--clearenv", "--ro-bind", str(self.tree), str(self.prefix)]
        root += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", *binds, "--", *command]
        done = subprocess.run(root, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False)
        assert not check or done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


def standalone_layer() -> StandaloneLayer:
    """The layer, built now if need be. Waits for another process that builds it; fails the test when it cannot be built."""
    layer = load.load(DECLARATION)
    version = standalone_version(layer)
    part = layer.part(version, TARGET)
    STATE.mkdir(parents=True, exist_ok=True)
    with locked(STATE / "lock"):
        share_mirror(STATE)
        wanted = _digest(layer, prepare(layer, version, TARGET, STATE).closure)
        remembered = STATE / "standalone.sha256"
        if not remembered.exists() or remembered.read_text() != wanted:
            remembered.unlink(missing_ok=True)
            _build(version.name, wanted)
            remembered.write_text(wanted)
    return StandaloneLayer(STATE, part)


def standalone_version(layer: Layer) -> Version:
    """The newest live version of this repository's layer that stands alone."""
    return [one for one in layer.versions if one.engine is EngineName.STANDALONE and one.status == "live"][-1]


def _build(version: str, digest: str) -> None:
    """Build from nothing, for what was built from other sources must not stay, or go on where a run was stopped.

    In one run of the tests it is tried only once.
    """
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    failed, begun = STATE / "failed", STATE / "begun"
    if failed.exists() and failed.read_text().startswith(f"{session}\n"):
        pytest.fail(f"the standalone layer could not be built:\n{failed.read_text()}")
    if not begun.exists() or begun.read_text() != digest:
        run(STATE, version, "stage", "drop", "--yes", code=None)
        begun.write_text(digest)
    try:
        run(STATE, version, "install", timeout_s=BUILD_TIMEOUT_S)
    except AssertionError as error:
        failed.write_text(f"{session}\n{error}")
        raise
    begun.unlink()


def run(
    state: Path,
    version: str,
    *arguments: str,
    code: int | None = 0,
    timeout_s: float = TIMEOUT_S,
    layer: Path = DECLARATION,
    user_id: int | None = None,
) -> Ended:
    """Run a command line of ours on the layer declared in ``layer``; ``code`` None: it may end as it likes."""
    places = ["--layer", str(layer), "--state", str(state), "--layer-version", version]
    done = subprocess.run(
        [*(as_user(user_id) if user_id is not None else ()), sys.executable, "-m", "compatlayer", *places, *arguments],
        cwd=SOURCE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if code is not None and done.returncode != code:
        raise AssertionError(f"{arguments} ended with {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}")
    return Ended(done.returncode, done.stdout, done.stderr)


def share_mirror(state: Path) -> None:
    """One mirror of source files for people and tests: it holds only what is verified."""
    mirror = SOURCE / ".compatlayer" / "mirror"
    mirror.mkdir(parents=True, exist_ok=True)
    state.mkdir(parents=True, exist_ok=True)
    if not (state / "mirror").is_symlink():
        shutil.rmtree(state / "mirror", ignore_errors=True)
        (state / "mirror").symlink_to(os.path.relpath(mirror, state))


def _digest(layer: Layer, closure: Closure) -> str:
    """Over the content of every file that the layer's files are made from."""
    overlay = layer.root / "overlay"
    own = [overlay / package.id.category / package.id.name for package in closure]
    digest = hashlib.sha256(repr([(package.atom, package.use, package.compiled_in) for package in closure]).encode())
    for directory in (*own, overlay / "eclass", overlay / "profiles", layer.root / "config", SOURCE / "compatlayer" / "engine"):
        for path in sorted(_files(directory)):
            digest.update(f"{path.relative_to(SOURCE)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _files(directory: Path) -> Iterable[Path]:
    skipped = {"metadata.xml", "Manifest"}
    return (
        path for path in directory.rglob("*") if path.is_file() and path.name not in skipped and "__pycache__" not in path.parts
    )


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however that ends."""
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
