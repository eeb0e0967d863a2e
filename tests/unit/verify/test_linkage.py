from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

import pytest

from compatlayer import process
from compatlayer.declaration.model import TARGETS, EngineName, HostLink, Part
from compatlayer.findings import Finding
from compatlayer.gentoo import inventory as inventories
from compatlayer.verify.elf import findings as kinds
from compatlayer.verify.elf.loader import read_cache, system_directories
from compatlayer.verify.registry import Context, findings
from tests.elf_files import AARCH64, I386, elf, put
from tests.linkage_faults import HOST_LOADER, LOADER, PLANTED, PREFIX, closed_layer, guest_layer, host_link, own, program

PART = Part("test", "1", TARGETS["linux-x86_64"], PurePosixPath(PREFIX))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return closed_layer(tmp_path / "tree")


def found(
    tree: Path, engine: EngineName | None = EngineName.STANDALONE, part: Part | None = PART, **fields: object
) -> list[Finding]:
    context = Context(tree, inventories.read(tree), part=part, engine=engine, **fields)  # type: ignore[arg-type]
    return list(findings(context, ["linkage"]))


def test_a_closed_layer_has_no_findings(tree: Path) -> None:
    assert found(tree) == []
    assert found(tree, engine=None, part=None) == []


@pytest.mark.parametrize("identifier", PLANTED)
def test_each_planted_fault_is_found_and_nothing_else(tree: Path, identifier: str) -> None:
    plant, description = PLANTED[identifier]
    plant(tree)
    (finding,) = found(tree)
    assert (finding.identifier, finding.description) == (identifier, description)
    assert finding.remedy


GUEST = {
    "library-left-to-host": (
        program("libcurl.so.4", "libc.so.6", interpreter=HOST_LOADER),
        "usr/bin/tool: expected libcurl.so.4, found nothing of that name in the layer (a/tool-1)",
    ),
    "elf-interpreter-outside": (
        program(interpreter="/home/me/lib/ld.so"),
        "usr/bin/tool: expected the host's loader in /lib or /lib64, found /home/me/lib/ld.so (a/tool-1)",
    ),
    "library-out-of-reach": (
        program("libz.so.1", interpreter=HOST_LOADER),
        "usr/bin/tool: expected libz.so.1, found usr/lib64/libz.so.1, where the loader does not look (a/tool-1)",
    ),
}


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    return guest_layer(tmp_path / "tree")


@pytest.mark.parametrize("engine", [EngineName.GUEST, None])
def test_a_layer_on_the_hosts_c_library_may_take_that_and_its_loader_from_the_host(
    guest: Path, engine: EngineName | None
) -> None:
    assert found(guest, engine) == []
    assert "elf-interpreter-outside" in [one.identifier for one in found(guest, EngineName.STANDALONE)]


@pytest.mark.parametrize("identifier", GUEST)
def test_what_else_it_would_take_from_the_host_is_found(guest: Path, identifier: str) -> None:
    content, description = GUEST[identifier]
    put(guest, "usr/bin/tool", content)
    (finding,) = found(guest, EngineName.GUEST)
    assert (finding.identifier, finding.description) == (identifier, description)


def test_every_kind_has_its_planted_fault_and_explains_itself() -> None:
    every = {one.identifier: one for one in vars(kinds).values() if isinstance(one, type) and issubclass(one, Finding)}
    assert set(every) - {""} == set(PLANTED) | set(GUEST)
    for identifier in set(every) - {""}:
        summary, _, rest = every[identifier].explanation().partition("\n\n")
        assert summary.endswith("."), identifier
        assert len(rest) > 100, identifier


@pytest.mark.parametrize("engine", [EngineName.GUEST, EngineName.STANDALONE])
def test_a_library_that_a_package_has_lost_is_missing_on_any_engine(tree: Path, engine: EngineName) -> None:
    own(tree, "a/zlib-1", "usr/lib64/libz.so.1")
    (tree / "usr/lib64/libz.so.1").unlink()
    (finding,) = [one for one in found(tree, engine) if one.package == "a/tool-1" and one.expected == "libz.so.1"]
    assert finding.identifier == "library-missing"
    assert finding.actual == "usr/lib64/libz.so.1 of a/zlib-1 to be gone"


# Search as the loader does.


