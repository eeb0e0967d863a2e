"""What the contract of repositories is tried on: a repository of each kind, and trees to publish to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

from compatlayer.declaration.model import TARGETS, Part
from compatlayer.repository.base import Message, Origin, Repository, Revision, tag_of
from compatlayer.repository.cvmfs import CvmfsRepository
from compatlayer.repository.ostree import OstreeRepository
from compatlayer.tree.between import between
from compatlayer.tree.manifest import Manifest
from tests.cvmfs_publishers import make_stand_in, stand_in_repository, without_marks

DOMAIN = "software.example.org"

SOURCE = Path(__file__).resolve().parents[2]


def parts_in(domain: str) -> tuple[Part, Part]:
    """Two parts whose names begin alike."""
    return (part_in(domain, "2026.11"), part_in(domain, "2026.11.1"))


def part_in(domain: str, version: str) -> Part:
    """A part of one version."""
    return Part(
        "tiny", version, TARGETS["linux-x86_64"], PurePosixPath(f"/cvmfs/{domain}/versions/{version}/compat/linux/x86_64")
    )


PARTS = parts_in(DOMAIN)


@dataclass
class Ground:
    """A repository, directories to publish from, and a place where an executed text would leave a trace."""

    repository: Repository
    reopen: Callable[[], Repository]
    directory: Path
    part: Part
    other: Part
    canaries: tuple[Path, ...]
    stand_in: Path | None = None

    def tree(self, name: str = "tree") -> Path:
        """A tree to publish: everything that a layer may hold."""
        tree = self.directory / name
        (tree / "usr/bin").mkdir(parents=True)
        (tree / "usr/bin/tool").write_text("tool\n")
        (tree / "usr/bin/tool").chmod(0o755)
        (tree / "usr/lib").mkdir()
        (tree / "usr/lib/large").write_bytes(os.urandom(1 << 21))
        (tree / "usr/lib/empty").touch()
        (tree / "usr/lib/locked").write_text("locked")
        (tree / "usr/lib/locked").chmod(0o444)
        (tree / "usr/lib/link").symlink_to("large")
        (tree / "usr/lib/dangling").symlink_to("$(EXAMPLE:-/nowhere)")
        (tree / "usr/share/a name with 'spaces' $(x) ü").mkdir(parents=True)
        (tree / "usr/share/a name with 'spaces' $(x) ü/-x").write_text("x")
        (tree / "private").mkdir(mode=0o700)
        (tree / "private/secret").write_text("s")
        (tree / "private/secret").chmod(0o600)
        (tree / "emptied").mkdir()
        (tree / "emptied/file").write_text("file")
        for path in (tree, *tree.rglob("*")):
            if path.is_dir() and path.name != "private":
                path.chmod(0o755)
        return tree

    def publish(
        self, tree: Path, *, part: Part | None = None, line: str = "a message", repository: Repository | None = None
    ) -> Revision:
        """Publish a tree as the next revision of a part."""
        part, repository = part or self.part, repository or self.repository
        head = repository.head(part)
        manifest = Manifest.of_tree(tree)
        changes = between(repository.manifest(head, part) if head else None, manifest)
        with repository.begin(part, Message(line, Origin("ops@tests", stage="s1")), head) as transaction:
            transaction.apply(changes, tree, manifest)
            return transaction.publish(tag_of(part, transaction.number))

    def scanned(self, revision: Revision, part: Part | None = None) -> Manifest:
        """What a reader finds."""
        with self.repository.read(revision, part or self.part) as tree:
            return without_marks(tree)


def grounds(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """The ground that a parameter names; a real repository is left without the parts that were published to it."""
    domain = request.config.getoption("--cvmfs-test-repo") or DOMAIN
    parts = parts_in(domain)
    if request.param == "ostree":
        path = tmp_path / "repository"
        yield Ground(OstreeRepository("test", path), lambda: OstreeRepository("test", path), tmp_path, *parts, (SOURCE, tmp_path))
    elif request.param == "cvmfs":
        ledger = tmp_path / "ledger"
        repository = CvmfsRepository("test", domain, ledger)
        yield Ground(repository, lambda: CvmfsRepository("test", domain, ledger), tmp_path, *parts, (SOURCE, tmp_path))
        leave_clean(repository)
    else:
        yield stand_in(tmp_path, *parts)


def leave_clean(repository: CvmfsRepository) -> None:
    """Close what a test has left open in a real repository, and forget its tags."""
    if repository.pending() is not None and (left := repository.resume()) is not None:
        left.abort()
    repository.server.abort()
    for tag in repository.tags():
        if tag.startswith("2026.11"):
            repository.untag(tag)


def stand_in(directory: Path, *parts: Part) -> Ground:
    """A repository on the stand-in."""
    make_stand_in(directory, DOMAIN)

    def reopen() -> CvmfsRepository:
        return stand_in_repository(directory, "test", DOMAIN, directory / "ledger")

    state = directory / "standin" / DOMAIN
    return Ground(reopen(), reopen, directory, *parts, (SOURCE, directory, state, Path("/")), state)
