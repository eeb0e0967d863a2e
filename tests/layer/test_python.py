"""The layer's Python has what EasyBuild and users' scripts import, and takes nothing of the host."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.package("dev-lang/python")

MODULES = "bz2 ctypes curses decimal hashlib json lzma multiprocessing readline sqlite3 ssl subprocess tarfile tomllib venv zlib"
# What the layer has no library for.
MISSING = {"sqlite3"}


def test_it_has_its_modules_and_no_others(host: Any) -> None:
    missing = []
    for name in MODULES.split():
        done = host.run(f"python3 -c 'import {name}'")
        if done.rc != 0:
            missing.append(name)
            assert "ModuleNotFoundError" in done.stderr
    assert set(missing) == MISSING


def test_it_looks_for_modules_in_the_layer_only(host: Any, prefix: str) -> None:
    searched = host.run_expect([0], "cd /; python3 -c 'import sys; print(*sys.path[1:])'").stdout.split()
    assert searched
    assert [path for path in searched if not path.startswith(f"{prefix}/")] == []


def test_hashes_are_right(host: Any) -> None:
    said = host.run_expect([0], "python3 -c 'import hashlib; print(hashlib.sha256(b\"abc\").hexdigest())'").stdout
    assert said.strip() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_shell_that_it_starts_is_the_layers(host: Any, prefix: str) -> None:
    line = 'import subprocess; print(subprocess.run(\\"readlink /proc/\\$\\$/exe; true\\", shell=True, capture_output=True, text=True).stdout)'
    assert host.run_expect([0], f'python3 -c "{line}"').stdout.strip() == f"{prefix}/usr/bin/bash"


def test_a_virtual_environment_can_be_made(host: Any, scratch: str) -> None:
    line = f"cd {scratch} && python3 -m venv environment && environment/bin/python -m pip --version"
    assert host.run_expect([0], line).stdout.startswith("pip ")


def test_https_is_checked_against_the_certificates_that_it_is_given(host: Any) -> None:
    line = "import ssl; made = ssl.create_default_context(); print(made.verify_mode.name, made.check_hostname)"
    assert host.run_expect([0], f"python3 -c '{line}'").stdout == "CERT_REQUIRED True\n"
