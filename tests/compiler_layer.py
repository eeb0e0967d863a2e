"""This repository's layer with a compiler inside, really built, and EasyBuild beside it.

The layer is installed from a store of binary packages: ``COMPATLAYER_TEST_BINARIES``, else ``.compatlayer/tests/compiler/binaries``.
What the store lacks is built and kept there, so that only the first run takes long.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from compatlayer.declaration import load
from tests.standalone_layer import STATE, TARGET, StandaloneLayer, locked, run, share_mirror
from tests.tiny_layer import SOURCE

VERSION = "2027.08"
PLACE = STATE / "compiler"
STORE = Path(os.environ.get("COMPATLAYER_TEST_BINARIES", PLACE / "binaries"))
# Cold, on two processors that do something else as well: the C library and the compiler are most of it.
BUILD_TIMEOUT_S = 3 * 3600
EASYBUILD = "easybuild==5.4.1"


def compiler_layer(*, anew: bool = False) -> tuple[StandaloneLayer, dict[str, str]]:
    """The layer, installed now if need be or ``anew``, and where each package that was installed came from: ``binary`` or ``source``."""
    state = PLACE / "state"
    with locked(_made(PLACE) / "lock"):
        share_mirror(state)
        file = _declaration()
        layer = load.load(file)
        part = layer.part(next(one for one in layer.versions if one.name == VERSION), TARGET)
        if anew:
            run(state, VERSION, "stage", "drop", "--yes", layer=file)
        said = run(state, VERSION, "--format", "json", "install", layer=file, timeout_s=BUILD_TIMEOUT_S).document
        # Nothing is said of them where nothing was installed.
        origins = {one["package"]: one["origin"] for one in (said["binaries"] or {"packages": ()})["packages"]}
        return StandaloneLayer(state, part, file), origins


def easybuild() -> Path:
    """A directory with EasyBuild from PyPI, as pip installs it below a prefix; kept for the next run."""
    place = PLACE / EASYBUILD
    with locked(_made(PLACE) / "easybuild.lock"):
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-warn-script-location", "--ignore-installed"]
            subprocess.run([*pip, "--prefix", str(place), EASYBUILD], check=True, stdin=subprocess.DEVNULL, timeout=600)
            (place / "complete").touch()
    return place


def _declaration() -> Path:
    """This repository's ``layer.yaml`` with the store, beside links to what it names."""
    root = _made(PLACE / "layer")
    for name in ("config", "overlay", "sets", "tests"):
        if not (root / name).is_symlink():
            (root / name).symlink_to(SOURCE / name)
    text = re.sub(r"^binaries:.*\n", "", (SOURCE / "layer.yaml").read_text(), flags=re.MULTILINE)
    (root / "layer.yaml").write_text(f"{text}binaries: {{path: {STORE}}}\n")
    return root / "layer.yaml"


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory
