"""The check ``linkage``: every program and library is for this target, and finds all it needs where this layer's loader looks.

How loaders search is in ``elf.loader``, what an ELF file says in ``elf.headers``. A layer with a C library of its own is
*closed*: nothing may come from the host. One that was built on the host's (engine ``guest``, or a tree in which no program
names a loader inside) takes it from there, and what the host must have is said.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import NamedTuple

from compatlayer.declaration.model import EngineName
from compatlayer.findings import Finding
from compatlayer.verify.elf import MAGIC, DamagedElfError, Elf, Libraries, Load, Machine, Outcome, findings, parse
from compatlayer.verify.elf.headers import MACHINES
from compatlayer.verify.elf.loader import Loader, read_cache, system_directories
from compatlayer.verify.reading import Seen, Visitor, by_path
from compatlayer.verify.reading.resolver import Resolver, Where, within
from compatlayer.verify.registry import Context, check

# Enough for the headers of nearly every file; what lies elsewhere is read from where it lies.
_HEAD_BYTES = 4096
_SMALLEST_BYTES = 52  # a 32-bit header
_MAX_LOADER_BYTES = 1 << 24
# Debug information kept apart has the headers of its program, but is never loaded.
_DEBUG = "usr/lib/debug/"
# What a GNU/Linux host has wherever programs built on its C library run at all: that library, and the compiler's.
_HOST_LIBRARIES = (
    "libc", "libm", "libdl", "libpthread", "librt", "libutil", "libresolv", "libnsl", "libanl", "libmvec", "libcrypt",
    "libgcc_s", "libstdc++", "ld-linux", "ld-linux-x86-64", "ld-linux-aarch64", "ld-linux-riscv64-lp64d", "ld64",
)  # fmt: skip
_HOST_LOADER_DIRECTORIES = ("/lib", "/lib64")
_PUBLIC = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - anybody may write there, which is the point
# Where no GNU stack header is the same as asking for an executable stack: the kernel's and glibc's older ports.
_EXECUTABLE_BY_DEFAULT = (3, 40, 62, 8, 2, 20)


class ElfSeen(NamedTuple):
    """What a visitor tells of an ELF file: where, whose, and its headers or what is wrong with them."""

    path: str
    package: str
    elf: Elf | str


class LinkSeen(NamedTuple):
    """A link whose name could be a library's."""

    path: str


class LinkageVisitor(Visitor):
    """Collects the headers of every ELF file, and the names of links that may lead to one."""

    reads = True
    head_bytes = _HEAD_BYTES

    def __init__(self) -> None:
        super().__init__()
        self._seen: Seen | None = None

    def entry(self, seen: Seen) -> None:
        if seen.target and ".so" in seen.name:
            self.found.append(LinkSeen(seen.path))

    def wants(self, seen: Seen) -> bool:
        return seen.status.st_size >= _SMALLEST_BYTES and not seen.path.startswith(_DEBUG)

    def content(self, seen: Seen, chunk: bytes, offset: int, *, is_last: bool) -> None:  # noqa: ARG002 - the head is enough
        if offset or not chunk.startswith(MAGIC):
            return
        size = seen.status.st_size

        def read(start: int, length: int) -> bytes:
            if start + length <= len(chunk):
                return chunk[start : start + length]
            return os.pread(seen.descriptor, length, start) if start < size else b""

        try:
            elf = parse(read, size)
        except DamagedElfError as damage:
            self.found.append(ElfSeen(seen.path, seen.package, str(damage)))
        else:
            if elf is not None:
                self.found.append(ElfSeen(seen.path, seen.package, elf))


@check("linkage", visitor=lambda _context: LinkageVisitor())
def linkage(context: Context) -> Iterator[Finding]:
    """Every program and library is for this target, and finds what it needs inside the layer."""
    reports = context.pass_.reports("linkage")
    files = sorted((one for one in reports if isinstance(one, ElfSeen)), key=lambda one: by_path(one.path))
    links = [one.path for one in reports if isinstance(one, LinkSeen)]
    with Resolver(context.prefix_tree, context.prefix) as resolver:
        yield from context.in_order(_merged(_Linkage(context, files, links, resolver).findings()))


