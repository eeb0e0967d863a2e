"""What a stage of 120,000 files with 300 changes costs: its change list, its manifest, its view.

Builds the tree once in a temporary directory (``--directory``, a local file system) and removes it afterwards. The peers are what
one would do without a change list: walk the tree, read the tree. Ratios are of the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from compatlayer import process
from compatlayer.declaration.model import TARGETS, Part
from compatlayer.stage import drop, open_stage
from compatlayer.tree import beneath
from compatlayer.tree.changes import read_plain
from compatlayer.tree.manifest import Manifest, update

T = TypeVar("T")
PREFIX = PurePosixPath("/cvmfs/bench.example.org/versions/1/compat/linux/x86_64")

# One package is rebuilt: 250 files written, 40 removed, one directory of 10 made again.
CHANGE = """
set -e; cd "$1/p1"
i=0; while [ $i -lt 190 ]; do echo changed > "d$((i / 10))/f$((i % 10))"; i=$((i + 1)); done
mkdir new; i=0; while [ $i -lt 60 ]; do echo new > "new/f$i"; i=$((i + 1)); done
rm ../p2/d0/* ../p2/d1/* ../p2/d2/* ../p2/d3/*
rm -r ../p3/d0; mkdir ../p3/d0; i=0; while [ $i -lt 9 ]; do echo again > "../p3/d0/f$i"; i=$((i + 1)); done
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--directory", type=Path, help="where to build the tree (default: the temporary directory)")
    options.add_argument("--files", type=int, default=120_000, help="how many files (default: 120,000)")
    chosen = options.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="compatlayer-bench-", dir=chosen.directory))
    try:
        measure(scratch, chosen.files)
    finally:
        beneath.remove_tree(scratch)


def measure(scratch: Path, files: int) -> None:
    lower = scratch / "lower"
    build(lower, files)
    part = Part("bench", "1", TARGETS["linux-x86_64"], PREFIX)
    stage = open_stage(scratch / "state", part, lower=lower)
    view = stage.view()
    process.run(view.command(["sh", "-c", CHANGE, "sh", str(PREFIX)]))

    changes, listing_s = best(stage.changes)
    say(f"change list of {len(changes)} changes, {files} files below", listing_s, "s", at_most=0.1)
    _, walk_s = best(lambda: read_plain(lower), times=1)
    say("  ratio to a walk of the whole tree", listing_s / walk_s, "x", at_most=0.05)
    _, rows_s = best(stage.differences)
    say("the same as rows for a person", rows_s, "s", at_most=0.2)

    manifest, scan_s = best(lambda: Manifest.of_tree(lower), times=1)
    updated, update_s = best(lambda: update(manifest, changes, stage.upper))
    assert updated != manifest
    say("manifest, updated from the change list", update_s, "s", at_most=0.1)
    say("  ratio to a scan of the whole tree", update_s / scan_s, "x", at_most=0.02)
    stored = scratch / "manifest"
    _, write_s = best(lambda: updated.write(stored), times=2)
    again, read_s = best(lambda: Manifest.read(stored), times=2)
    assert again == updated
    say("manifest, written", write_s, "s")
    say("manifest, read and verified", read_s, "s")
    _, equal_s = best(lambda: list(manifest.differences(updated)))
    say("two manifests compared, entry by entry where they differ", equal_s, "s", at_most=0.05)

    _, bare_s = best(lambda: process.run(["true"]), times=10)
    _, view_s = best(lambda: process.run(view.command(["true"])), times=10)
    say("a command in the view, beyond the command itself", view_s - bare_s, "s", at_most=0.1)
    drop(stage)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from compatlayer.tree.manifest import Manifest\n"
        "manifest = Manifest.read(Path(sys.argv[2]))\n"
        # Not getrusage(2): its maximum begins with the process that started this one.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM:')))\n"
    )
    root = Path(__file__).resolve().parents[2]
    memory = process.run([sys.executable, "-c", code, str(root), str(stored)]).stdout
    say("memory of a process that reads the manifest", float(memory) / 1024, "MB", at_most=150)


def build(root: Path, files: int) -> None:
    """A tree of packages with 20 directories of 10 files each; the files are small, so that the number counts."""
    root.mkdir()
    for number in range(files):
        directory = root / f"p{number // 200}" / f"d{number // 10 % 20}"
        if number % 10 == 0:
            directory.mkdir(parents=True)
        descriptor = os.open(directory / f"f{number % 10}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(descriptor, b"%d\n" % number * 20)
        os.close(descriptor)


def best(work: Callable[[], T], times: int = 5) -> tuple[T, float]:
    """The result and the time (s) of the fastest run: the others say what else the machine was doing."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        result = work()
        taken.append(time.perf_counter() - began)
    return result, min(taken)


def say(what: str, value: float, unit: str, at_most: float | None = None) -> None:
    promise = {} if at_most is None else {"at_most": at_most}
    print(json.dumps({"what": what, "value": value, "unit": unit, **promise}, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
