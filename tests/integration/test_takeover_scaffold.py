"""A new layer repository with the real programs: Portage, pkgcheck, the whole way to a verified stage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import compatlayer

pytestmark = pytest.mark.integration

SOURCE = Path(compatlayer.__file__).parent.parent


def run(*arguments: object, code: int = 0) -> str:
    command = [sys.executable, "-m", "compatlayer", *map(str, arguments)]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("init") / "site"
    run("init", made)
    return made


def test_a_new_layer_passes_check_and_plans_its_first_package(directory: Path) -> None:
    assert run("--layer", directory / "layer.yaml", "check") == "no findings\n"
    assert "install    sys-apps/baselayout-prefix" in run("--layer", directory / "layer.yaml", "plan")


@pytest.mark.userns
def test_a_new_layer_installs_and_verifies_as_declared(directory: Path) -> None:
    run("--layer", directory / "layer.yaml", "install")
    assert run("--layer", directory / "layer.yaml", "verify", "--check", "declared") == "no findings; 1 package\n"
    assert run("--layer", directory / "layer.yaml", "plan") == "nothing to do\n"


def test_pkgcheck_accepts_the_overlay(directory: Path, tmp_path: Path) -> None:
    pytest.importorskip("pkgcheck")
    pkgcheck = Path(sys.executable).parent / "pkgcheck"
    scan = [pkgcheck, "--config", "no", "scan", "--cache-dir", tmp_path, "--exit", "error,warning,style"]
    done = subprocess.run(scan, cwd=directory / "overlay", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
