"""What nobody owns, in as few words as possible: a directory in which nothing is owned or expected stands for all in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compatlayer.tree.beneath import ROOT, join
from compatlayer.verify.reading.expected import PENDING, ExpectedPaths
from compatlayer.verify.reading.walk import Listing


def collapsed(listings: Sequence[Listing], expected: ExpectedPaths) -> Iterator[tuple[str, int]]:
    """Paths and how many files each stands for, from the unowned names by directory, directories before what they hold."""
    strange: set[str] = set()  # directories that nobody owns
    mixed: set[str] = set()  # those of them with something expected below
    found: list[str] = []
    for listing in listings:
        directories = set(listing.directories)
        for name in listing.names:
            path = join(listing.path, name)
            if name in directories:
                strange.add(path)
            if path in expected or PENDING.search(path) or expected.holds_all(path):
                mixed.update(_above(path, strange))
                if name in directories:
                    mixed.add(path)
            elif name not in directories:
                found.append(path)
    counts: dict[str, int] = {}
    for path in found:
        top = path
        for directory in _above(path, strange):
            if directory not in mixed:
                top = directory
        counts[top] = counts.get(top, 0) + 1
    yield from counts.items()


def _above(path: str, strange: set[str]) -> Iterator[str]:
    """The unowned directories above ``path``, the nearest first."""
    while True:
        path = path.rpartition("/")[0] or ROOT
        if path == ROOT or path not in strange:
            return
        yield path
