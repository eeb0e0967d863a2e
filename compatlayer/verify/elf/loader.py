"""Where a dynamic loader would find what the programs and libraries of a tree need.

Follows ld.so(8) of the GNU C library: a needed name that is loaded already is not searched; else come RPATH of the object that
needs it and of those that loaded it (an object with RUNPATH has none), RUNPATH of the object alone, the loader's cache, and the
directories that are compiled into the loader. LD_LIBRARY_PATH is nobody's promise, so it is left out, as are the subdirectories
``glibc-hwcaps``, which only hold faster copies. A library for another machine is passed over, as the loader does.
"""

from __future__ import annotations

import enum
import re
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from compatlayer.tree.beneath import ROOT
from compatlayer.verify.elf.headers import Elf, Machine

# Paths with a slash at their end, each closed by a zero byte, one after the other: how glibc keeps its system directories.
_DIRECTORIES = re.compile(rb"(?:/[^\0\n]{0,512}/\0)+")
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM))")


class Outcome(enum.Enum):
    """How the search for one library ends."""

    FOUND = "found"
    ABSENT = "absent"  # in none of the directories that are searched
    OUTSIDE = "outside"  # a link, or an absolute name, that leads out of the prefix


class Found(NamedTuple):
    """The end of a search: the library's path in the tree, or where it leads; ``place`` is the directory it was found in."""

    outcome: Outcome
    path: str = ""
    place: str = ""


class Load(NamedTuple):
    """One need that is not met: who needs what, which program loads it so (empty: none, it is a plugin), and how it ends."""

    object: str
    name: str
    program: str
    found: Found


@dataclass(frozen=True, slots=True)
class Loader:
    """What a loader knows beside the files: absolute directories, in its order, and its cache (name → absolute paths)."""

    directories: tuple[str, ...]
    cache: Mapping[str, Sequence[str]]


class _Object(NamedTuple):
    """An object in a process: its tree path, the absolute directory it was found in, and the RPATH its loaders leave to it."""

    path: str
    origin: str
    inherited: tuple[str, ...]


class Libraries:
    """The ELF files of a tree (by real tree path), the links to them, and the search among them.

    ``follow`` gives the end of a tree path: (tree path, empty), ("", where it leads outside), or None for nothing.
    """

    def __init__(
        self,
        objects: Mapping[str, Elf],
        links: Sequence[str],
        prefix: str,
        loader: Loader,
        follow: Callable[[str], tuple[str, str] | None],
    ) -> None:
        self._objects = objects
        self._prefix = prefix.rstrip("/")
        self._loader = loader
        self._follow = follow
        self._directories: dict[str, str | None] = {}
        self._searched: dict[tuple[str, tuple[str, ...], Machine, bool], Found] = {}
        # Where a name lies: tree directory → path. Links are followed when somebody asks for their name.
        self._by_name: dict[str, dict[str, str]] = {}
        for path in (*links, *objects):
            directory, _, name = path.rpartition("/")
            self._by_name.setdefault(name, {})[directory or ROOT] = path

    def named(self, name: str) -> list[str]:
        """Every path in the tree with that last name, in order, links included."""
        return sorted(self._by_name.get(name, {}).values())

    def unmet(self) -> Iterator[Load]:
        """Every need that is not met: of each program with all it loads, then of each library that no program loads."""
        reached: set[str] = set()
        for path, elf in sorted(self._objects.items()):
            if elf.is_program:
                yield from self._process(path, path, reached)
        for path in sorted(self._objects.keys() - reached):
            yield from self._process(path, "", set())

    def _process(self, root: str, program: str, reached: set[str]) -> Iterator[Load]:
        """Load ``root`` and all it needs, breadth first, as the loader does."""
        start = _Object(root, self._origin(root), ())
        queue, loaded = deque([start]), {root}
        names = {self._objects[root].soname}
        reached.add(root)
        while queue:
            one = queue.popleft()
            elf = self._objects[one.path]
            own = self._expanded(elf.rpath, one.origin, elf)
            for name in elf.needed:
                if name in names:
                    continue
                found = self._find(name, one, elf, own)
                if found.outcome is not Outcome.FOUND:
                    if one.path == root or program:
                        yield Load(one.path, name, program, found)
                    continue
                names.add(name)
                if found.path in loaded:
                    continue
                loaded.add(found.path)
                reached.add(found.path)
                names.add(self._objects[found.path].soname)
                queue.append(_Object(found.path, found.place, own + one.inherited))

    def _find(self, name: str, one: _Object, elf: Elf, own: tuple[str, ...]) -> Found:
        if "/" in name:
            return self._named(_expand(name, one.origin, elf), elf.machine) or Found(Outcome.ABSENT)
        before = self._expanded(elf.runpath, one.origin, elf) if elf.runpath else own + one.inherited
        key = (name, before, elf.machine, elf.without_default_directories)
        found = self._searched.get(key)
        if found is None:
            found = self._searched[key] = self._search(*key)
        return found

    def _search(self, name: str, before: tuple[str, ...], machine: Machine, without_defaults: bool) -> Found:
        ends = (self._at(f"{directory}/{name}", machine) for directory in before)
        cached = (self._named(path, machine) for path in self._loader.cache.get(name, ()))
        last = () if without_defaults else self._loader.directories
        defaults = (self._at(f"{directory}/{name}", machine) for directory in last)
        for attempts in (ends, cached, defaults):
            for found in attempts:
                if found is not None:
                    return found
        return Found(Outcome.ABSENT)

    def _named(self, path: str, machine: Machine) -> Found | None:
        """The library that a file or the cache calls by its whole path: what lies on the host is not looked at, but meant."""
        if path.startswith("/") and not path.startswith(f"{self._prefix}/"):
            return Found(Outcome.OUTSIDE, path)
        return self._at(path, machine)

    def _at(self, path: str, machine: Machine) -> Found | None:
        """The library at an absolute path; None where the loader would go on searching."""
        place, _, name = path.rpartition("/")
        within = self._below(place)
        if within is None:
            return None
        there = self._by_name.get(name, {}).get(within)
        if there is None:
            return None
        if there not in self._objects:
            end = self._follow(there)
            if end is None:
                return None
            there, outside = end
            if outside:
                return Found(Outcome.OUTSIDE, outside, place)
        elf = self._objects.get(there)
        return Found(Outcome.FOUND, there, place) if elf is not None and elf.machine == machine else None

    def _below(self, directory: str) -> str | None:
        """The real tree directory that an absolute one leads to; None outside the prefix, and where there is none."""
        if directory not in self._directories:
            self._directories[directory] = self._real(directory)
        return self._directories[directory]

    def _real(self, directory: str) -> str | None:
        if directory != self._prefix and not directory.startswith(f"{self._prefix}/"):
            return None
        end = self._follow(directory[len(self._prefix) + 1 :] or ROOT)
        return end[0] if end is not None and not end[1] else None

    def _origin(self, path: str) -> str:
        directory = path.rpartition("/")[0]
        return f"{self._prefix}/{directory}" if directory else self._prefix

    def _expanded(self, search_path: str, origin: str, elf: Elf) -> tuple[str, ...]:
        return tuple([_expand(entry, origin, elf) for entry in search_path.split(":") if entry]) if search_path else ()


