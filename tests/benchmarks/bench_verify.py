"""What ``verify`` costs on a generated layer of 600 packages and 120,000 files, beside what reads the same tree.

Each figure is the median of three pairs: ours and theirs, one after the other, in turns, so that whatever else the machine does
weighs on both. portage-utils' qcheck is the yardstick where it is installed, as it comes: with an OpenMP thread for each
processor, which wait for each other; so the ratio to one thread, which is faster, stands beside it. gentoolkit's equery is asked
where it is installed (with a Portage of 3.0.81 or older). Otherwise only ``md5sum`` and ``find`` are there to compare with.
"""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from generated_layer import HOME, Shape, generate  # noqa: E402

PAIRS = 3
# Ours, as a program of its own: what it imports is part of what it costs. Prints seconds of nothing, findings, and peak memory.
PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
from compatlayer.gentoo import inventory
from compatlayer.verify import registry
tree, memory, quick, *checks = sys.argv[1:]
context = registry.Context(Path(tree), inventory.read(Path(tree)), memory=Path(memory) if memory else None, quick=quick == "quick")
context = replace(context, reading=context.begin())
found = sum(1 for _ in registry.findings(context, checks or None))
print(found, context.reading.statistics.files_read, context.reading.statistics.files_trusted)
"""


# The same packages as a closure, for what is declared is then what is there: every package is compared in every way.
DECLARED = """
import sys
from pathlib import Path
from compatlayer.gentoo import inventory
from compatlayer.gentoo.packages import Closure, Need, Parent, ResolvedPackage
from compatlayer.verify import registry
there = inventory.read(Path(sys.argv[1]))
parents = (Parent("@set", "*", Need.RUNTIME),)
wanted = (ResolvedPackage(one.id, one.slot, one.subslot, one.repository, one.use, one.iuse, parents) for one in there)
context = registry.Context(Path(sys.argv[1]), there, Closure(tuple(wanted)))
print(len(there), sum(1 for _ in registry.findings(context, ["declared"])))
"""


def declared(tree: Path) -> float:
    """Seconds of reading the inventory and comparing all of it with a closure."""
    began = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    done = subprocess.run([sys.executable, "-c", DECLARED, tree], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "0", done.stdout
    return time.perf_counter() - began


def ours(tree: Path, *checks: str, memory: str = "", quick: str = "") -> tuple[float, str]:
    """Seconds, and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tree, memory, quick, *checks],
        cwd=HERE.parent.parent,
        env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - began, done.stdout.strip()


