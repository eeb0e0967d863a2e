"""The ledger's scratch directories: each goes with the run that made it, or with the next one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compatlayer.repository.ledger import Ledger
from tests.tiny_layer import SOURCE

KILLED = """
import os, signal, sys
from pathlib import Path
from compatlayer.repository.ledger import Ledger
with Ledger(Path(sys.argv[1]), "test").scratch() as place:
    (place / "file").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_has_left_goes_with_the_next_and_what_is_in_use_stays(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], cwd=SOURCE, check=False)
    (left,) = (path for path in (tmp_path / "scratch").iterdir() if path.is_dir())
    ledger = Ledger(tmp_path, "test")
    with ledger.scratch() as one, ledger.scratch() as other:
        assert not left.exists()
        assert one != other
        assert one.is_dir()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_scratch_directory_goes_also_when_its_user_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with Ledger(tmp_path, "test").scratch() as place:
            (place / "file").touch()
            raise ValueError("not here")

    with pytest.raises(ValueError, match="not here"):
        fail()
    assert list((tmp_path / "scratch").iterdir()) == []