def test_rpath_is_inherited_by_what_a_program_loads_and_runpath_is_not(tree: Path) -> None:
    (tree / "usr/lib64/libz.so.1").unlink()
    put(tree, "opt/z/libz.so.1", elf(soname="libz.so.1"))
    put(tree, "usr/lib64/libmid.so", elf(soname="libmid.so", needed=("libz.so.1",)))
    put(tree, "usr/bin/tool", program("libmid.so", rpath=f"{PREFIX}/opt/z"))
    assert found(tree) == []
    put(tree, "usr/bin/tool", program("libmid.so", runpath=f"{PREFIX}/opt/z"))
    (finding,) = found(tree)
    assert (finding.identifier, finding.path) == ("library-out-of-reach", "usr/lib64/libmid.so")
    assert finding.actual.endswith("(loaded by usr/bin/tool)")


def test_an_object_with_a_runpath_does_not_look_where_its_loaders_rpath_says(tree: Path) -> None:
    put(tree, "opt/z/libq.so.1", elf(soname="libq.so.1"))
    put(tree, "usr/lib64/libmid.so", elf(soname="libmid.so", needed=("libq.so.1",), runpath=f"{PREFIX}/usr/lib64"))
    put(tree, "usr/bin/tool", program("libmid.so", rpath=f"{PREFIX}/opt/z"))
    (finding,) = found(tree)
    assert (finding.identifier, finding.path) == ("library-out-of-reach", "usr/lib64/libmid.so")


def test_a_library_that_is_loaded_already_is_not_searched(tree: Path) -> None:
    put(tree, "opt/z/libq.so.1", elf(soname="libq.so.1"))
    put(tree, "usr/lib64/libmid.so", elf(soname="libmid.so", needed=("libq.so.1",)))
    put(tree, "usr/bin/tool", program("libq.so.1", "libmid.so", runpath="$ORIGIN/../../opt/z"))
    assert found(tree) == []


def test_origin_is_where_the_file_lies_also_through_links(tree: Path) -> None:
    put(tree, "opt/x/bin/tool", program("libq.so.1", runpath="${ORIGIN}/../lib"))
    put(tree, "opt/x/lib/libq.so.1", elf(soname="libq.so.1"))
    (tree / "usr/bin/linked").symlink_to("../../opt/x/bin/tool")
    assert found(tree) == []


def test_a_library_for_another_machine_is_passed_over(tree: Path) -> None:
    put(tree, "opt/z/libz.so.1", elf(machine=I386, bits=32, soname="libz.so.1"))
    put(tree, "usr/bin/tool", program("libz.so.1", runpath=f"{PREFIX}/opt/z"))
    assert [one.identifier for one in found(tree)] == ["elf-wrong-machine"]


def test_the_loaders_own_directories_count_and_no_others(tree: Path) -> None:
    extra = f"/opt/site/lib/\0{PREFIX}/lib64/\0{PREFIX}/trusted/\0".encode()
    put(tree, "lib64/ld-linux-x86-64.so.2", elf(soname="ld-linux-x86-64.so.2", extra=extra))
    assert {one.identifier for one in found(tree)} == {"library-out-of-reach"}
    (tree / "trusted").symlink_to("usr/lib64")
    assert found(tree) == []


def test_a_program_may_ask_for_no_default_directories(tree: Path) -> None:
    put(tree, "usr/bin/tool", elf(interpreter=LOADER, needed=("libz.so.1",), flags_1=0x800))
    assert [one.identifier for one in found(tree)] == ["library-out-of-reach"]


def test_files_of_a_package_that_lack_the_same_library_are_one_finding(tree: Path) -> None:
    for number in range(3):
        put(tree, f"usr/bin/t{number}", program("libgone.so.3"))
    own(tree, "a/many-1", *(f"usr/bin/t{number}" for number in range(3)))
    (finding,) = found(tree)
    assert finding.description.startswith("usr/bin/t0, and 2 more: expected libgone.so.3")
    assert isinstance(finding, kinds.LinkageFinding)
    assert finding.files == ("usr/bin/t0", "usr/bin/t1", "usr/bin/t2")


def test_a_declared_link_to_the_host_and_a_trusted_directory_are_meant(tree: Path) -> None:
    host_link(tree)
    put(tree, "usr/bin/tool", program("libz.so.1", runpath="/opt/site/lib"))
    assert len(found(tree)) == 2
    links = (HostLink(PurePosixPath("/usr/lib/libz.so.1")),)
    assert found(tree, host_links=links, trusted_dirs=("/opt/site/lib",)) == []


