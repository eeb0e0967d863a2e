"""Runs every ``bench_*.py`` beside it, one at a time, and prints one table of what they measured.

A benchmark is a script. For each thing it measured it prints a JSON line ``{"what": …, "value": …, "unit": …,
"at_most": …}`` (the last where something is promised); what else it prints is passed on. It ends with 0 when it could
measure. This ends with 1 when one could not, or when a promise is broken.

Usage: python tests/benchmarks/run.py [WORD...]     only benchmarks whose file name holds one of the words
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def measure(script: Path) -> tuple[list[dict[str, Any]], int]:
    """Run one benchmark; its measurements and its exit code."""
    process = subprocess.Popen([sys.executable, script], cwd=HERE.parent.parent, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = []
    for line in process.stdout:
        try:
            document = json.loads(line)
            found.append({"what": document["what"], "value": float(document["value"]), **document})
        except (ValueError, KeyError, TypeError):
            print(line, end="", flush=True)
    return found, process.wait()


def row(measured: dict[str, Any]) -> tuple[tuple[str, str, str, str], bool]:
    """One line of the table, and whether the promise (if there is one) was kept."""
    unit = measured.get("unit", "")
    limit = measured.get("at_most")
    kept = limit is None or measured["value"] <= limit
    promise = "" if limit is None else f"at most {limit:g} {unit}".rstrip()
    verdict = "" if limit is None else "kept" if kept else "BROKEN"
    return (measured["what"], f"{measured['value']:.4g} {unit}".rstrip(), promise, verdict), kept


def main(words: list[str]) -> int:
    scripts = [path for path in sorted(HERE.glob("bench_*.py")) if not words or any(word in path.name for word in words)]
    rows, well = [("what", "measured", "promised", "")], True
    for script in scripts:
        print(f"# {script.name}", flush=True)
        measurements, code = measure(script)
        if code:
            print(f"{script.name} ended with {code}", file=sys.stderr)
            well = False
        for measured in measurements:
            line, kept = row(measured)
            rows.append(line)
            well = well and kept
    widths = [max(len(line[column]) for line in rows) for column in range(4)]
    for line in rows:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