def theirs(script: str, root: Path, **more: str) -> float:
    """Seconds of a shell command in ``root``."""
    began = time.perf_counter()
    environment = {**os.environ, "ROOT": f"{root}/", "Q_VDB": f"{HOME}/var/db/pkg", "LC_ALL": "C", **more}
    subprocess.run(
        ["sh", "-c", script], cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return time.perf_counter() - began


@contextmanager
def equery(root: Path) -> Iterator[Callable[..., float]]:
    """Seconds of an ``equery`` on the layer, which sees it at home, with a profile and a repository that hold next to nothing."""
    files = {
        "repository/profiles/repo_name": "generated\n",
        "repository/metadata/layout.conf": "masters =\n",
        "repository/profiles/arch.list": "amd64\n",
        "etc/portage/make.profile/make.defaults": 'ARCH="amd64"\nACCEPT_KEYWORDS="amd64"\nCHOST="x86_64-pc-linux-gnu"\n',
        "etc/portage/repos.conf": "[DEFAULT]\nmain-repo = generated\n[generated]\nlocation = /tmp/equery/repository\n",
    }
    with tempfile.TemporaryDirectory() as name:
        for path, text in files.items():
            place = Path(name, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        tree = root / HOME.lstrip("/")
        view = ["bwrap", "--dev-bind", "/", "/", "--tmpfs", "/cvmfs", "--bind", name, "/tmp/equery", "--ro-bind", f"{name}/etc"]
        view += [f"{HOME}/etc", "--ro-bind", tree / "usr", f"{HOME}/usr", "--ro-bind", tree / "var/db", f"{HOME}/var/db"]
        view += ["--setenv", "PORTAGE_OVERRIDE_EPREFIX", HOME]

        def run(*words: str) -> float:
            began = time.perf_counter()
            done = subprocess.run([*view, "equery", *words], capture_output=True, text=True, check=False)
            seconds = time.perf_counter() - began
            assert "app-generated/" in done.stdout, done.stdout[-500:] + done.stderr[-500:]
            return seconds

        yield run


def ratio(one: Callable[[], float], other: Callable[[], float]) -> float:
    """The median of ``one`` / ``other``, measured in pairs."""
    return statistics.median(one() / other() for _ in range(PAIRS))


def cpu_s(tree: Path) -> float:
    """Seconds of processor time of one run, which other programs disturb less than the clock."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ours(tree, "integrity")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def exponent(root: Path, tree: Path, shape: Shape) -> float:
    """By which power of the number of files processor time grows, from a quarter of the layer to all of it; 1 is linear."""
    small = generate(root.with_name(f"{root.name}-quarter"), Shape(shape.packages // 4, shape.files // 4))
    ours(small, "integrity")
    ratios = [cpu_s(tree) / cpu_s(small) for _ in range(PAIRS)]
    return math.log(statistics.median(ratios), 4)


def tell(what: str, value: float, unit: str, at_most: float | None = None) -> None:
    document: dict[str, object] = {"what": what, "value": value, "unit": unit}
    if at_most is not None:
        document["at_most"] = at_most
    print(json.dumps(document), flush=True)


def peak_mib() -> float:
    """The largest resident set of any process that has ended, in MiB; of workers, what they share with their parent is counted."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    numbers = [int(argument) for argument in sys.argv[1:]]
    root = Path(os.environ.get("COMPATLAYER_BENCH_LAYER", Path(tempfile.gettempdir()) / "compatlayer-bench-layer"))
    shape = Shape(*numbers)
    tree = generate(root, shape)
    size = f"{shape.files:,} files"
    seconds, said = ours(tree, "integrity")  # and everything is in the page cache now
    assert said.startswith("0 "), f"a sound layer has findings: {said}"
    tell(f"verify: peak memory of a process, {size}", peak_mib(), "MiB", 60 if shape.files <= 120_000 else 300)
    tell(f"verify --check integrity, {size}", seconds, "s")
    tell("integrity: processor time grows with files to the power of", exponent(root, tree, shape), "", 1.1)
    md5sum = r"find . -name '*.dat' -type f -print0 | xargs -0 -P2 -n 500 md5sum"
    tell("integrity / md5sum under xargs -P2", ratio(lambda: ours(tree, "integrity")[0], lambda: theirs(md5sum, root)), "x", 1.25)
    with tempfile.TemporaryDirectory() as memory:
        ours(tree, "integrity", memory=memory)
        _, said = ours(tree, "integrity", memory=memory, quick="quick")
        assert said.split()[1] == "0", f"quick read files again: {said}"

        def quick() -> float:
            return ours(tree, "integrity", memory=memory, quick="quick")[0]

        tell("integrity --quick / find -printf", ratio(quick, lambda: theirs("find . -printf '%s %T@ %C@ %i %p\\n'", root)), "x")
        if shutil.which("qcheck"):
            tell("integrity / qcheck", ratio(lambda: ours(tree, "integrity")[0], lambda: theirs("qcheck -C", root)), "x", 0.65)
            one = ratio(lambda: ours(tree, "integrity")[0], lambda: theirs("qcheck -C", root, OMP_NUM_THREADS="1"))
            tell("integrity / qcheck with one thread", one, "x")
            tell("integrity --quick / qcheck", ratio(quick, lambda: theirs("qcheck -C", root)), "x", 0.2)
    if shutil.which("equery"):
        with equery(root) as run:
            tell("integrity / equery check", ratio(lambda: ours(tree, "integrity")[0], lambda: run("check", "*")), "x", 0.4)
        many = root.with_name(f"{root.name}-packages")
        names = generate(many, Shape(1200, 12_000))
        with equery(many) as run:
            tell(
                "inventory of 1,200 packages and declared / equery list",
                ratio(lambda: declared(names), lambda: run("list", "*")),
                "x",
                0.5,
            )
    seconds, said = ours(tree, "integrity", "scripts", "links", "catalog")
    assert said.startswith("0 "), f"a sound layer has findings: {said}"
    tell(f"verify, the checks that look at files, {size}", seconds, "s")


if __name__ == "__main__":
    main()
