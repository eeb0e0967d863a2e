"""What reading and resolving 5,000 programs and libraries costs, beside scanelf (pax-utils) on the same files and fields.

The files are this machine's own small ones, copied until there are enough. scanelf reads the fields one after the other; the check
also resolves every need, which scanelf does not. Ours is measured in a process that has started, as part of a verify; the time of a
whole command line is given as well, and promises nothing: Python has to start.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from compatlayer import process
from compatlayer.gentoo.packages import Inventory
from compatlayer.verify import linkage
from compatlayer.verify.registry import Context, all_checks, findings

SOURCES = (Path("/usr/lib"), Path("/usr/bin"))
MAX_BYTES = 400_000
FIELDS = "%i %r %n %t %e %o %M %S %F"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--directory", type=Path, help="where to copy the files (default: the temporary directory)")
    options.add_argument("--files", type=int, default=5000, help="how many files (default: 5,000)")
    chosen = options.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="compatlayer-bench-", dir=chosen.directory))
    try:
        measure(scratch, chosen.files)
    finally:
        shutil.rmtree(scratch)


def measure(scratch: Path, files: int) -> None:
    copy(scratch, files)
    all_checks()
    context = Context(scratch, Inventory())
    read_s = best(lambda: len(replace_reading(context).pass_.reports("linkage")))
    whole_s = best(lambda: sum(1 for _ in findings(context, ["linkage"])))
    program = [sys.executable, "-m", "compatlayer", "--format", "json", "verify", scratch, "--check", "linkage"]
    say(f"linkage: headers of {files} files", read_s, "s")
    say(f"linkage: the check on {files} files", whole_s, "s")
    say(f"linkage: the command line on {files} files", best(lambda: process.run(program, check=False).returncode), "s")
    if shutil.which("scanelf") is None:
        return
    peer_s = best(lambda: len(process.run(["scanelf", "-R", "-F", FIELDS, scratch], check=False).stdout))
    say("linkage: scanelf -R", peer_s, "s")
    say("linkage: headers against scanelf -R", read_s / peer_s, "x", at_most=1.5)
    say("linkage: the check, needs resolved, against scanelf -R", whole_s / peer_s, "x")


def replace_reading(context: Context) -> Context:
    """A pass of its own that only the check's eyes have joined."""
    reading = context.begin()
    reading.join("linkage", linkage.LinkageVisitor)
    return replace(context, reading=reading)


def copy(scratch: Path, files: int) -> None:
    found = list(candidates())
    for number in range(files):
        source = found[number % len(found)]
        directory = scratch / "usr/lib64" / f"d{number // 100}"
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, directory / f"{number}-{source.name}")


def candidates() -> Iterator[Path]:
    for directory in SOURCES:
        for path in sorted(directory.rglob("*")):
            if path.is_file() and not path.is_symlink() and path.stat().st_size < MAX_BYTES and "debug" not in path.parts:
                with path.open("rb") as file:
                    if file.read(4) == b"\x7fELF":
                        yield path


def best(work: Callable[[], int], times: int = 5) -> float:
    """The time (s) of the fastest run: the others say what else the machine was doing."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def say(what: str, value: float, unit: str, at_most: float | None = None) -> None:
    promise = {} if at_most is None else {"at_most": at_most}
    print(json.dumps({"what": what, "value": value, "unit": unit, **promise}, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
