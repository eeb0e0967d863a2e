"""What a layer's loader is told: the sound layer has no finding, and each planted fault is the only one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import linkage_faults
from tests.elf_files import put
from tests.loader_faults import DRIVERS, LOADER_FILE, PLANTED, loader, with_driver_directory
from tests.tiny_prefix import TinyPrefix


@pytest.fixture
def prefix(tmp_path: Path) -> TinyPrefix:
    prefix = TinyPrefix(tmp_path / "prefix")
    with_driver_directory(linkage_faults.closed_layer(prefix.tree))
    prefix.settings["trusted_dirs"] = (f"{DRIVERS}/",)
    return prefix


def test_a_sound_layer_has_no_findings(prefix: TinyPrefix) -> None:
    assert prefix.findings("loader") == []


def test_a_declared_directory_may_lie_on_the_host(prefix: TinyPrefix) -> None:
    put(prefix.tree, LOADER_FILE, loader("/opt/vendor/lib"))
    assert prefix.findings("loader", trusted_dirs=("/opt/vendor/lib",)) == []


@pytest.mark.parametrize("identifier", PLANTED)
def test_each_planted_fault_is_found_and_nothing_else(prefix: TinyPrefix, identifier: str) -> None:
    plant, description = PLANTED[identifier]
    plant(prefix.tree)
    (finding,) = prefix.findings("loader")
    assert (finding.identifier, finding.description) == (identifier, description)


def test_a_layer_on_the_hosts_c_library_has_no_loader_to_look_at(tmp_path: Path) -> None:
    prefix = TinyPrefix(tmp_path / "prefix")
    linkage_faults.guest_layer(prefix.tree)
    assert prefix.findings("loader", trusted_dirs=(DRIVERS,)) == []


@pytest.mark.parametrize("content", [b"", b"glibc-ld.so.cache1.1", b"\xff" * 100])
def test_a_damaged_cache_names_nothing(prefix: TinyPrefix, content: bytes) -> None:
    put(prefix.tree, "etc/ld.so.cache", content)
    assert prefix.findings("loader") == []


def test_a_finding_names_the_package_of_the_loader(prefix: TinyPrefix) -> None:
    linkage_faults.own(prefix.tree, "sys-libs/glibc-2", LOADER_FILE)
    put(prefix.tree, LOADER_FILE, loader("/usr/lib64", DRIVERS))
    assert [finding.package for finding in prefix.findings("loader")] == ["sys-libs/glibc-2"]
