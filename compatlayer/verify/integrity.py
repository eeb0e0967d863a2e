"""The check ``integrity``: every path in every CONTENTS is there as recorded, and nothing else is.

Portage records a type, a file's MD5 digest and modification time, and a link's target (``reading.ownership``). Modes, and the
content of files that no package owns, are compared where a tree manifest records them.
"""

from __future__ import annotations

from collections.abc import Iterator

from compatlayer.findings import Finding
from compatlayer.verify.contents.findings import (
    LOOK,
    MOVE_AWAY,
    REBUILD,
    ConfigurationChanged,
    ConfigurationPending,
    ContentsDamaged,
    DiffersFromManifest,
    DirectoryUnread,
    FileCollision,
    FileMissing,
    FilesTouched,
    FilesUnowned,
    InterruptedMerge,
    UnreadableEntry,
)
from compatlayer.verify.contents.visitor import TYPES, WANTED, IntegrityVisitor
from compatlayer.verify.reading import Trouble, Visitor, unowned
from compatlayer.verify.reading.expected import PENDING, ExpectedPaths
from compatlayer.verify.reading.protection import protection_of
from compatlayer.verify.registry import Context, check


def _visitor(context: Context) -> Visitor:
    return IntegrityVisitor(context.manifest, protection_of(context.prefix_tree, context.prefix))


@check("integrity", visitor=_visitor)
def integrity(context: Context) -> Iterator[Finding]:
    """Every recorded path is there as recorded, and nothing else is."""
    found: list[Finding] = [*_entries(context)]
    touched: dict[str, list[str]] = {}
    for report in context.pass_.reports("integrity"):
        if isinstance(report, Finding):
            found.append(report)
        else:
            touched.setdefault(report[0], []).append(report[1])
    found += [FilesTouched(package=package, paths=tuple(sorted(paths))) for package, paths in touched.items()]
    found += _absent(context)
    found += _against_manifest(context)
    found += _records(context)
    found += _unowned(context)
    yield from context.in_order(found)


def _entries(context: Context) -> Iterator[Finding]:
    """What of the package database itself cannot be understood: whose files these packages own is unknown."""
    for entry in context.inventory.unreadable:
        kind = InterruptedMerge if "interrupted merge" in entry.reason else UnreadableEntry
        yield kind(path=entry.path, expected="a readable entry", actual=entry.reason, remedy=MOVE_AWAY)


def _absent(context: Context) -> Iterator[Finding]:
    protection = protection_of(context.prefix_tree, context.prefix)
    unread = [f"{problem.path}/" for problem in context.pass_.problems if problem.trouble is not Trouble.CHANGED]
    for absent in context.pass_.absent:
        if any(absent.path.startswith(directory) for directory in unread):
            continue  # it may well be there: the directory is the finding
        kind = ConfigurationChanged if absent.path in protection else FileMissing
        expected = TYPES[WANTED[absent.record.kind][0]]
        yield kind(package=absent.record.package, path=absent.path, expected=expected, actual="nothing", remedy=REBUILD)


def _against_manifest(context: Context) -> Iterator[Finding]:
    """What the manifest has and the tree has not, where no package misses it, and the other way round."""
    reported = {absent.path for absent in context.pass_.absent}
    for path in context.pass_.lost:
        if path not in reported:
            yield DiffersFromManifest(path=path, expected="what was published", actual="nothing", remedy=LOOK)
    for path in context.pass_.added:
        yield DiffersFromManifest(path=path, expected="nothing", actual="something that was not published", remedy=LOOK)


def _records(context: Context) -> Iterator[Finding]:
    for damage in context.pass_.damage:
        yield ContentsDamaged(
            package=damage.package,
            path=damage.path,
            line=damage.line,
            expected="a list of the package's files",
            actual=damage.reason,
            remedy="build the package again",
        )
    for collision in context.pass_.collisions:
        packages = tuple(dict.fromkeys(record.package for record in collision.records))
        yield FileCollision(
            package=packages[-1],
            packages=packages,
            path=collision.path,
            expected="one owner",
            actual=", ".join(packages),
            remedy="let one of the ebuilds not install it",
        )
    for problem in context.pass_.problems:
        yield DirectoryUnread(
            path=problem.path,
            expected="a directory that can be read",
            actual=problem.reason or problem.trouble.value,
            remedy="verify as the owner of the layer, with nothing mounted inside it",
        )


def _unowned(context: Context) -> Iterator[Finding]:
    host_links = [str(link.path).lstrip("/") for link in context.host_links]
    expected = ExpectedPaths(host_links)
    for listing in context.pass_.unowned:
        for name in listing.names:
            path = name if listing.path == "." else f"{listing.path}/{name}"
            if PENDING.search(path):
                yield ConfigurationPending(path=path, expected="nothing", actual="a file", remedy="merge it: dispatch-conf")
    for path, count in unowned.collapsed(context.pass_.unowned, expected):
        yield FilesUnowned(
            path=path, count=count, expected="an owner", actual="none", remedy="package it, declare it or remove it"
        )
