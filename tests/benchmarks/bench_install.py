"""What ``install`` costs beside the bare ``emerge`` that it stands on: with nothing to do, and for a whole small layer.

Both work in the same prefix (a writable directory, so that neither pays for a view), with the same configuration,
environment and jobs. Twenty packages each compile a C file for some seconds. The peak is the largest of all processes that an
install starts, the program itself, Ansible and Portage among them, measured where nothing is compiled.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tiny_layer import TARGET, TinyLayer, processes_in, tiny_layer

PACKAGES = 20
# Enough work for an optimizer to take about as long as a small real package.
COMPILE = """
src_compile() {
	local i
	for i in {1..1200}; do
		echo "int f${i}(int *a, int n) { int s = 0; for (int i = 0; i < n; i++) s += a[i] * ${i} % (i + 7); return s; }"
	done > f.c
	${CHOST}-gcc -O2 -c f.c 2>/dev/null || gcc -O2 -c f.c || die
}
"""


def seconds(action: Callable[[], object]) -> float:
    """How long ``action`` takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def report(what: str, value: float, unit: str, at_most: float | None = None) -> None:
    """One measurement, as ``run.py`` reads it."""
    print(json.dumps({"what": what, "value": value, "unit": unit, **({"at_most": at_most} if at_most else {})}), flush=True)


def bare_emerge(layer: TinyLayer) -> Callable[..., object]:
    """``emerge`` as the last install ran it, without anything of ours around it."""
    variables = json.loads((layer.last_run / "env/extravars").read_text())
    options = variables["package_set_options"]

    def run(*arguments: str) -> None:
        command: Sequence[str] = [*variables["package_set_emerge"], "--color=n", "--nospinner", *options, *arguments]
        subprocess.run(command, env=variables["package_set_environment"], stdout=subprocess.DEVNULL, check=True)

    return run


def empty(layer: TinyLayer) -> None:
    """Remove what was installed and leave what was configured."""
    for path in Path(layer.prefix).iterdir():
        if path.name not in ("etc", "share"):
            shutil.rmtree(path)


def a_layer(layer: TinyLayer, *names: str, phases: str = "") -> None:
    """Declare packages for a prefix that is a plain directory."""
    layer.prefix = f"{layer.directory}/prefix/2026.11"
    Path(layer.prefix).mkdir(parents=True)
    for name in names:
        layer.package(f"{name}-1", phases=phases)
    layer.declare(*names)


def largest_process() -> None:
    """The peak of an install that compiles nothing, as the kernel has it for each process that is seen while it runs."""
    peaks_kb: dict[int, int] = {}
    with tiny_layer() as layer:
        a_layer(layer, "app-misc/trivial")
        with layer.running("install", "--no-bind") as process:
            while process.poll() is None:
                for pid in processes_in(layer.directory):
                    peaks_kb[pid] = max(peaks_kb.get(pid, 0), peak_kb(pid))
                time.sleep(0.1)
    report("largest process of an install", max(peaks_kb.values()) / 1e3, "MB", 150)


def peak_kb(pid: int) -> int:
    """The most memory that a process ever had (proc(5), VmHWM); 0 when it is gone."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found.group(1)) if found else 0


def beside_emerge() -> None:
    """Install against emerge, in an empty prefix and then with nothing to do."""
    with tiny_layer() as layer:
        a_layer(layer, *(f"app-misc/small{number}" for number in range(PACKAGES)), phases=COMPILE)
        ours_s = seconds(lambda: layer.install("--no-bind"))
        emerge = bare_emerge(layer)
        empty(layer)
        bare_s = seconds(lambda: emerge(f"@tiny-{TARGET.name}"))
        report(f"bare emerge of {PACKAGES} packages", bare_s, "s")
        report(f"install of {PACKAGES} packages", ours_s, "s")
        report("install / bare emerge", ours_s / bare_s, "times", 1.15)
        report("what an install takes beyond its emerge", ours_s - bare_s, "s")

        layer.install("--no-bind")
        ours_s = min(seconds(lambda: layer.install("--no-bind")) for _ in range(5))
        bare_s = min(seconds(lambda: emerge("--noreplace", f"@tiny-{TARGET.name}")) for _ in range(5))
        report("bare emerge --noreplace with nothing to do", bare_s, "s")
        report("install with nothing to do", ours_s, "s")
        report("install / bare emerge, nothing to do", ours_s / bare_s, "times", 1.3)


if __name__ == "__main__":
    largest_process()
    beside_emerge()