class _Linkage:
    def __init__(self, context: Context, files: Sequence[ElfSeen], links: Sequence[str], resolver: Resolver) -> None:
        self._context = context
        self._resolver = resolver
        self._prefix = context.prefix
        self._files = files
        self._objects = {one.path: one.elf for one in files if isinstance(one.elf, Elf)}
        self._owner = {one.path: one.package for one in files}
        self._is_closed = self._closed()
        loader = self._loader() if self._is_closed else Loader((), {})
        self._libraries = Libraries(self._objects, links, self._prefix, loader, self._follow)
        # Libraries that a package has installed, and that somebody has removed since.
        self._gone = {one.path.rpartition("/")[2]: one for one in context.pass_.absent if ".so" in one.path}
        # soname without its version → the libraries that have it, to tell a replaced library from one that never was.
        self._stems: dict[str, list[str]] = {}
        for path, elf in self._objects.items():
            if elf.soname:
                self._stems.setdefault(_stem(elf.soname), []).append(path)

    def findings(self) -> Iterator[Finding]:
        """All of them, in no particular order, one for each file."""
        machine = self._machine()
        for one in self._files:
            if isinstance(one.elf, str):
                yield findings.ElfDamaged(package=one.package, path=one.path, expected="a whole ELF file", actual=one.elf)
            else:
                yield from self._of_file(one, one.elf, machine)
        reported = set()
        for load in self._libraries.unmet():
            if (load.object, load.name) not in reported:
                reported.add((load.object, load.name))
                yield from self._unmet(load)

    def _of_file(self, one: ElfSeen, elf: Elf, machine: Machine | None) -> Iterator[Finding]:
        if machine is not None and elf.machine != machine:
            yield findings.ElfWrongMachine(package=one.package, path=one.path, expected=str(machine), actual=str(elf.machine))
        if elf.interpreter:
            yield from self._interpreter(one, elf)
        yield from self._search_paths(one, elf)
        if elf.has_text_relocations:
            yield findings.TextRelocations(package=one.package, path=one.path, expected="none", actual="text relocations")
        if elf.has_executable_stack or (elf.has_executable_stack is None and elf.machine.number in _EXECUTABLE_BY_DEFAULT):
            actual = "an executable stack" if elf.has_executable_stack else "no word about the stack, which makes it executable"
            yield findings.ExecutableStack(package=one.package, path=one.path, expected="a plain stack", actual=actual)

    def _interpreter(self, one: ElfSeen, elf: Elf) -> Iterator[Finding]:
        inside = within(elf.interpreter, self._prefix)
        if inside is not None:
            end = self._follow(inside)
            there = self._objects.get(end[0]) if end and not end[1] else None
            if there is None or there.machine != elf.machine:
                said = "nothing there" if end is None else "a loader for another machine" if there else "no loader there"
                yield findings.ElfInterpreterMissing(
                    package=one.package, path=one.path, expected=elf.interpreter, actual=said, subject=elf.interpreter
                )
        elif self._is_closed or str(PurePosixPath(elf.interpreter).parent) not in _HOST_LOADER_DIRECTORIES:
            yield findings.ElfInterpreterOutside(
                package=one.package,
                path=one.path,
                expected=f"a loader below {self._prefix}" if self._is_closed else "the host's loader in /lib or /lib64",
                actual=elf.interpreter,
                subject=elf.interpreter,
            )

    def _search_paths(self, one: ElfSeen, elf: Elf) -> Iterator[Finding]:
        for kind, search_path in (("RPATH", elf.rpath), ("RUNPATH", elf.runpath)):
            if not search_path:
                continue
            for entry in search_path.split(":"):
                actual = f"{entry or 'an empty entry'} in its {kind}"
                if not entry.startswith(("/", "$ORIGIN", "${ORIGIN}")) or _is_public(entry, self._prefix):
                    yield findings.SearchPathUnsafe(
                        package=one.package, path=one.path, expected="directories of the layer", actual=actual, subject=entry
                    )
                elif self._is_closed and self._leads_out(entry, one.path):
                    yield findings.SearchPathOutside(
                        package=one.package,
                        path=one.path,
                        expected=f"below {self._prefix}",
                        actual=actual,
                        subject=entry,
                    )

    def _leads_out(self, entry: str, path: str) -> bool:
        origin = str(PurePosixPath(self._prefix, path).parent)
        place = os.path.normpath(entry.replace("${ORIGIN}", origin).replace("$ORIGIN", origin))
        trusted = (directory.rstrip("/") for directory in self._context.trusted_dirs)
        return within(place, self._prefix) is None and place not in trusted

    def _unmet(self, load: Load) -> Iterator[Finding]:
        elsewhere = [path for path in self._libraries.named(load.name) if self._is_for(path, load.object)]
        by = f" (loaded by {load.program})" if load.program not in ("", load.object) else ""
        kind: type[findings.LinkageFinding]
        if load.found.outcome is Outcome.OUTSIDE:
            if not self._is_closed or self._is_declared_link(load):
                return
            kind, actual = findings.LibraryFromHost, f"{load.found.path}, which is the host's"
        elif elsewhere:
            kind = findings.LibraryOutOfReach if load.program else findings.PluginLibraryOutOfReach
            actual = f"{elsewhere[0]}, where the loader does not look{by}"
        elif gone := self._gone.get(load.name):
            kind, actual = findings.LibraryMissing, f"{gone.path} of {gone.record.package} to be gone{by}"
        elif replacing := [path for path in self._stems.get(_stem(load.name), ()) if self._is_for(path, load.object)]:
            # On a guest the host may still have it, but nobody who built this meant that.
            kind, newest = findings.SonameReplaced, max(replacing, key=by_path)
            owner = self._owner.get(newest) or newest
            actual = f"{self._objects[newest].soname} of {owner}"
        elif self._is_closed:
            kind, actual = findings.LibraryMissing, f"nothing of that name in the layer{by}"
        elif load.name.partition(".so")[0] in _HOST_LIBRARIES:
            return
        else:
            kind, actual = findings.LibraryLeftToHost, f"nothing of that name in the layer{by}"
        yield kind(
            package=self._owner.get(load.object, ""), path=load.object, expected=load.name, actual=actual, subject=load.name
        )

    def _is_for(self, path: str, needing: str) -> bool:
        elf = self._objects.get(path)
        if elf is None and (end := self._follow(path)):
            elf = self._objects.get(end[0])
        return elf is not None and elf.machine == self._objects[needing].machine

    def _is_declared_link(self, load: Load) -> bool:
        declared = {str(link.path) for link in self._context.host_links} | {link.target for link in self._context.host_links}
        return load.found.path in declared

    def _closed(self) -> bool:
        engine = self._context.engine
        if engine is None or engine is EngineName.NATIVE:
            return any(within(elf.interpreter, self._prefix) is not None for elf in self._objects.values() if elf.interpreter)
        return engine is not EngineName.GUEST

    def _machine(self) -> Machine | None:
        """The target's, or without one what most files are for."""
        if self._context.part is not None:
            return MACHINES.get(self._context.part.target.arch)
        most = Counter(elf.machine for elf in self._objects.values()).most_common(1)
        return most[0][0] if most else None

    def _loader(self) -> Loader:
        """What the layer's loader says of itself; where it says nothing, where such layers keep their libraries."""
        names = Counter(elf.interpreter for elf in self._objects.values() if elf.interpreter)
        directories: tuple[str, ...] = ()
        for name, _ in names.most_common():
            inside = within(name, self._prefix)
            end = self._follow(inside) if inside else None
            if end and not end[1] and (directories := system_directories(self._content(end[0]))):
                break
        if not directories:
            usual = (f"{self._prefix}/{name}" for name in ("lib64", "usr/lib64", "lib", "usr/lib"))
            directories = (*(entry.rstrip("/") for entry in self._context.trusted_dirs), *usual)
        return Loader(directories, read_cache(self._content("etc/ld.so.cache")))

    def _content(self, path: str) -> bytes:
        return self._resolver.read(path, _MAX_LOADER_BYTES) or b""

    def _follow(self, path: str) -> tuple[str, str] | None:
        end = self._resolver.follow(path)
        if end.where is Where.INSIDE:
            return end.path, ""
        return ("", end.path) if end.where in (Where.OUTSIDE, Where.VARIANT) else None


def _merged(found: Iterator[Finding]) -> Iterator[Finding]:
    """One finding for a package's files that lack the same thing: it is one cause, and one remedy."""
    groups: dict[tuple[object, ...], findings.LinkageFinding] = {}
    for one in found:
        assert isinstance(one, findings.LinkageFinding)
        key = (type(one), one.package or one.path, one.subject or one.path)
        first = groups.get(key)
        groups[key] = replace(first, files=(*first.files, one.path)) if first else replace(one, files=(one.path,))
    yield from groups.values()


def _stem(soname: str) -> str:
    """``libz.so.1`` → ``libz.so``; ``libreadline-8.2.so`` stays."""
    name, separator, _ = soname.partition(".so")
    return f"{name}{separator}"


def _is_public(entry: str, prefix: str) -> bool:
    return within(entry, prefix) is None and any(entry == place or entry.startswith(f"{place}/") for place in _PUBLIC)
