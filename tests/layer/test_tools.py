"""The layer's tools come first, and do what they are there for."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.package("app-arch/bzip2", "dev-lang/lua", "dev-util/patchelf", "sys-process/numactl")
@pytest.mark.parametrize("name", ["bzip2", "lua", "patchelf", "numactl"])
def test_the_layers_own_program_is_found_first(host: Any, prefix: str, name: str) -> None:
    assert host.run("type -P %s", name).stdout.strip() == f"{prefix}/usr/bin/{name}"


@pytest.mark.package("app-arch/bzip2")
def test_bzip2_restores_what_it_compressed(host: Any) -> None:
    made = host.run("head -c 200000 /dev/urandom > /tmp/data && bzip2 < /tmp/data | bzip2 -d | cmp - /tmp/data")
    assert made.rc == 0, made.stderr


@pytest.mark.package("app-arch/bzip2")
def test_bzip2_refuses_damaged_data(host: Any) -> None:
    assert host.run("echo hello | bzip2 | head -c 20 | bzip2 -d").rc != 0


@pytest.mark.package("dev-util/patchelf")
def test_patchelf_changes_a_real_binary_that_still_runs(host: Any, prefix: str) -> None:
    changed = host.run(
        f"cp {prefix}/usr/bin/bzip2 /tmp/bzip2 && patchelf --set-rpath /somewhere:{prefix}/usr/lib64 /tmp/bzip2"
        " && patchelf --print-rpath /tmp/bzip2 && echo hello | /tmp/bzip2 | bzip2 -d"
    )
    assert changed.stdout.splitlines() == [f"/somewhere:{prefix}/usr/lib64", "hello"], changed.stderr


def test_the_layers_programs_use_the_layers_libraries(host: Any, prefix: str) -> None:
    linked = host.run(f"LD_TRACE_LOADED_OBJECTS=1 {prefix}/usr/bin/bzip2; LD_TRACE_LOADED_OBJECTS=1 {prefix}/usr/bin/numactl")
    found = [line for line in linked.stdout.splitlines() if "libbz2" in line or "libnuma" in line]
    assert found
    assert [line for line in found if f"=> {prefix}/usr/lib64/" not in line] == []


@pytest.mark.package("sys-process/numactl")
def test_numactl_reads_the_machines_topology(host: Any) -> None:
    assert "available:" in host.run("numactl --hardware").stdout


def test_the_layer_is_read_only(host: Any, prefix: str) -> None:
    assert host.run("touch %s/written", prefix).rc != 0
