"""The layer of this repository can be built as it lies here: the first step of ``make demo``, for every version and target."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_layer import SOURCE

pytestmark = [pytest.mark.integration, pytest.mark.real]


def test_nothing_is_to_be_said_of_the_declaration(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "compatlayer",
        "--layer",
        str(SOURCE / "layer.yaml"),
        "--state",
        str(tmp_path / "state"),
        "check",
    ]
    done = subprocess.run(command, cwd=SOURCE, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "no findings\n"), done.stdout + done.stderr
