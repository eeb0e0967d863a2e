"""This repository's layers from binary packages: how long that takes beside building them, and that nothing differs.

The guest layers are built each time. The standalone one takes long to build, so its binary packages are kept in
``.compatlayer/benchmarks`` for as long as their keys hold; where they do, only the install from them is measured.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tiny_layer import SOURCE, TARGET, content_of

PLACE = SOURCE / ".compatlayer" / "benchmarks"
STATE = PLACE / "state"
ASIDE = PLACE / "aside"
# An ext4 without a journal looks at every inode that was freed in the last minute before it gives one out (recently_deleted() in
# the kernel's fs/ext4/ialloc.c), and building frees many. Who installs from binary packages has not just built them.
FORGOTTEN_S = 61


def declaration(store: str) -> Path:
    """This repository's ``layer.yaml`` with a store of our own, beside links to what it names."""
    root = PLACE / "layer"
    root.mkdir(parents=True, exist_ok=True)
    for name in ("config", "overlay", "sets"):
        if not (root / name).is_symlink():
            (root / name).symlink_to(SOURCE / name)
    text = re.sub(r"^binaries:.*\n", "", (SOURCE / "layer.yaml").read_text(), flags=re.MULTILINE)
    (root / "layer.yaml").write_text(f"{text}binaries: {{path: {PLACE / store}}}\n")
    return root / "layer.yaml"


def run(layer: Path, version: str, *arguments: str) -> tuple[dict[str, Any], float]:
    """Run a command line of ours; its result, and how long it took."""
    places = ["--layer", str(layer), "--state", str(STATE), "--layer-version", version, "--format", "json"]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "compatlayer", *places, *arguments], cwd=SOURCE, stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout or "{}"), time.perf_counter() - began


def set_aside(path: Path) -> None:
    """Put away what a former run left. It is deleted at the very end."""
    if path.exists():
        ASIDE.mkdir(exist_ok=True)
        path.rename(tempfile.mkdtemp(dir=ASIDE))


def afresh(layer: Path, version: str) -> tuple[set[str], float, Path]:
    """Install into a new stage: where its packages came from, how long that took, and the tree."""
    set_aside(STATE / "stages" / f"{version}-{TARGET.name}")
    result, elapsed_s = run(layer, version, "install")
    return {one["origin"] for one in result["binaries"]["packages"]}, elapsed_s, Path(result["stage"]) / "upper"


def report(what: str, value: float, unit: str, at_most: float | None = None) -> None:
    """One measurement, as ``run.py`` reads it."""
    print(
        json.dumps({"what": what, "value": value, "unit": unit, **({} if at_most is None else {"at_most": at_most})}), flush=True
    )


def guest(version: str) -> None:
    """Built, and then taken: the time of each, and the files in which the two differ."""
    set_aside(PLACE / "guest")
    layer = declaration("guest")
    origins, built_s, tree = afresh(layer, version)
    assert origins == {"source"}, origins
    built = content_of(tree)
    time.sleep(FORGOTTEN_S)
    origins, taken_s, tree = afresh(layer, version)
    assert origins == {"binary"}, origins
    taken = content_of(tree)
    differing = sorted(path for path in {*built, *taken} if built.get(path) != taken.get(path))
    report(f"guest layer {version} from source", built_s, "s")
    report(f"guest layer {version} from binary packages", taken_s, "s")
    report(f"guest layer {version} from binary packages / from source", taken_s / built_s, "times", 0.25)
    report(f"guest layer {version}, files that differ", len(differing), "files", 0)
    print("".join(f"differs: {path}\n" for path in differing[:20]), end="")


def standalone(version: str) -> None:
    """Taken: built before that only if it was not yet, or something has changed."""
    layer = declaration("standalone")
    origins, elapsed_s, _ = afresh(layer, version)
    if origins != {"binary"}:
        report("standalone demo layer, what was not stored from source", elapsed_s, "s")
        origins, elapsed_s, _ = afresh(layer, version)
    assert origins == {"binary"}, origins
    report("standalone demo layer from binary packages", elapsed_s, "s", 60)


if __name__ == "__main__":
    STATE.mkdir(parents=True, exist_ok=True)
    mirror = SOURCE / ".compatlayer" / "mirror"
    mirror.mkdir(exist_ok=True)
    if not (STATE / "mirror").is_symlink():
        (STATE / "mirror").symlink_to(mirror)
    try:
        for version in ("2026.06", "2026.11"):
            guest(version)
        standalone("2027.02")
    finally:
        shutil.rmtree(ASIDE, ignore_errors=True)
