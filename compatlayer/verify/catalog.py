"""The check ``catalog``: no CernVM-FS catalog gets more entries than clients load in reasonable time.

A catalog holds the entries of a directory tree down to where the next one begins; a client loads a whole catalog to look up one
name in it. CernVM-FS warns above 200,000 entries (https://cvmfs.readthedocs.io/en/stable/cpt-repo.html#managing-nested-catalogs).
Nested catalogs begin at directories that hold ``.cvmfscatalog``, or that ``.cvmfsdirtab`` names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from compatlayer.findings import Finding, Severity
from compatlayer.tree.beneath import ROOT
from compatlayer.verify.registry import Context, check

LIMIT = 200_000
_CVMFS = PurePosixPath("/cvmfs")
_SPECIAL = re.compile(r"([*?\[\]\\!#])")


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogFinding(Finding):
    """A directory tree does not fit into one CernVM-FS catalog."""

    check: ClassVar[str] = "catalog"
    severity: ClassVar[Severity] = Severity.WARNING

    entries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogTooLarge(CatalogFinding):
    """A tree with one catalog has more entries than CernVM-FS recommends (200,000).

    Every client that touches a path in it downloads and opens the whole catalog, and publishing any change in it writes it anew.
    Divide it: the remedy lists lines for the repository's ``.cvmfsdirtab``, cut where they take away most; an empty file
    ``.cvmfscatalog`` in a directory does the same for that directory alone.
    """

    identifier: ClassVar[str] = "catalog-too-large"

    dirtab: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """One line: which tree, how many entries."""
        where = "the prefix" if self.path in ("", ROOT) else self.path
        return f"{where}: {self.entries:,} entries in one catalog, CernVM-FS recommends at most {LIMIT:,}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryTooLarge(CatalogFinding):
    """A single directory holds more names than a CernVM-FS catalog should (200,000); no nested catalog can divide it.

    Listing it is slow on every file system, and its catalog is slow to load. The package should spread its files over
    directories.
    """

    identifier: ClassVar[str] = "catalog-directory-too-large"

    @property
    def description(self) -> str:
        """One line: which directory, how many names."""
        return f"{self.path or ROOT}: {self.entries:,} names in one directory, a catalog should have at most {LIMIT:,}"


@dataclass(frozen=True, slots=True)
class Catalog:
    """A catalog as it is: where it begins, how many entries it has, and where to divide it so that each gets few enough."""

    path: str
    entries: int
    cuts: tuple[str, ...]


def catalogs(sizes: Mapping[str, int], roots: frozenset[str], limit: int = LIMIT) -> list[Catalog]:
    """The catalogs of a tree that begin at ``roots`` and at the top, with cuts for those beyond ``limit`` entries.

    ``sizes`` says how many names each directory holds. Cut is from below, the biggest subtree first, and no more than is needed,
    so that there are few catalogs. An entry counts in the catalog of the directory that holds it.
    """
    children: dict[str, list[str]] = {}
    for path in sizes:
        if path != ROOT:
            children.setdefault(path.rpartition("/")[0] or ROOT, []).append(path)
    entries: dict[str, int] = {}  # down to the existing catalogs
    left: dict[str, int] = {}  # and down to the cuts
    cuts: dict[str, list[str]] = {}
    found: list[Catalog] = []
    for path in sorted(sizes, key=_depth, reverse=True):
        below = children.get(path, [])
        entries[path] = sizes[path] + sum(entries[child] for child in below)
        weight = sizes[path] + sum(left[child] for child in below)
        cut = [one for child in below for one in cuts.pop(child)]
        for child in sorted(below, key=lambda one: (-left[one], one)):
            if weight <= limit or not left[child]:
                break
            weight -= left[child]
            cut.append(child)
        left[path], cuts[path] = weight, cut
        if path in roots or path == ROOT:
            found.append(Catalog(path, entries[path], tuple(sorted(cut))))
            entries[path], left[path], cuts[path] = 0, 0, []
    return sorted(found, key=lambda one: one.path)


def dirtab_lines(prefix: str, cuts: Iterable[str]) -> tuple[str, ...]:
    """Lines for ``.cvmfsdirtab``, which lies at the repository's root: paths from there, with what a glob would take escaped.

    ``prefix`` tells the repository: ``/cvmfs/NAME/…``. For a prefix elsewhere, the paths begin at the prefix.
    """
    parts = PurePosixPath(prefix).parts
    above = "/".join(parts[3:]) if PurePosixPath(prefix).is_relative_to(_CVMFS) and len(parts) > 2 else ""
    return tuple(_SPECIAL.sub(r"\\\1", f"/{above}/{cut}" if above else f"/{cut}") for cut in cuts)


def _depth(path: str) -> int:
    return -1 if path == ROOT else path.count("/")


@check("catalog")
def catalog(context: Context) -> Iterator[Finding]:
    """No CernVM-FS catalog gets more entries than clients can load in reasonable time."""
    sizes, roots = context.pass_.sizes, frozenset(context.pass_.catalog_roots)
    found: list[Finding] = []
    for one in catalogs(sizes, roots, LIMIT):
        if one.entries <= LIMIT:
            continue
        dirtab = dirtab_lines(context.prefix, one.cuts)
        lines = "add to .cvmfsdirtab:\n" + "\n".join(dirtab) if dirtab else "spread the files over directories"
        found.append(
            CatalogTooLarge(
                path=one.path,
                entries=one.entries,
                dirtab=dirtab,
                expected=f"at most {LIMIT} entries",
                actual=f"{one.entries} entries",
                remedy=lines,
            )
        )
    found += [
        DirectoryTooLarge(
            path=path,
            entries=size,
            expected=f"at most {LIMIT} names",
            actual=f"{size} names",
            remedy="let the package spread its files over directories",
        )
        for path, size in sizes.items()
        if size > LIMIT
    ]
    yield from context.in_order(found)
