"""A pinned ebuild tree travels with the mirror, as a git bundle."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from compatlayer import trees
from compatlayer.errors import RepositoryError
from compatlayer.mirror.bundle import export_bundle, import_bundle
from compatlayer.mirror.store import Store
from compatlayer.progress import Monitor
from compatlayer.trees import Pin
from tests.ebuild_repository import TinyRepository

pytestmark = pytest.mark.integration


def git(directory: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", *settings, *arguments], cwd=directory, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def pin(tmp_path: Path) -> Pin:
    """A tree with a history, of which one commit is pinned."""
    repository = TinyRepository(tmp_path / "upstream", "tiny")
    git(repository.path, "init", "-q")
    for version in (1, 2, 3):
        repository.ebuild(f"app-misc/one-{version}")
        git(repository.path, "add", ".")
        git(repository.path, "commit", "-q", "-m", f"version {version}")
    git(repository.path, "config", "uploadpack.allowAnySHA1InWant", "true")
    commit = git(repository.path, "rev-parse", "HEAD~1")
    return Pin("tiny", repository.path.as_uri(), commit, tmp_path / "state")


def elsewhere(pin: Pin, tmp_path: Path) -> Pin:
    return Pin(pin.name, pin.url, pin.commit, tmp_path / "other")


def test_a_tree_is_had_from_the_mirror_when_its_url_is_gone(pin: Pin, tmp_path: Path) -> None:
    assert trees.bundle(pin).is_file()
    with Store(pin.state / "mirror") as store:
        assert export_bundle(store, tmp_path / "mirror.tar", Monitor()).trees == 1
    shutil.rmtree(tmp_path / "upstream")
    other = elsewhere(pin, tmp_path)
    with pytest.raises(RepositoryError):
        trees.tree(other)
    with Store(other.state / "mirror") as store:
        import_bundle(store, tmp_path / "mirror.tar", Monitor())
    directory = trees.tree(other)
    assert sorted(path.name for path in (directory / "app-misc/one").glob("*.ebuild")) == ["one-1.ebuild", "one-2.ebuild"]


def test_a_bundle_of_something_else_is_no_use_and_the_url_is_asked(pin: Pin, tmp_path: Path) -> None:
    other = elsewhere(pin, tmp_path)
    other.bundle.parent.mkdir(parents=True)
    other.bundle.write_bytes(trees.bundle(pin).read_bytes()[:-40])
    assert (trees.tree(other) / "app-misc/one/one-2.ebuild").is_file()
    shutil.rmtree(tmp_path / "upstream")
    lost = Pin(pin.name, pin.url, pin.commit, tmp_path / "third")
    lost.bundle.parent.mkdir(parents=True)
    lost.bundle.write_bytes(b"no bundle")
    with pytest.raises(RepositoryError):
        trees.tree(lost)
    assert not lost.directory.exists()


def test_a_bundle_is_made_once_and_holds_one_commit_only(pin: Pin) -> None:
    first = trees.bundle(pin)
    made = first.stat().st_mtime_ns
    assert trees.bundle(pin) == first
    assert first.stat().st_mtime_ns == made
    heads = git(pin.state, "bundle", "list-heads", str(first))
    assert heads.split() == [pin.commit, f"refs/pins/{pin.commit}"]
