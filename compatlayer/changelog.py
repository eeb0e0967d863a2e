"""Changelogs: two states of a part → what is different, by whom, when, from what. Pure.

``changes`` compares; a ``Section`` is the result with its date and name; ``markdown`` renders sections as Keep a
Changelog does (https://keepachangelog.com/en/1.1.0/). Documents (JSON) are what revisions and receipts carry.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from compatlayer.gentoo.packages import InstalledPackage, Inventory
from compatlayer.gentoo.versions import compare
from compatlayer.tree.entries import Entry, Kind
from compatlayer.tree.manifest import Manifest

# Below the prefix: what travels inside the part.
DIRECTORY = PurePosixPath("usr/share/compatlayer")
MARKDOWN = DIRECTORY / "CHANGELOG.md"
DOCUMENT = DIRECTORY / "changelog.json"
CONTENTS = DIRECTORY / "contents.json"
OWN_FILES = frozenset(str(path) for path in (MARKDOWN, DOCUMENT, CONTENTS))


class Happened(enum.StrEnum):
    """What became of a package; the order is that of a changelog."""

    ADDED = "added"
    REMOVED = "removed"
    UPGRADED = "upgraded"
    DOWNGRADED = "downgraded"
    REBUILT = "rebuilt"


@dataclass(frozen=True, slots=True)
class PackageChange:
    """One package (``category/name``, and its slot where that is not 0): versions before and after, and why it was rebuilt."""

    happened: Happened
    name: str
    slot: str
    before: str
    after: str
    why: str = ""

    @property
    def description(self) -> str:
        """``dev-lang/lua 5.4.4 → 5.4.6``."""
        name = self.name if self.slot in ("", "0") else f"{self.name}:{self.slot}"
        versions = " → ".join(dict.fromkeys(filter(None, (self.before, self.after))))
        return f"{name} {versions}" + (f" ({self.why})" if self.why else "")


@dataclass(frozen=True, slots=True)
class FileCounts:
    """How many files (links included) came, changed and went, and by how many bytes the part grew."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    growth_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Contents:
    """What a changelog needs to know of a part: its packages, and the sonames that it provides."""

    inventory: Inventory
    sonames: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Section:
    """One entry of a changelog. ``title`` is a tag, ``date_utc`` ISO 8601; ``note`` says what is not a package (a rollback)."""

    title: str
    part: str
    date_utc: str
    operator: str
    commit: str | None
    pull_request: str | None
    packages: tuple[PackageChange, ...]
    sonames_new: tuple[str, ...]
    sonames_gone: tuple[str, ...]
    files: FileCounts
    advisories: tuple[str, ...] = ()
    note: str = ""

    def of(self, happened: Happened) -> tuple[PackageChange, ...]:
        """The packages of one kind."""
        return tuple(one for one in self.packages if one.happened is happened)

    @property
    def summary(self) -> str:
        """One line: ``2 added, 1 upgraded: dev-lang/lua 5.4.4 -> 5.4.6, …``."""
        counts = [f"{len(self.of(kind))} {kind}" for kind in Happened if self.of(kind)]
        touched = self.files.added + self.files.changed + self.files.removed
        files = "1 file" if touched == 1 else f"{touched} files"
        named = ", ".join(one.description.replace("→", "->") for one in self.packages[:4])
        more = f" and {len(self.packages) - 4} more" if len(self.packages) > 4 else ""
        line = f"{', '.join(counts)}: {named}{more}" if counts else files
        return f"{self.note}; {line}" if self.note else line

    def to_document(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Section:
        """The inverse of ``to_document``. Raises ``KeyError``, ``TypeError`` or ``ValueError`` for anything else."""
        values = dict(document)
        values["packages"] = tuple(
            PackageChange(**{**package, "happened": Happened(package["happened"])}) for package in document["packages"]
        )
        values["files"] = FileCounts(**document["files"])
        for name in ("sonames_new", "sonames_gone", "advisories"):
            values[name] = tuple(document[name])
        return cls(**values)


def package_changes(before: Inventory, after: Inventory) -> tuple[PackageChange, ...]:
    """What became of each package, by kind and name."""
    old, new = before.by_key(), after.by_key()
    found = []
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        change = _package_change(was, now)
        if change is not None:
            found.append(change)
    kinds = list(Happened)
    return tuple(sorted(found, key=lambda one: (kinds.index(one.happened), one.name, one.slot)))


def file_counts(before: Manifest | None, after: Manifest) -> FileCounts:
    """Files that are different; what this house writes into a part itself is not counted. Costs what they differ by."""
    added = changed = removed = growth_bytes = 0
    pairs: Iterable[tuple[Entry | None, Entry | None]]
    pairs = before.differences(after) if before is not None else ((None, entry) for entry in after)
    for old, new in pairs:
        entry = new or old
        assert entry is not None, "a difference has two sides, or one"
        if entry.path in OWN_FILES:
            continue
        growth_bytes += (new.size_bytes if new else 0) - (old.size_bytes if old else 0)
        was, now = (one is not None and one.kind is not Kind.DIRECTORY for one in (old, new))
        added += now and not was
        removed += was and not now
        changed += was and now
    return FileCounts(added, changed, removed, growth_bytes)


def soname_changes(before: Contents, after: Contents) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sonames that are new, and those that are gone: whatever was linked against the latter no longer runs."""
    new, gone = after.sonames - before.sonames, before.sonames - after.sonames
    return tuple(sorted(filter(_is_linked, new))), tuple(sorted(filter(_is_linked, gone)))


def _is_linked(soname: str) -> bool:
    """Whether programs are linked against it: plugins, such as the hundreds of converters of a C library, have a soname too."""
    return soname.startswith("lib") or ".so." in soname


def markdown(heading: str, sections: Sequence[Section]) -> str:
    """A changelog file, newest section first."""
    return "\n".join([f"# {heading}", "", *(line for section in sections for line in _markdown(section))])


def _markdown(section: Section) -> list[str]:
    origin = ", ".join(
        [section.date_utc, f"by {_plain(section.operator)}"]
        + ([f"commit {section.commit[:12]}"] if section.commit else [])
        + ([f"pull request {_plain(section.pull_request)}"] if section.pull_request else [])
    )
    lines = [f"## {section.title} - {section.date_utc[:10]}", "", f"{section.part}; {origin}", ""]
    if section.note:
        lines += [_plain(section.note), ""]
    for kind in Happened:
        if packages := section.of(kind):
            lines += [f"### {kind.value.capitalize()}", "", *(f"- {_plain(one.description)}" for one in packages), ""]
    if section.advisories:
        lines += ["### Security", "", *(f"- {_plain(one)}" for one in section.advisories), ""]
    for title, names in (("Sonames gone", section.sonames_gone), ("Sonames new", section.sonames_new)):
        if names:
            lines += [f"### {title}", "", *(f"- {_plain(name)}" for name in names), ""]
    files = section.files
    lines += [f"Files: {files.added} added, {files.changed} changed, {files.removed} removed, {files.growth_bytes:+d} bytes.", ""]
    return lines


def _plain(text: str) -> str:
    """Text that Markdown and HTML leave alone, on one line."""
    line = " ".join(text.split())
    return "".join(f"\\{character}" if character in "\\`*_[]<>" else character for character in line)


def _package_change(was: InstalledPackage | None, now: InstalledPackage | None) -> PackageChange | None:
    if was is None or now is None:
        package = was or now
        assert package is not None, "a key belongs to one side at least"
        happened = Happened.ADDED if was is None else Happened.REMOVED
        versions = (was.id.version if was else "", now.id.version if now else "")
        return PackageChange(happened, package.id.cp, package.slot, *versions)
    order = compare(now.id.version, was.id.version)
    if order != 0:
        happened = Happened.UPGRADED if order > 0 else Happened.DOWNGRADED
        return PackageChange(happened, now.id.cp, now.slot, was.id.version, now.id.version, _use(was, now))
    if (was.built_at_utc, was.use, was.repository, was.depends) == (now.built_at_utc, now.use, now.repository, now.depends):
        return None
    return PackageChange(Happened.REBUILT, now.id.cp, now.slot, was.id.version, now.id.version, _why(was, now))


def _use(was: InstalledPackage, now: InstalledPackage) -> str:
    before, after = set(was.use), set(now.use)
    flags = [f"+{flag}" for flag in sorted(after - before)] + [f"-{flag}" for flag in sorted(before - after)]
    return f"USE {' '.join(flags)}" if flags else ""


def _why(was: InstalledPackage, now: InstalledPackage) -> str:
    reasons = [_use(was, now)]
    if was.repository != now.repository:
        reasons.append(f"::{was.repository} → ::{now.repository}")
    if was.depends != now.depends:
        changed = sorted(set(now.depends.split()) - set(was.depends.split()))
        reasons.append(f"now depends on {', '.join(changed[:3])}" if changed else "depends on less")
    return "; ".join(filter(None, reasons)) or "built again"
