"""Ebuild trees in the mirror: git bundles of the pinned commits, and a Manifest that says what each of them must be.

    trees/<name>-<commit>.bundle
    trees/Manifest                 DIST lines (GLEP 74), which other machines fetch the bundles by

That a bundle holds its commit, whole, git says before it is listed there; the commit's id vouches for the rest. A bundle is made
from the trees of this machine, else fetched from own mirrors, else made from what the tree's URL gives.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compatlayer import trees
from compatlayer.gentoo.packages import SourceUri
from compatlayer.journal import fsync_directory, write_atomically
from compatlayer.mirror import hashes, sources
from compatlayer.mirror.distfiles import Restrictions, Wanted
from compatlayer.mirror.fill import Options
from compatlayer.mirror.store import Store
from compatlayer.progress import Monitor
from compatlayer.trees import Pin

NAMES = ("BLAKE2B", "SHA512")


@dataclass(frozen=True, slots=True)
class TreeBundle:
    """One bundle of the Manifest."""

    name: str
    size_bytes: int
    hashes: Mapping[str, str]


class TreeBundles:
    """The bundles of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.directory = store.trees

    def known(self) -> dict[str, TreeBundle]:
        """What the Manifest lists, whether it is there or not."""
        try:
            return parse((self.directory / sources.MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

    def strangers(self) -> list[Path]:
        """Files beside the Manifest that it does not list; nobody vouches for them."""
        known = self.known()
        return [path for path in sorted(self.directory.iterdir()) if path.name not in known and path.name != sources.MANIFEST]

    def fault(self, bundle: TreeBundle) -> str | None:
        """What is wrong with a listed bundle, all of it hashed."""
        try:
            size, digests = hashes.of_file(self.directory / bundle.name, bundle.hashes)
        except FileNotFoundError:
            return "missing"
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        return hashes.difference(size, digests, bundle.size_bytes, bundle.hashes)

    def has(self, name: str) -> bool:
        """Whether a bundle is listed, and there with the size that it must have."""
        listed = self.known().get(name)
        path = self.directory / name
        return listed is not None and path.is_file() and path.stat().st_size == listed.size_bytes

    def enlist(self, path: Path) -> TreeBundle:
        """Bring a bundle of the directory to the disk, and list it. The caller has seen that it is right."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        size, digests = hashes.of_file(path, NAMES)
        found = TreeBundle(path.name, size, digests)
        self._write({**self.known(), path.name: found})
        return found

    def remove(self, name: str) -> int:
        """Delete a bundle and its line; returns the bytes that were freed."""
        path = self.directory / name
        size = path.stat().st_size if path.is_file() else 0
        path.unlink(missing_ok=True)
        self._write({one: listed for one, listed in self.known().items() if one != name})
        return size

    def _write(self, bundles: Mapping[str, TreeBundle]) -> None:
        lines = []
        for name, one in sorted(bundles.items()):
            pairs = " ".join(f"{kind} {value}" for kind, value in sorted(one.hashes.items()))
            lines.append(f"DIST {name} {one.size_bytes} {pairs}\n")
        write_atomically(self.directory / sources.MANIFEST, "".join(lines).encode())
        fsync_directory(self.directory)


def parse(text: str) -> dict[str, TreeBundle]:
    """The DIST lines of a Manifest (GLEP 74) that name a git bundle and a hash we believe; others are skipped."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 5 or words[0] != "DIST" or not words[2].isdigit() or not words[1].endswith(".bundle"):
            continue
        known = hashes.usable(dict(zip(words[3::2], words[4::2], strict=False)))
        if hashes.is_strong(known) and "/" not in words[1] and not words[1].startswith("."):
            found[words[1]] = TreeBundle(words[1], int(words[2]), known)
    return found


def keep(store: Store, pins: Sequence[Pin], options: Options, monitor: Monitor) -> None:
    """Make the mirror hold the bundles of ``pins``.

    Raises ``RepositoryError`` for a commit that cannot be had, ``DistfileError`` when the store cannot be written,
    ``LockHeldError`` when somebody else is changing it.
    """
    bundles = TreeBundles(store)
    lacking = [pin for pin in pins if not bundles.has(pin.bundle.name)]
    if not lacking:
        return
    with store.lock("mirror fill"):
        for pin in lacking:
            # One that was made by a run that did not come to its end may be right; seeing that is cheaper than making it.
            if pin.bundle.is_file() and (fault := trees.fault_of(pin, pin.bundle)) is not None:
                store.quarantine(pin.bundle, fault)
        away = [pin for pin in lacking if not pin.bundle.is_file() and not trees.is_here(pin)]
        _fetch(store, away, options, monitor)
        for pin in lacking:
            bundles.enlist(trees.bundle(pin))


class _Arrivals:
    """What the threads that fetch see of the store: what comes in becomes a bundle, if git finds the commit in it."""

    def __init__(self, store: Store, pins: Iterable[Pin]) -> None:
        self.root, self.incoming, self.index = store.root, store.incoming, store.index
        self._pins = {pin.bundle.name: pin for pin in pins}

    def is_blank(self) -> bool:
        """Nothing of it is here."""
        return True

    def settle(self, wanted: Wanted) -> bool:  # noqa: ARG002  (see Shelf)
        """Nothing of it is here."""
        return False

    def accept(self, temporary: Path, wanted: Wanted, digests: Mapping[str, str], *, origin: str, url: str) -> None:  # noqa: ARG002
        """Hashes are the other mirror's own, so git has the last word; a bundle without the commit is dropped."""
        pin = self._pins[wanted.name]
        if trees.fault_of(pin, temporary) is None:
            temporary.replace(pin.bundle)
        else:
            temporary.unlink()


def _fetch(store: Store, pins: Sequence[Pin], options: Options, monitor: Monitor) -> None:
    """Look for bundles in our own mirrors. What they do not have is not an error: there is the tree's URL."""
    offered: dict[str, Wanted] = {}
    names = {pin.bundle.name for pin in pins}
    for base, text in sources.own_trees(options.names) if pins and options.network else ():
        for name, bundle in parse(text).items():
            uri = SourceUri(f"{base}/{name}")
            if name in offered and offered[name].hashes == bundle.hashes:
                offered[name] = replace(offered[name], uris=(*offered[name].uris, uri))
            elif name in names and name not in offered:
                offered[name] = Wanted(name, bundle.size_bytes, bundle.hashes, (uri,), Restrictions())
    if offered:
        from compatlayer.mirror.fetching import Fetching  # noqa: PLC0415  (requests takes its time)

        Fetching(_Arrivals(store, pins), list(offered.values()), replace(options, names={}, directories=()), monitor).run()