def _expand(entry: str, origin: str, elf: Elf) -> str:
    """An entry of a search path with its tokens replaced (ld.so(8), "Dynamic string tokens")."""
    if "$" in entry:
        lib = "lib64" if elf.machine.bits == 64 else "lib"
        values = {"ORIGIN": origin, "LIB": lib, "PLATFORM": _PLATFORMS.get(elf.machine.number, "")}
        entry = _TOKEN.sub(lambda token: values[token[1] or token[2]], entry)
    return entry.rstrip("/") or "/"


_PLATFORMS = {62: "x86_64", 183: "aarch64"}


def system_directories(content: bytes) -> tuple[str, ...]:
    """The directories compiled into a GNU C library's loader, trusted ones first; none where it is another's, or holds none."""
    runs = [match.group().split(b"\0")[:-1] for match in _DIRECTORIES.finditer(content)]
    runs = [run for run in runs if any(b"/lib" in directory for directory in run)]
    if not runs:
        return ()
    longest = max(runs, key=len)
    return tuple([directory.decode("utf-8", "surrogateescape").rstrip("/") for directory in longest])


def read_cache(content: bytes) -> dict[str, list[str]]:
    """``ld.so.cache`` as glibc 2.2 and later write it: name → absolute paths, in its order; empty for anything else.

    The layout is ``struct cache_file_new`` of glibc's ``sysdeps/generic/dl-cache.h``: 48 bytes, then 24 for each entry, of which
    the second and third number are offsets of strings from the beginning.
    """
    start = content.find(_CACHE_MAGIC)
    if start < 0 or len(content) < start + 48:
        return {}
    content = content[start:]
    order = ">" if content[28] & 3 == 3 else "<"
    (count,) = struct.unpack_from(f"{order}I", content, 20)
    entry = struct.Struct(f"{order}iIIIQ")
    found: dict[str, list[str]] = {}
    for number in range(min(count, (len(content) - 48) // entry.size)):
        _, key, value, _, _ = entry.unpack_from(content, 48 + number * entry.size)
        name, path = (content[at : content.find(b"\0", at)].decode("utf-8", "surrogateescape") for at in (key, value))
        if name and path.startswith("/"):
            found.setdefault(name, []).append(path)
    return found
