"""The layer's tools come first, and do what they are there for."""

from __future__ import annotations

from typing import Any

import pytest

PROGRAMS = {"bzip2": "app-arch/bzip2", "lua": "dev-lang/lua", "patchelf": "dev-util/patchelf", "numactl": "sys-process/numactl"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.package(package)) for name, package in PROGRAMS.items()])
def test_the_layers_own_program_is_found_first(host: Any, prefix: str, name: str) -> None:
    assert host.run("type -P %s", name).stdout.strip() == f"{prefix}/usr/bin/{name}"


@pytest.mark.package("app-arch/bzip2")
def test_bzip2_restores_what_it_compressed(host: Any, scratch: str) -> None:
    made = host.run(
        f"head -c 200000 /dev/urandom > {scratch}/data && bzip2 < {scratch}/data | bzip2 -d | cksum && cksum < {scratch}/data"
    )
    first, second = made.stdout.splitlines()
    assert first == second, made.stderr


@pytest.mark.package("app-arch/bzip2")
def test_bzip2_refuses_damaged_data(host: Any) -> None:
    assert host.run("echo hello | bzip2 | head -c 20 | bzip2 -d").rc != 0


@pytest.mark.package("dev-util/patchelf")
def test_patchelf_changes_a_real_binary_that_still_runs(host: Any, prefix: str, scratch: str) -> None:
    changed = host.run(
        f"cp {prefix}/usr/bin/bzip2 {scratch}/bzip2 && patchelf --set-rpath /somewhere:{prefix}/usr/lib64 {scratch}/bzip2"
        f" && patchelf --print-rpath {scratch}/bzip2 && echo hello | {scratch}/bzip2 | bzip2 -d"
    )
    assert changed.stdout.splitlines() == [f"/somewhere:{prefix}/usr/lib64", "hello"], changed.stderr


def test_the_layers_programs_use_the_layers_libraries(host: Any, prefix: str) -> None:
    linked = host.run(f"for name in bzip2 numactl; do LD_TRACE_LOADED_OBJECTS=1 {prefix}/usr/bin/$name; done")
    found = [line for line in linked.stdout.splitlines() if "libbz2" in line or "libnuma" in line]
    assert found
    assert [line for line in found if f"=> {prefix}/" not in line] == []


@pytest.mark.package("sys-process/numactl")
def test_numactl_reads_the_machines_topology(host: Any) -> None:
    assert "available:" in host.run("numactl --hardware").stdout


def test_the_layer_is_read_only(host: Any, prefix: str) -> None:
    assert host.run("touch %s/written", prefix).rc != 0
