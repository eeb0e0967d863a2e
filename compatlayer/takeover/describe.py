"""A declaration being written: what goes into ``layer.yaml`` and ``sets/*.yaml``, and its text with the comments people need.

Only the keys that a take-over can fill are here. The text is read back by ``declaration.load`` like any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import yaml

TODO = "TODO"
_PLAIN = re.compile(r"[A-Za-z0-9/_+.{][A-Za-z0-9/_@+.{}:-]*( [A-Za-z0-9(][A-Za-z0-9/_@+.(),;'-]*)*")


@dataclass(frozen=True, slots=True)
class Entry:
    """One package of a set, with the keys of a set file."""

    name: str
    version: str | None = None
    overlay: str | None = None
    include_on: tuple[str, ...] = ()
    exclude_on: tuple[str, ...] = ()
    reason: str = TODO


@dataclass(frozen=True, slots=True)
class NewSet:
    """One set file: its name, its entries and comments (in order), and what stands above it."""

    name: str
    entries: tuple[Entry | str, ...]
    header: str = ""

    @property
    def file(self) -> PurePosixPath:
        """Where it is written."""
        return PurePosixPath("sets", f"{self.name}.yaml")

    def text(self) -> str:
        """The file's text; an entry that is a string is a comment."""
        lines = [*_comment(self.header), f"name: {scalar(self.name)}"]
        lines.append("packages:" if any(isinstance(entry, Entry) for entry in self.entries) else "packages: []")
        for entry in self.entries:
            lines += [f"  {line}" for line in (_comment(entry) if isinstance(entry, str) else _entry(entry))]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Source:
    """An ebuild repository: a path beside ``layer.yaml``, or URL and commit."""

    name: str
    path: str | None = None
    url: str | None = None
    commit: str | None = None

    def text(self) -> str:
        """As one line of YAML."""
        keys = ("name", "path", "url", "commit")
        values = [(key, value) for key in keys if (value := getattr(self, key)) is not None]
        return "{" + ", ".join(f"{key}: {scalar(value, flow=True)}" for key, value in values) + "}"


@dataclass(frozen=True, slots=True)
class NewVersion:
    """One version of a layer."""

    name: str
    engine: str
    sets: tuple[NewSet, ...]
    overlays: tuple[Source, ...]
    tree: Source | None = None
    profile: str | None = None
    trusted_dirs: tuple[str, ...] = ()
    host_links: tuple[tuple[str, str | None], ...] = ()
    comment: str = ""

    def lines(self) -> list[str]:
        """Its lines in ``layer.yaml``, without the indent."""
        lines = [
            f"{json.dumps(self.name)}:",
            "  status: live",
            *(f"  {line}" for line in _comment(self.comment)),
            f"  engine: {self.engine}",
            f"  sets: [{_flow(str(one.file) for one in self.sets)}]",
        ]
        if self.tree:
            lines.append(f"  tree: {self.tree.text()}")
        if self.overlays:
            lines += ["  overlays:", *(f"    - {overlay.text()}" for overlay in self.overlays)]
        if self.profile:
            lines.append(f"  profile: {json.dumps(self.profile)}")
        if self.trusted_dirs:
            lines += ["  trusted_dirs:", *(f"    - {scalar(directory)}" for directory in self.trusted_dirs)]
        if self.host_links:
            lines.append("  host_links:")
            for path, target in self.host_links:
                link = scalar(path) if target is None else f"{{path: {scalar(path, flow=True)}, target: {json.dumps(target)}}}"
                lines.append(f"    - {link}")
        return lines


@dataclass(frozen=True, slots=True)
class NewLayer:
    """A whole declaration."""

    name: str
    targets: tuple[str, ...]
    prefix: str
    versions: tuple[NewVersion, ...]
    header: str
    prefix_comment: str = ""

    def text(self) -> str:
        """``layer.yaml``: two OSTree repositories beside it, and the gate that every layer wants."""
        lines = [
            *_comment(self.header),
            f"name: {scalar(self.name)}",
            f"targets: [{_flow(self.targets)}]",
            *_comment(self.prefix_comment),
            f"prefix: {scalar(self.prefix)}",
            "versions:",
        ]
        for version in self.versions:
            lines += [f"  {line}" for line in version.lines()]
        lines += [
            "# Two OSTree repositories beside this file, below the state directory. To publish to the world, declare production",
            "# as {backend: cvmfs, name: software.example.org}.",
            "repositories:",
            "  test: {backend: ostree, path: .compatlayer/repositories/test}",
            "  production: {backend: ostree, path: .compatlayer/repositories/production}",
            "gates:",
            "  verify: error",
        ]
        return "\n".join(lines) + "\n"


def scalar(text: str, *, flow: bool = False) -> str:
    """``text`` as a YAML scalar that every reader takes for text: plain where that is safe, quoted otherwise."""
    odd = ("{", "}", ",") if flow else ("{",)
    plain = _PLAIN.fullmatch(text) and not text.startswith(odd) and not text.endswith(":") and ": " not in text
    if flow and any(mark in text for mark in odd):
        plain = None
    return text if plain and yaml.safe_load(text) == text else json.dumps(text, ensure_ascii=False)


def _entry(entry: Entry) -> list[str]:
    lines = [f"- name: {scalar(entry.name)}"]
    if entry.version is not None:
        # Always quoted: 1.10 would be read as a number.
        lines.append(f"  version: {json.dumps(entry.version)}")
    if entry.overlay is not None:
        lines.append(f"  overlay: {scalar(entry.overlay)}")
    if entry.include_on:
        lines.append(f"  include_on: [{_flow(entry.include_on)}]")
    if entry.exclude_on:
        lines.append(f"  exclude_on: [{_flow(entry.exclude_on)}]")
    lines.append(f"  reason: {scalar(entry.reason)}")
    return lines


def _flow(values: Iterable[str]) -> str:
    return ", ".join(scalar(value, flow=True) for value in values)


def _comment(text: str) -> Sequence[str]:
    return [f"# {line}".rstrip() for line in text.splitlines()]
