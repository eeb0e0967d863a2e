"""Comparing the trees of two builds: every path that differs, with its package, what is different, and why."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from compatlayer import selection
from compatlayer.declaration.model import Part
from compatlayer.gentoo import inventory as inventories
from compatlayer.gentoo.portage_configuration import PACKAGE_DATABASE
from compatlayer.rebuild import causes
from compatlayer.rebuild.archives import MAX_BYTES
from compatlayer.rebuild.causes import Both, Cause
from compatlayer.tree.entries import Entry
from compatlayer.tree.manifest import Manifest
from compatlayer.verify.reading import ownership

# Whatever Portage keeps about packages: who reads a program does not read it.
_RECORDS = (PACKAGE_DATABASE, PurePosixPath("var/cache/edb"), PurePosixPath("var/lib/portage"))


class Aspect(enum.StrEnum):
    """What is different about a path."""

    CONTENT = "content"
    MODE = "mode"
    TARGET = "target of the link"
    TYPE = "type"
    ATTRIBUTES = "extended attributes"
    ONLY_FIRST = "only in the first"
    ONLY_SECOND = "only in the second"


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that two builds do not have alike. ``package`` is ``category/name-version``, empty where none owns it.

    ``first`` and ``second`` say shortly what each has: a digest, a mode, a target.
    """

    path: str
    package: str
    aspects: tuple[Aspect, ...]
    causes: tuple[Cause, ...]
    first: str
    second: str

    @property
    def is_record(self) -> bool:
        """Whether it is Portage that differs, and nothing that anybody uses."""
        return Cause.RECORD in self.causes


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two trees with their Merkle roots, the number of their paths, and all differences in canonical order."""

    first_root: str
    second_root: str
    entries: int
    differences: tuple[Difference, ...]

    @property
    def is_equal(self) -> bool:
        """Whether the trees are the same, bit for bit."""
        return self.first_root == self.second_root


def compare(first: Path, second: Path, part: Part, both: Both) -> Comparison:
    """Compare the trees of two builds of ``part``, wherever they lie. Nobody may write to them meanwhile.

    Reads everything twice at most. Raises ``StageError`` for what a layer cannot hold.
    """
    manifests = Manifest.of_tree(first), Manifest.of_tree(second)
    found: tuple[Difference, ...] = ()
    if manifests[0] != manifests[1]:
        owners = _Owners(first, second, str(part.prefix))
        found = tuple(
            _difference(one, other, first, second, owners, both) for one, other in manifests[0].differences(manifests[1])
        )
    return Comparison(manifests[0].root, manifests[1].root, len(manifests[0]), found)


class _Owners:
    """Which package has a path, in one tree or else the other."""

    def __init__(self, first: Path, second: Path, prefix: str) -> None:
        self.records = [ownership.load(tree, prefix, inventories.read(tree)) for tree in (first, second)]
        self.known: dict[str, Mapping[str, str]] = {}

    def of(self, path: str) -> str:
        place = PurePosixPath(path)
        if place.is_relative_to(PACKAGE_DATABASE):
            return "/".join(place.relative_to(PACKAGE_DATABASE).parts[:2])
        directory = str(place.parent)
        if directory not in self.known:
            names: dict[str, str] = {}
            for record in reversed(self.records):
                names |= {name: found[0].package for name, found in record.records(directory).items()}
            self.known[directory] = names
        return self.known[directory].get(place.name, "")


def _difference(one: Entry | None, other: Entry | None, first: Path, second: Path, owners: _Owners, both: Both) -> Difference:
    entry = one or other
    assert entry is not None, "a difference has two sides, or one"
    path = entry.path
    aspects = tuple(_aspects(one, other))
    if any(PurePosixPath(path).is_relative_to(place) for place in _RECORDS):
        why: tuple[Cause, ...] = (Cause.RECORD,)
    elif PurePosixPath(path) == selection.PROVENANCE:
        why = (Cause.DECLARATION,)
    elif one is None or other is None or one.kind is not other.kind:
        why = (Cause.UNKNOWN,)
    else:
        why = tuple(dict.fromkeys(_causes(one, other, first / path, second / path, both))) or (Cause.UNKNOWN,)
    return Difference(path, owners.of(path), aspects, why, _shown(one, aspects), _shown(other, aspects))


def _aspects(one: Entry | None, other: Entry | None) -> Iterator[Aspect]:
    if one is None or other is None:
        yield Aspect.ONLY_FIRST if one else Aspect.ONLY_SECOND
        return
    if one.kind is not other.kind:
        yield Aspect.TYPE
        return
    if one.sha256 != other.sha256:
        yield Aspect.CONTENT
    if one.target != other.target:
        yield Aspect.TARGET
    if one.mode != other.mode:
        yield Aspect.MODE
    if one.xattrs != other.xattrs:
        yield Aspect.ATTRIBUTES


def _causes(one: Entry, other: Entry, first: Path, second: Path, both: Both) -> Iterator[Cause]:
    if one.sha256 != other.sha256:
        if max(one.size_bytes, other.size_bytes) > MAX_BYTES:
            yield Cause.UNKNOWN
        else:
            yield from causes.causes(first.read_bytes(), second.read_bytes(), both)
    if one.target != other.target:
        yield from causes.in_text(one.target, other.target, both)
    if one.mode != other.mode:
        yield from causes.of_modes(one.mode, other.mode, both)
    if one.xattrs != other.xattrs:
        yield Cause.UNKNOWN


def _shown(entry: Entry | None, aspects: tuple[Aspect, ...]) -> str:
    """What one side has, as far as it differs."""
    if entry is None:
        return "nothing"
    if Aspect.TYPE in aspects or Aspect.ONLY_FIRST in aspects or Aspect.ONLY_SECOND in aspects:
        return entry.kind.value
    words = []
    if Aspect.CONTENT in aspects:
        words.append(f"{entry.size_bytes} bytes, SHA-256 {entry.sha256[:16]}…")
    if Aspect.TARGET in aspects:
        words.append(f"-> {entry.target}")
    if Aspect.MODE in aspects:
        words.append(f"mode {entry.mode:04o}")
    if Aspect.ATTRIBUTES in aspects:
        words.append(f"attributes {', '.join(name for name, _ in entry.xattrs) or 'none'}")
    return ", ".join(words)
