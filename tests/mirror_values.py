"""Files to be mirrored, as values; and what must hold of a store whatever happened to it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from compatlayer.gentoo.packages import SourceUri
from compatlayer.mirror import fill as filling
from compatlayer.mirror import layout
from compatlayer.mirror.distfiles import Need, Restrictions, Wanted, Wants
from compatlayer.mirror.schedule import Pace, Patience
from compatlayer.mirror.store import PRIVATE, PUBLIC, Store

FREE = Restrictions()
PART = "2026.11/linux-x86_64"
# As a person would wait, only quicker.
QUICK = filling.Options(
    pace=Pace(tries=3, first_wait_s=0.02, longest_wait_s=0.1),
    patience=Patience(connect_s=2, stall_s=0.4, slow_bytes_s=1000, window_s=0.3),
)


def digests(content: bytes) -> dict[str, str]:
    return {"BLAKE2B": hashlib.blake2b(content).hexdigest(), "SHA512": hashlib.sha512(content).hexdigest()}


def wanted(name: str, content: bytes, *urls: str, restrict: Restrictions = FREE, package: str = "app-misc/one-1") -> Wanted:
    return Wanted(
        name, len(content), digests(content), tuple(SourceUri(url) for url in urls), restrict, needs=(Need(PART, package),)
    )


def wants(*files: Wanted) -> Wants:
    return Wants({file.name: file for file in sorted(files, key=lambda file: file.name)}, (PART,))


def only_verified(store: Store, *, killed: bool = False) -> list[str]:
    """The names in the store; fails unless each is indexed and its content is what the index says, under both names.

    A run that was ``killed`` may have given a file the first of its names only; the next one adds the other.
    """
    known = store.index.entries()
    names = set()
    for area in (PUBLIC, PRIVATE):
        for path in sorted((store.root / area).rglob("*")):
            if path.is_dir() or path == store.root / area / layout.FILE:
                continue
            entry = known[path.name]
            content = path.read_bytes()
            assert digests(content) == {name: entry.hashes[name] for name in ("BLAKE2B", "SHA512")}, path
            names.add(path.name)
    for name in () if killed else names:
        assert store.is_intact(known[name]), name
    return sorted(names)


def read(store: Store, name: str) -> bytes:
    """A file of the store under its GLEP 75 name."""
    return Path(store.root / PUBLIC / layout.OURS.path(name)).read_bytes()
