"""Small ELF files of any architecture, for tests: headers as a linker writes them, and no code."""

from __future__ import annotations

import struct
from pathlib import Path

X86_64, AARCH64, RISCV64, PPC64, I386, S390 = 62, 183, 243, 21, 3, 22
BASE = 0x10000  # where the one segment is loaded


def elf(  # noqa: C901 - one line per thing a file may have
    *,
    machine: int = X86_64,
    bits: int = 64,
    order: str = "<",
    kind: int = 3,
    interpreter: str = "",
    needed: tuple[str, ...] = (),
    soname: str = "",
    rpath: str | None = None,
    runpath: str | None = None,
    flags_1: int = 0,
    stack: int | None = 6,
    textrel: bool = False,
    extra: bytes = b"",
) -> bytes:
    """One file: a header, program headers, the strings and the dynamic section in one PT_LOAD; ``extra`` is its content."""
    wide = bits == 64
    header_size, program_size, pair = (64, 56, struct.Struct(f"{order}QQ")) if wide else (52, 32, struct.Struct(f"{order}II"))
    strings = b"\0"
    entries: list[tuple[int, int]] = []

    def name(tag: int, text: str) -> None:
        nonlocal strings
        entries.append((tag, len(strings)))
        strings += text.encode() + b"\0"

    for one in needed:
        name(1, one)
    if soname:
        name(14, soname)
    if rpath is not None:
        name(15, rpath)
    if runpath is not None:
        name(29, runpath)
    count = 2 + bool(interpreter) + (stack is not None)
    at = header_size + program_size * count
    raw_interpreter = interpreter.encode() + b"\0" if interpreter else b""
    strings_at = at + len(raw_interpreter)
    dynamic_at = (strings_at + len(strings) + 15) // 16 * 16
    entries += [(5, BASE + strings_at), (10, len(strings))]
    if textrel:
        entries.append((22, 0))
    if flags_1:
        entries.append((0x6FFFFFFB, flags_1))
    dynamic = b"".join(pair.pack(*entry) for entry in (*entries, (0, 0)))
    size = dynamic_at + len(dynamic) + len(extra)

    def program(what: int, offset: int, length: int, flags: int = 4) -> bytes:
        if wide:
            return struct.pack(f"{order}IIQQQQQQ", what, flags, offset, BASE + offset, BASE + offset, length, length, 8)
        return struct.pack(f"{order}IIIIIIII", what, offset, BASE + offset, BASE + offset, length, length, flags, 8)

    headers = [program(1, 0, size, 5), program(2, dynamic_at, len(dynamic), 6)]
    if interpreter:
        headers.insert(0, program(3, at, len(raw_interpreter)))
    if stack is not None:
        headers.append(program(0x6474E551, 0, 0, stack))
    identity = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    layout = f"{order}HHIQQQIHHHHHH" if wide else f"{order}HHIIIIIHHHHHH"
    header = identity + struct.pack(layout, kind, machine, 1, 0, header_size, 0, 0, header_size, program_size, count, 0, 0, 0)
    body = header + b"".join(headers) + raw_interpreter + strings
    return body.ljust(dynamic_at, b"\0") + dynamic + extra


def put(tree: Path, path: str, content: bytes) -> Path:
    """Write a file of a tree, its directories included."""
    file = tree / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file
