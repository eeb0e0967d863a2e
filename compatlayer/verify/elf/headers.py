"""One ELF file's headers: machine, interpreter, needed libraries, search paths, stack.

Sources: the System V ABI, chapters "Object Files" and "Program Loading and Dynamic Linking"
(https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html), and elf(5) for GNU's additions.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

MAGIC = b"\x7fELF"
# More than any linker writes (a dozen program headers, a few hundred dynamic entries), less than would cost us memory.
_MAX_PROGRAM_HEADERS = 1024
_MAX_DYNAMIC_BYTES = 1 << 20
_MAX_STRING_BYTES = 1 << 14
_NAME_BYTES = 256  # a first guess: sonames are short, search paths sometimes not

_EXECUTABLE, _SHARED = 2, 3  # e_type: ET_EXEC, ET_DYN
_LOAD, _DYNAMIC, _INTERPRETER, _STACK = 1, 2, 3, 0x6474E551  # p_type
_PF_X = 1
_NULL, _NEEDED, _STRTAB, _SONAME, _RPATH, _TEXTREL, _RUNPATH, _FLAGS, _FLAGS_1 = 0, 1, 5, 14, 15, 22, 29, 30, 0x6FFFFFFB
_DF_TEXTREL, _DF_1_NODEFLIB, _DF_1_PIE = 0x4, 0x800, 0x08000000


class DamagedElfError(Exception):
    """A file that begins as an ELF file, but cannot be one; the text says why."""


class Machine(NamedTuple):
    """What a file is for: ``e_machine``, word size and byte order. Only files that agree can be in one process."""

    number: int
    bits: int
    is_little_endian: bool

    def __str__(self) -> str:
        name = NAMES.get(self.number, f"machine {self.number}")
        return f"{name}, {self.bits} bit, {'little' if self.is_little_endian else 'big'} endian"


NAMES: Mapping[int, str] = {
    2: "SPARC", 3: "i386", 8: "MIPS", 20: "PowerPC", 21: "PowerPC 64", 22: "S/390", 40: "ARM", 62: "x86_64", 183: "aarch64",
    243: "RISC-V", 247: "BPF", 258: "LoongArch",
}  # fmt: skip
MACHINES: Mapping[str, Machine] = {
    "x86_64": Machine(62, 64, True),  # noqa: FBT003 - little endian
    "aarch64": Machine(183, 64, True),  # noqa: FBT003
    "riscv64": Machine(243, 64, True),  # noqa: FBT003
    "ppc64le": Machine(21, 64, True),  # noqa: FBT003
}


class Elf(NamedTuple):
    """What the loader goes by. ``rpath`` and ``runpath`` are as written, the former empty where the latter is given: the loader
    then ignores it. ``has_executable_stack`` is None where the file does not say, and the kernel's default holds.
    """

    machine: Machine
    is_program: bool
    interpreter: str
    needed: tuple[str, ...]
    soname: str
    rpath: str
    runpath: str
    without_default_directories: bool
    has_executable_stack: bool | None
    has_text_relocations: bool


class _Layout(NamedTuple):
    """How the numbers of one word size and byte order are laid out; ``load`` are indexes into a program header."""

    header: struct.Struct
    program: struct.Struct
    dynamic: struct.Struct
    flags: int
    offset: int
    address: int
    file_size: int


def _layout(order: str, bits: int) -> _Layout:
    if bits == 64:
        return _Layout(
            struct.Struct(f"{order}HHIQQQIHHH"), struct.Struct(f"{order}IIQQQQQQ"), struct.Struct(f"{order}QQ"), 1, 2, 3, 5
        )
    return _Layout(
        struct.Struct(f"{order}HHIIIIIHHH"), struct.Struct(f"{order}IIIIIIII"), struct.Struct(f"{order}II"), 6, 1, 2, 4
    )


_LAYOUTS = {(bits, order): _layout(order, bits) for bits in (32, 64) for order in "<>"}


def parse(read: Callable[[int, int], bytes], size_bytes: int) -> Elf | None:
    """Read the headers of a file of ``size_bytes`` through ``read(offset, length)``, which gives less, or nothing, where the file
    ends; offsets are whatever the file says.

    None for what is no ELF file, and for one that no loader takes (object files, core dumps). Raises ``DamagedElfError``, and
    ``OSError`` when ``read`` does.
    """
    identity = read(0, 64)
    if not identity.startswith(MAGIC):
        return None
    if len(identity) < 52 or identity[4] not in (1, 2) or identity[5] not in (1, 2):
        raise DamagedElfError("its first bytes are no ELF header")
    bits = 64 if identity[4] == 2 else 32
    little = identity[5] == 1
    layout = _LAYOUTS[bits, "<" if little else ">"]
    if len(identity) < 16 + layout.header.size:
        raise DamagedElfError("it ends in its header")
    kind, machine, _, _, table, _, _, _, entry_size, count = layout.header.unpack_from(identity, 16)
    if kind not in (_EXECUTABLE, _SHARED):
        return None
    headers = _program_headers(read, layout, table, entry_size, count)
    segments = _Segments(read, layout, headers, size_bytes)
    return segments.elf(Machine(machine, bits, little), is_executable=kind == _EXECUTABLE)


def _program_headers(
    read: Callable[[int, int], bytes], layout: _Layout, table: int, entry_size: int, count: int
) -> list[tuple[int, ...]]:
    size = layout.program.size
    if not count:
        raise DamagedElfError("it has no program headers")
    if entry_size != size or count > _MAX_PROGRAM_HEADERS:
        raise DamagedElfError(f"{count} program headers of {entry_size} bytes are not what a linker writes")
    raw = read(table, size * count)
    if len(raw) < size * count:
        raise DamagedElfError("it ends before its program headers do")
    return list(layout.program.iter_unpack(raw))


class _Segments:
    def __init__(
        self, read: Callable[[int, int], bytes], layout: _Layout, headers: list[tuple[int, ...]], size_bytes: int
    ) -> None:
        self._read = read
        self._layout = layout
        self._size_bytes = size_bytes
        self._headers = headers
        # Where an address lies in the file: (first address, end, offset - address).
        self._loads: list[tuple[int, int, int]] = []

    def elf(self, machine: Machine, *, is_executable: bool) -> Elf:
        """Put together what the segments say."""
        layout = self._layout
        interpreter, stack = "", None
        dynamic: tuple[int, ...] | None = None
        self._find_loads()
        for header in self._headers:
            kind = header[0]
            if kind == _DYNAMIC:
                dynamic = header
            elif kind == _INTERPRETER:
                interpreter = self._interpreter(header[layout.offset], header[layout.file_size])
            elif kind == _STACK:
                stack = bool(header[layout.flags] & _PF_X)
        entries = self._dynamic(dynamic) if dynamic else []
        single = dict(reversed(entries))
        strings = _Strings(self, single.get(_STRTAB))
        flags = single.get(_FLAGS_1, 0)
        runpath = strings.at(single.get(_RUNPATH))
        return Elf(
            machine,
            is_executable or bool(interpreter and not single.get(_SONAME)) or bool(flags & _DF_1_PIE),
            interpreter,
            tuple([strings.at(value) for tag, value in entries if tag == _NEEDED]),
            strings.at(single.get(_SONAME)),
            "" if _RUNPATH in single else strings.at(single.get(_RPATH)),
            runpath,
            bool(flags & _DF_1_NODEFLIB),
            stack,
            _TEXTREL in single or bool(single.get(_FLAGS, 0) & _DF_TEXTREL),
        )

    def _find_loads(self) -> None:
        layout = self._layout
        for header in self._headers:
            if header[0] == _LOAD:
                offset, length, address = header[layout.offset], header[layout.file_size], header[layout.address]
                if offset + length > self._size_bytes:
                    raise DamagedElfError(f"it is cut short: {self._size_bytes} bytes of at least {offset + length}")
                self._loads.append((address, address + length, offset - address))

    def _interpreter(self, offset: int, length: int) -> str:
        if not length:
            return ""  # debug information kept apart: the headers of its program, without the content
        if length > 4096:  # PATH_MAX
            raise DamagedElfError(f"the name of its interpreter is {length} bytes long")
        raw = self._read(offset, length)
        name, end, _ = raw.partition(b"\0")
        if not end or not name:
            raise DamagedElfError("the name of its interpreter does not end")
        return os.fsdecode(name)

    def _dynamic(self, header: tuple[int, ...]) -> list[tuple[int, int]]:
        """Tags and values up to the one that ends them."""
        layout = self._layout
        length = header[layout.file_size]
        if length > _MAX_DYNAMIC_BYTES:
            raise DamagedElfError(f"its dynamic section has {length} bytes")
        raw = self._read(header[layout.offset], length)
        if len(raw) < length:
            raise DamagedElfError("it ends before its dynamic section does")
        entries = []
        for tag, value in layout.dynamic.iter_unpack(raw[: len(raw) - len(raw) % layout.dynamic.size]):
            if tag == _NULL:
                break
            entries.append((tag, value))
        return entries

    def file_offset(self, address: int) -> int:
        """Where in the file the byte lies that is loaded at ``address``."""
        for first, end, shift in self._loads:
            if first <= address < end:
                return address + shift
        raise DamagedElfError(f"address {address:#x} lies in no segment of the file")

    def text(self, offset: int) -> str:
        """The string at ``offset`` of the file."""
        for length in (_NAME_BYTES, _MAX_STRING_BYTES):
            text, end, _ = self._read(offset, length).partition(b"\0")
            if end:
                return os.fsdecode(text)
        raise DamagedElfError("a name in its dynamic section does not end")


class _Strings:
    def __init__(self, segments: _Segments, table: int | None) -> None:
        self._segments = segments
        self._table = table
        self._offset: int | None = None

    def at(self, index: int | None) -> str:
        """The string at ``index`` of the table; empty where the file has no such entry."""
        if index is None:
            return ""
        if self._table is None:
            raise DamagedElfError("its dynamic section names libraries, but no table of names")
        if self._offset is None:
            self._offset = self._segments.file_offset(self._table)
        return self._segments.text(self._offset + index)
