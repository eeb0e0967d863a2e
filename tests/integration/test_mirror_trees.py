"""A pinned ebuild tree travels with the mirror, as a git bundle."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from compatlayer import trees
from compatlayer.errors import DistfileError, RepositoryError
from compatlayer.mirror import check
from compatlayer.mirror import status as looking
from compatlayer.mirror.bundle import export_bundle, import_bundle
from compatlayer.mirror.distfiles import Wants
from compatlayer.mirror.fill import Options
from compatlayer.mirror.store import Store
from compatlayer.mirror.tree_bundles import TreeBundles, keep, parse
from compatlayer.progress import Monitor
from compatlayer.trees import Pin
from tests import misbehaving_server as bad
from tests.ebuild_repository import TinyRepository
from tests.git_server import commit, git
from tests.misbehaving_server import MisbehavingServer

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _each_use_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "_checked", set())


@pytest.fixture
def pin(tmp_path: Path) -> Pin:
    """A tree with a history, of which one commit is pinned."""
    repository = TinyRepository(tmp_path / "upstream", "tiny")
    commits = []
    for version in (1, 2, 3):
        repository.ebuild(f"app-misc/one-{version}")
        commits.append(commit(repository.path, f"version {version}"))
    git(repository.path, "config", "uploadpack.allowAnySHA1InWant", "true")
    return Pin("tiny", repository.path.as_uri(), commits[1], tmp_path / "state")


@pytest.fixture
def store(pin: Pin) -> Iterator[Store]:
    """The mirror of this machine, which holds the tree."""
    with Store(pin.state / "mirror") as store:
        keep(store, [pin], Options(), Monitor())
        yield store


@pytest.fixture
def other(pin: Pin, tmp_path: Path) -> Iterator[Store]:
    """The mirror of another machine, which knows the same declaration."""
    with Store(tmp_path / "other" / "mirror") as store:
        yield store


def elsewhere(pin: Pin, tmp_path: Path) -> Pin:
    return Pin(pin.name, pin.url, pin.commit, tmp_path / "other")


def ebuilds(pin: Pin, *, network: bool = True) -> list[str]:
    return sorted(path.name for path in (trees.tree(pin, network=network) / "app-misc/one").glob("*.ebuild"))


def test_a_tree_is_had_from_the_mirror_when_its_url_is_gone(pin: Pin, store: Store, other: Store, tmp_path: Path) -> None:
    assert export_bundle(store, tmp_path / "mirror.tar", Monitor()).trees == 1
    shutil.rmtree(tmp_path / "upstream")
    there = elsewhere(pin, tmp_path)
    with pytest.raises(RepositoryError):
        trees.tree(there)
    assert import_bundle(other, tmp_path / "mirror.tar", Monitor()).trees == 1
    assert ebuilds(there, network=False) == ["one-1.ebuild", "one-2.ebuild"]
    assert check.refuse_unverified(other) == 1


def test_without_a_network_a_tree_is_looked_for_and_not_fetched(pin: Pin) -> None:
    with pytest.raises(RepositoryError, match="is not in the mirror, and nothing is fetched"):
        trees.tree(pin, network=False)
    assert not pin.directory.exists()


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_an_own_mirror_is_asked_before_the_url(scheme: str, pin: Pin, store: Store, other: Store, tmp_path: Path) -> None:
    there = elsewhere(pin, tmp_path)
    shutil.rmtree(tmp_path / "upstream")
    with MisbehavingServer() as server:
        for path in store.trees.iterdir():
            server.serve(f"/trees/{path.name}", path.read_bytes())
        url = server.url if scheme == "http" else store.root.as_uri()
        keep(other, [there], Options(names={"local": (url,)}), Monitor())
    assert ebuilds(there, network=False) == ["one-1.ebuild", "one-2.ebuild"]
    assert TreeBundles(other).known() == TreeBundles(store).known()


@pytest.mark.parametrize("fault", ["gone", "listed otherwise", "another commit", "no Manifest", "nonsense"])
def test_an_own_mirror_that_cannot_be_relied_on_leaves_it_to_the_url(
    fault: str, pin: Pin, store: Store, other: Store, tmp_path: Path
) -> None:
    there = elsewhere(pin, tmp_path)
    first = Pin(pin.name, pin.url, git(tmp_path / "upstream", "rev-parse", "HEAD~2"), tmp_path / "third")
    wrong = trees.bundle(first).read_bytes()
    with MisbehavingServer() as server:
        manifest, content = (store.trees / "Manifest").read_bytes(), pin.bundle.read_bytes()
        match fault:
            case "another commit":
                with Store(first.state / "mirror") as third:
                    TreeBundles(third).enlist(first.bundle)
                    manifest = (third.trees / "Manifest").read_bytes().replace(first.commit.encode(), pin.commit.encode())
                content = wrong
            case "listed otherwise":
                content = wrong
            case "no Manifest":
                manifest = b"<html>"
            case "nonsense":
                manifest = f"DIST ../{pin.bundle.name} 1 BLAKE2B 00\nDIST {pin.bundle.name} x\n\xff".encode("latin-1")
        server.serve("/trees/Manifest", manifest)
        server.serve(f"/trees/{pin.bundle.name}", content, *([bad.status(404)] if fault == "gone" else []))
        keep(other, [there], Options(names={"local": (server.url,)}), Monitor())
    assert ebuilds(there, network=False) == ["one-1.ebuild", "one-2.ebuild"]
    assert not check.verify(other, Monitor()).damage


class TestVerifying:
    def test_a_damaged_bundle_is_put_aside_and_made_again(self, pin: Pin, store: Store) -> None:
        good = pin.bundle.read_bytes()
        pin.bundle.write_bytes(good[:-40] + bytes(40))
        with pytest.raises(DistfileError, match="is not verified"):
            check.refuse_unverified(store)
        found = check.verify(store, Monitor())
        assert [(one.name, one.what) for one in found.damage] == [(f"trees/{pin.bundle.name}", "wrong BLAKE2B and SHA512")]
        assert not found.is_whole
        assert not pin.bundle.exists()
        assert check.repair(store, found, [pin], Wants, Options(), Monitor()).is_whole
        assert not check.verify(store, Monitor()).damage

    def test_one_that_no_declared_version_pins_cannot_be_brought_back(self, pin: Pin, store: Store) -> None:
        pin.bundle.unlink()
        found = check.verify(store, Monitor())
        repaired = check.repair(store, found, [], Wants, Options(), Monitor())
        assert (repaired.is_whole, repaired.lost) == (False, (pin.bundle.name,))

    def test_a_stranger_is_put_aside(self, store: Store) -> None:
        (store.trees / "stranger.bundle").write_bytes(b"?")
        assert [one.name for one in check.verify(store, Monitor()).damage] == ["trees/stranger.bundle"]
        assert not (store.trees / "stranger.bundle").exists()


def test_a_run_that_was_killed_before_it_listed_a_bundle_does_no_harm(pin: Pin, tmp_path: Path) -> None:
    made = trees.bundle(pin)
    with Store(pin.state / "mirror") as store:
        before = made.stat().st_mtime_ns
        keep(store, [pin], Options(), Monitor())
        assert made.stat().st_mtime_ns == before, "it was right, and need not be made again"
        assert not check.verify(store, Monitor()).damage
        (store.trees / "Manifest").unlink()
        made.write_bytes(b"half")
        keep(store, [pin], Options(), Monitor())
        assert trees.fault_of(pin, made) is None
        assert [path.read_bytes() for path in store.quarantined.iterdir()] == [b"half"]


def test_a_damaged_bundle_is_no_use_and_the_url_is_asked(pin: Pin, tmp_path: Path) -> None:
    there = elsewhere(pin, tmp_path)
    there.bundle.parent.mkdir(parents=True)
    there.bundle.write_bytes(trees.bundle(pin).read_bytes()[:-40])
    assert ebuilds(there) == ["one-1.ebuild", "one-2.ebuild"]


def test_a_bundle_is_made_once_and_holds_one_commit_only(pin: Pin, store: Store) -> None:
    made = pin.bundle.stat().st_mtime_ns
    keep(store, [pin], Options(), Monitor())
    assert pin.bundle.stat().st_mtime_ns == made
    heads = git(pin.state, "bundle", "list-heads", str(pin.bundle))
    assert heads.split() == [pin.commit, f"refs/pins/{pin.commit}"]


def test_a_tree_that_nobody_pins_any_more_is_pruned_after_its_grace_period(pin: Pin, store: Store) -> None:
    now = datetime.now(UTC)
    assert looking.look(store, Wants(), pins=[pin], now=now).trees.held == (pin.bundle.name,)
    store.index.keep("root", [f"trees/{pin.bundle.name}"])
    assert not looking.look(store, Wants(), now=now).unneeded, "a published revision was built from it"
    store.index.let_go("root")
    assert [one.is_due for one in looking.look(store, Wants(), now=now).unneeded] == [False]
    late = looking.look(store, Wants(), now=now + timedelta(days=31))
    size = pin.bundle.stat().st_size
    assert looking.prune(store, late) == size
    assert not pin.bundle.exists()
    assert not TreeBundles(store).known()
    assert looking.look(store, Wants(), pins=[pin], now=now).trees.missing == (pin.bundle.name,)


def test_only_lines_that_can_be_believed_count() -> None:
    text = (
        "DIST a.bundle 3 BLAKE2B 00ff MD5 00\nDIST b.bundle 3 MD5 00\nDIST ../c.bundle 3 BLAKE2B 00\nDIST d.tar 3 BLAKE2B 00\nx\n"
    )
    assert set(parse(text)) == {"a.bundle"}
