from __future__ import annotations

import os
import shutil
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compatlayer import process
from compatlayer.verify.elf import DamagedElfError, Elf, Machine, parse
from tests.elf_files import AARCH64, I386, PPC64, RISCV64, S390, X86_64, elf

MACHINES = [
    (X86_64, 64, "<"),
    (AARCH64, 64, "<"),
    (RISCV64, 64, "<"),
    (PPC64, 64, "<"),
    (S390, 64, ">"),
    (I386, 32, "<"),
    (20, 32, ">"),
]


def read(content: bytes) -> Elf | None:
    return parse(lambda offset, length: content[offset : offset + length], len(content))


@pytest.mark.parametrize(("machine", "bits", "order"), MACHINES)
def test_everything_a_loader_goes_by_is_read_on_any_architecture(machine: int, bits: int, order: str) -> None:
    content = elf(
        machine=machine,
        bits=bits,
        order=order,
        interpreter="/p/lib/ld.so",
        needed=("libc.so.6", "libz.so.1"),
        runpath="$ORIGIN/../lib:/p/x",
        flags_1=0x800,
        stack=7,
        textrel=True,
    )
    assert read(content) == Elf(
        Machine(machine, bits, order == "<"),
        is_program=True,
        interpreter="/p/lib/ld.so",
        needed=("libc.so.6", "libz.so.1"),
        soname="",
        rpath="",
        runpath="$ORIGIN/../lib:/p/x",
        without_default_directories=True,
        has_executable_stack=True,
        has_text_relocations=True,
    )


def test_a_library_is_no_program_and_a_static_pie_is_one() -> None:
    library, pie, fixed = read(elf(soname="libz.so.1")), read(elf(flags_1=0x08000000)), read(elf(kind=2))
    assert library is not None and pie is not None and fixed is not None  # noqa: PT018 - for mypy
    assert (library.is_program, pie.is_program, fixed.is_program) == (False, True, True)
    assert (library.soname, library.interpreter) == ("libz.so.1", "")


def test_rpath_does_not_count_where_there_is_a_runpath() -> None:
    both, empty = read(elf(rpath="/a", runpath="/b")), read(elf(rpath="/a"))
    assert both is not None and empty is not None  # noqa: PT018 - for mypy
    assert (both.rpath, both.runpath) == ("", "/b")
    assert (empty.rpath, empty.runpath) == ("/a", "")


def test_what_is_no_elf_file_or_never_loaded_is_nothing() -> None:
    assert read(b"") is None
    assert read(b"#!/bin/sh\n" * 20) is None
    assert read(elf(kind=1)) is None
    assert read(elf(kind=4)) is None


def test_debug_information_kept_apart_is_no_damage() -> None:
    content = bytearray(elf(interpreter="/p/ld.so", soname="x"))
    for number in range(2):  # the interpreter's header, then the segment's: content of no bytes
        struct.pack_into("<Q", content, 64 + number * 56 + 32, 0)
    struct.pack_into("<Q", content, 64 + 2 * 56 + 32, 0)
    found = read(bytes(content))
    assert found is not None
    assert (found.interpreter, found.needed) == ("", ())


@pytest.mark.parametrize("length", [4, 20, 51, 63, 64, 100, 200])
def test_a_truncated_file_is_damaged(length: int) -> None:
    with pytest.raises(DamagedElfError):
        read(elf(interpreter="/p/ld.so", needed=("libc.so.6",))[:length])


LIES = {
    "word size": (4, b"\x07"),
    "byte order": (5, b"\x00"),
    "header count": (56, b"\xff\xff"),
    "header size": (54, b"\x01\x00"),
    "headers' place": (32, b"\xff" * 8),
    "no headers": (56, b"\x00\x00"),
    "segment beyond the end": (64 + 8, b"\xff" * 8),
    "dynamic section of exabytes": (64 + 56 + 32, b"\xff" * 7),
    "dynamic section far away": (64 + 56 + 8, b"\xff" * 8),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_in_a_header_is_damage(lie: str) -> None:
    content = bytearray(elf(needed=("libc.so.6",)))
    assert read(bytes(content)) is not None
    offset, value = LIES[lie]
    content[offset : offset + len(value)] = value
    with pytest.raises(DamagedElfError):
        read(bytes(content))


@pytest.mark.parametrize("tag", [1, 5, 14, 15, 29])
def test_a_name_outside_the_file_is_damage(tag: int) -> None:
    content = bytearray(elf(needed=("a",), soname="b", rpath="c") if tag != 29 else elf(runpath="c"))
    start = struct.unpack_from("<Q", content, 64 + 56 + 8)[0]
    at = next(at for at in range(start, len(content), 16) if struct.unpack_from("<Q", content, at)[0] == tag)
    struct.pack_into("<Q", content, at + 8, 1 << 63)
    with pytest.raises(DamagedElfError):
        read(bytes(content))


@given(st.data())
@settings(max_examples=300, deadline=1000)
def test_no_sequence_of_bytes_crashes_or_keeps_the_reader(data: st.DataObject) -> None:
    content = bytearray(elf(interpreter="/p/ld.so", needed=("libc.so.6",), rpath="/x", bits=data.draw(st.sampled_from([32, 64]))))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(4, len(content) - 9))
        content[at : at + 8] = data.draw(st.binary(min_size=1, max_size=8)).ljust(8, b"\xff")
    cut = data.draw(st.integers(0, len(content)))
    began = time.monotonic()
    try:
        read(bytes(content[:cut]))
    except DamagedElfError as damage:
        assert str(damage)
    assert time.monotonic() - began < 1


@pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf (binutils) is not installed")
def test_our_test_files_are_what_binutils_takes_for_elf_files(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(elf(interpreter="/p/ld.so", needed=("libz.so.1",), runpath="/p/lib", machine=AARCH64))
    said = process.run(["readelf", "-l", "-d", tmp_path / "f"]).stdout
    assert "Shared library: [libz.so.1]" in said
    assert "Library runpath: [/p/lib]" in said
    assert "[Requesting program interpreter: /p/ld.so]" in said


@pytest.mark.skipif(shutil.which("scanelf") is None, reason="scanelf (pax-utils) is not installed")
def test_it_reads_of_this_machines_programs_what_scanelf_reads() -> None:
    directory = Path("/usr/bin")
    said = process.run(["scanelf", "-B", "-F", "%F|%n|%i|%S#F", "-R", directory], check=False).stdout.splitlines()
    compared = 0
    for line in said:
        parts = line.split("|")
        if len(parts) != 4 or not Path(parts[0]).is_file():
            continue
        with open(parts[0], "rb") as file:
            ours = parse(lambda offset, length: os.pread(file.fileno(), length, offset), os.stat(parts[0]).st_size)
        if ours is None:
            continue
        needed, interpreter = (part.strip() if part.strip(" -") else "" for part in parts[1:3])
        assert (",".join(ours.needed), ours.interpreter) == (needed, interpreter)
        compared += 1
    assert compared > 20, said[:3]
