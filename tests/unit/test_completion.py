"""What a shell is offered, asked as the scripts ask that click writes for bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from compatlayer.declaration.model import TARGETS

ROOT = Path(__file__).parents[2]


def offered(words: str, directory: Path) -> list[str]:
    """The completions of the last word of a command line; nothing may be said beside them."""
    asked = {"_COMPATLAYER_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    program = "from compatlayer.cli.main import compatlayer; compatlayer(prog_name='compatlayer')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=directory,
        env={**os.environ, **asked, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("compatlayer ver", ["verify"]),
        ("compatlayer mirror ex", ["export"]),
        ("compatlayer install --off", ["--offline"]),
        ("compatlayer --layer-version 2026.1", ["2026.11"]),
        ("compatlayer plan --target linux-r", ["linux-riscv64"]),
        ("compatlayer verify --check dec", ["declared"]),
        ("compatlayer verify --explain link-d", ["link-dangling"]),
    ],
)
def test_verbs_options_and_their_values_are_completed(words: str, expected: list[str]) -> None:
    assert offered(words, ROOT) == expected


def test_a_declaration_that_cannot_be_read_offers_nothing_and_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "layer.yaml").write_text("versions: [\n")
    assert offered("compatlayer --layer-version ", tmp_path) == []
    assert offered("compatlayer --target ", tmp_path) == list(TARGETS)
