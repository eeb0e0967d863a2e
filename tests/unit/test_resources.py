from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from compatlayer.errors import CompatlayerError
from compatlayer.resources import NAMES, PACKAGE, resource

CHECKOUT = PACKAGE.parent


def directories(*paths: Path) -> None:
    for path in paths:
        path.mkdir(parents=True)


def test_a_checkout_has_every_resource_in_its_own_place() -> None:
    assert [resource(name) for name in NAMES] == [CHECKOUT / name for name in NAMES]


def test_what_travelled_in_the_wheel_comes_before_what_lies_beside_the_package(tmp_path: Path) -> None:
    directories(tmp_path / "compatlayer/data/roles", tmp_path / "roles")
    (tmp_path / "pyproject.toml").touch()
    assert resource("roles", package=tmp_path / "compatlayer") == tmp_path / "compatlayer/data/roles"


def test_a_directory_beside_an_installed_package_is_not_taken_for_ours(tmp_path: Path) -> None:
    directories(tmp_path / "compatlayer", tmp_path / "roles")  # site-packages, and somebody else's package called roles
    with pytest.raises(CompatlayerError) as caught:
        resource("roles", package=tmp_path / "compatlayer")
    assert str(caught.value) == (
        "this installation of compatlayer lacks its roles\n"
        f"  looked for {tmp_path}/compatlayer/data/roles and, in a checkout, for {tmp_path}/roles\n"
        "  hint: install it again from a complete wheel, or from a checkout with: pip install -e ."
    )


def test_a_name_that_is_no_resource_is_a_bug_of_the_caller() -> None:
    with pytest.raises(ValueError, match="'role' is not a resource; known: overlay, playbooks, roles"):
        resource("role")


@pytest.mark.slow
def test_an_installed_wheel_brings_every_file_of_the_resources_along(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True)

    script = f"from compatlayer.resources import resource\nfor name in {NAMES!r}: print(resource(name))"
    environment = {"PATH": os.environ["PATH"]}
    said = subprocess.run([python, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)

    for name, line in zip(NAMES, said.stdout.splitlines(), strict=True):
        installed = Path(line)
        assert installed.is_relative_to(tmp_path)
        assert files(installed) == files(CHECKOUT / name)
    assert (installed.parent.parent / "py.typed").is_file()
    assert (tmp_path / "venv/bin/compatlayer").is_file()


def files(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