def test_neither_links_in_a_circle_nor_devices_stop_it(tree: Path) -> None:
    (tree / "usr/lib64/libloop.so.1").symlink_to("libloop.so.1")
    os.mkfifo(tree / "usr/lib64/libfifo.so.1")
    put(tree, "usr/bin/tool", program("libloop.so.1", "libfifo.so.1", runpath="/" * 5000 + ":" + "$ORIGIN/.." * 50))
    assert {one.identifier for one in found(tree)} >= {"library-missing"}


def test_libraries_that_need_each_other_come_to_an_end(tree: Path) -> None:
    put(tree, "usr/lib64/libx.so", elf(soname="libx.so", needed=("liby.so",)))
    put(tree, "usr/lib64/liby.so", elf(soname="liby.so", needed=("libx.so",)))
    put(tree, "usr/bin/tool", program("libx.so"))
    assert found(tree) == []


def test_nothing_of_the_host_is_looked_at(tree: Path, tmp_path: Path) -> None:
    outside = put(tmp_path, "host/libq.so.1", elf(soname="libq.so.1"))
    put(tree, "usr/bin/tool", program("libq.so.1", runpath=str(outside.parent)))
    assert "library-missing" in [one.identifier for one in found(tree)]


def test_findings_come_in_the_same_order_every_time(tree: Path) -> None:
    for number in range(40):
        put(tree, f"usr/bin/t{number}", program(f"libgone{number}.so", stack=7))
    first = [one.description for one in found(tree)]
    assert len(first) == 80
    assert first == [one.description for one in found(tree)]


# Against the real thing.


def test_a_loaders_directories_are_those_it_names_itself() -> None:
    loader = Path(HOST_LOADER)
    if not loader.exists():
        pytest.skip("this host has no GNU C library for x86_64")
    said = process.run([loader, "--help"], check=False).stdout
    named = [line.split()[0] for line in said.splitlines() if line.endswith("(system search path)")]
    if not named:
        pytest.skip("this host's loader does not tell")
    assert list(system_directories(loader.resolve().read_bytes())) == named


def test_a_cache_is_read_as_ldconfig_reads_it() -> None:
    cache = Path("/etc/ld.so.cache")
    program_path = shutil.which("ldconfig", path="/sbin:/usr/sbin")
    if program_path is None or not cache.exists():
        pytest.skip("this host has no ld.so.cache, or no ldconfig")
    listed = [line.strip() for line in process.run([program_path, "-p"]).stdout.splitlines() if " => " in line]
    ours = sorted(f"{name} {path}" for name, paths in read_cache(cache.read_bytes()).items() for path in paths)
    assert ours == sorted(f"{line.split()[0]} {line.split()[-1]}" for line in listed)


@pytest.mark.parametrize("content", [b"", b"glibc-ld.so.cache1.1", b"glibc-ld.so.cache1.1" + b"\xff" * 200])
def test_a_damaged_cache_holds_nothing(content: bytes) -> None:
    assert read_cache(content) == {}


def test_a_layers_cache_is_used(tree: Path) -> None:
    if shutil.which("ldconfig", path="/sbin:/usr/sbin") is None:
        pytest.skip("this host has no ldconfig")
    put(tree, "opt/z/libq.so.1", elf(soname="libq.so.1"))
    put(tree, "usr/bin/tool", program("libq.so.1"))
    assert [one.identifier for one in found(tree)] == ["library-out-of-reach"]
    put(tree, "etc/ld.so.cache", _cache({"libq.so.1": f"{PREFIX}/opt/z/libq.so.1"}))
    assert found(tree) == []
    put(tree, "etc/ld.so.cache", _cache({"libq.so.1": "/usr/lib/libq.so.1"}))
    assert [one.identifier for one in found(tree)] == ["library-from-host"]


def _cache(entries: dict[str, str]) -> bytes:
    import struct

    start = 48 + 24 * len(entries)
    rows, strings = b"", b""
    for name, path in entries.items():
        at = start + len(strings)
        rows += struct.pack("<iIIIQ", 0x0303, at, at + len(name) + 1, 0, 0)
        strings += f"{name}\0{path}\0".encode()
    return b"glibc-ld.so.cache1.1" + struct.pack("<IIB19x", len(entries), len(strings), 2) + rows + strings


def test_a_context_without_a_target_goes_by_what_most_files_are_for(tree: Path) -> None:
    put(tree, "usr/bin/other", elf(machine=AARCH64, kind=2))
    (finding,) = found(tree, None, None)
    assert (finding.identifier, finding.path) == ("elf-wrong-machine", "usr/bin/other")
