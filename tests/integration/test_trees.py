"""Pinned ebuild repositories, fetched by real git from local directories and over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from compatlayer import trees
from compatlayer.declaration.model import EbuildRepository
from compatlayer.errors import RepositoryError
from tests.ebuild_repository import TinyRepository
from tests.git_server import commit, git, served
from tests.tiny_layer import TARGET, TinyLayer, tiny_layer

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _each_use_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "_checked", set())
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def upstream(tmp_path: Path) -> TinyRepository:
    repository = TinyRepository(tmp_path / "upstream/gentoo", "gentoo")
    repository.ebuild("app-misc/hello-1")
    return repository


def pinned(tmp_path: Path, url: str, revision: str, name: str = "gentoo") -> trees.Pin:
    found = trees.pin(EbuildRepository(name, url=url, commit=revision), tmp_path / "state")
    assert found is not None
    return found


def names(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def leftovers(pin: trees.Pin) -> list[str]:
    """What lies below trees/ under no name of its own."""
    place = pin.state / trees.DIRECTORY
    return sorted(path.name for path in [*place.glob(".new-*"), *(place / ".git").glob("*.everything")])


def test_a_commit_is_fetched_by_itself_and_put_in_place_whole(tmp_path: Path, upstream: TinyRepository) -> None:
    commit(upstream.path, "first")
    upstream.ebuild("app-misc/hello-2")
    second = commit(upstream.path, "second")
    upstream.ebuild("app-misc/hello-3")
    commit(upstream.path, "third")
    pin = pinned(tmp_path, f"file://{upstream.path}", second)
    directory = trees.tree(pin)
    assert directory == tmp_path / f"state/trees/gentoo-{second}"
    assert {path.name for path in (directory / "app-misc/hello").iterdir()} == {"hello-1.ebuild", "hello-2.ebuild"}
    assert git(pin.store, "rev-list", "--all", "--count") == "1", "history was fetched"
    assert not (directory / ".git").exists()


def test_a_tree_that_is_there_is_never_fetched_again(tmp_path: Path, upstream: TinyRepository) -> None:
    pin = pinned(tmp_path, f"file://{upstream.path}", commit(upstream.path))
    first = trees.tree(pin)
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*")}
    upstream.path.rename(tmp_path / "gone")
    trees._checked.clear()
    assert trees.tree(pin) == first
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*")} == before


def test_the_next_commit_costs_a_difference(tmp_path: Path, upstream: TinyRepository) -> None:
    upstream.write("big", os.urandom(300_000).hex())
    url = f"file://{upstream.path}"
    first = pinned(tmp_path, url, commit(upstream.path))
    trees.tree(first)
    upstream.ebuild("app-misc/hello-2")
    second = pinned(tmp_path, url, commit(upstream.path))
    before = sum(path.stat().st_size for path in second.store.rglob("*") if path.is_file())
    trees.tree(second)
    assert sum(path.stat().st_size for path in second.store.rglob("*") if path.is_file()) - before < 20_000
    assert (first.directory / "big").read_bytes() == (second.directory / "big").read_bytes()


@pytest.mark.parametrize("dumb", [False, True], ids=["smart", "dumb"])
def test_a_commit_is_fetched_over_http(tmp_path: Path, upstream: TinyRepository, dumb: bool) -> None:
    first = commit(upstream.path, "first")
    upstream.ebuild("app-misc/hello-2")
    commit(upstream.path, "second")
    git(upstream.path.parent, "clone", "--quiet", "--bare", str(upstream.path), "bare.git")
    git(upstream.path.parent / "bare.git", "update-server-info")
    with served(upstream.path.parent, dumb=dumb) as url:
        pin = pinned(tmp_path, f"{url}/bare.git", first)
        directory = trees.tree(pin)
    assert {path.name for path in (directory / "app-misc/hello").iterdir()} == {"hello-1.ebuild"}
    assert leftovers(pin) == []


def test_a_commit_that_a_server_does_not_give_alone_is_found_in_everything_it_has(
    tmp_path: Path, upstream: TinyRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = commit(upstream.path, "first")
    upstream.ebuild("app-misc/hello-2")
    commit(upstream.path, "second")
    # Version 0 of the protocol gives what a branch points at, and refuses everything else.
    monkeypatch.setattr(trees, "_SETTINGS", tuple(s.replace("protocol.version=2", "protocol.version=0") for s in trees._SETTINGS))
    pin = pinned(tmp_path, f"file://{upstream.path}", first)
    refused = trees._git(["ls-remote", f"file://{upstream.path}", first]).stdout
    assert refused == ""
    assert names(trees.tree(pin)) >= {"app-misc/hello/hello-1.ebuild"}
    assert git(pin.store, "rev-list", "--all", "--count") == "1"
    assert leftovers(pin) == []


def test_a_branch_that_moved_on_does_not_move_the_pin(tmp_path: Path, upstream: TinyRepository) -> None:
    first = commit(upstream.path, "first")
    upstream.remove("app-misc/hello-1")
    upstream.ebuild("app-misc/hello-2")
    git(upstream.path, "branch", "release", first)
    commit(upstream.path, "second")
    directory = trees.tree(pinned(tmp_path, f"file://{upstream.path}", first))
    assert {path.name for path in (directory / "app-misc/hello").iterdir()} == {"hello-1.ebuild"}


def test_files_are_those_of_the_commit_whatever_the_tree_says_about_line_ends(tmp_path: Path, upstream: TinyRepository) -> None:
    upstream.write("app-misc/hello/files/dos", "one\r\ntwo\r\n$Id$\n")
    (upstream.path / ".gitattributes").write_text("*.ebuild text eol=crlf\nfiles/* ident\ndos ident\n")
    git(upstream.path, "init", "--quiet")
    (upstream.path / ".git/info").mkdir(exist_ok=True)
    (upstream.path / ".git/info/attributes").write_text("* -text -ident\n")
    directory = trees.tree(pinned(tmp_path, f"file://{upstream.path}", commit(upstream.path)))
    assert (directory / "app-misc/hello/files/dos").read_bytes() == b"one\r\ntwo\r\n$Id$\n"
    assert b"\r" not in (directory / "app-misc/hello/hello-1.ebuild").read_bytes()


def test_configuration_and_hooks_of_this_machine_decide_nothing(
    tmp_path: Path, upstream: TinyRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "hooks").mkdir(parents=True)
    witness = tmp_path / "witness"
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (home / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {witness}\n")
        (home / "hooks" / hook).chmod(0o755)
    (home / ".gitconfig").write_text(
        f'[core]\n\thooksPath = {home}/hooks\n\tautocrlf = true\n[url "file:///nowhere/"]\n\tinsteadOf = file://\n'
    )
    monkeypatch.setenv("HOME", str(home))
    directory = trees.tree(pinned(tmp_path, f"file://{upstream.path}", commit(upstream.path)))
    assert b"\r" not in (directory / "app-misc/hello/hello-1.ebuild").read_bytes()
    assert not witness.exists()


def test_a_clone_nearby_saves_the_way_to_the_url(tmp_path: Path, upstream: TinyRepository) -> None:
    pin = pinned(tmp_path, "https://nowhere.invalid/gentoo.git", commit(upstream.path))
    assert names(trees.tree(pin, nearby=[tmp_path, upstream.path])) >= {"app-misc/hello/hello-1.ebuild"}


def test_a_local_repository_has_no_pin(tmp_path: Path) -> None:
    assert trees.pin(EbuildRepository("gentoo"), tmp_path) is None


def test_what_is_not_the_named_repository_is_not_put_in_place(tmp_path: Path, upstream: TinyRepository) -> None:
    pin = pinned(tmp_path, f"file://{upstream.path}", commit(upstream.path), name="guru")
    with pytest.raises(RepositoryError) as caught:
        trees.tree(pin)
    assert str(caught.value) == (
        f"file://{upstream.path} at {pin.commit[:12]} is not the ebuild repository 'guru'\n"
        "  its profiles/repo_name says 'gentoo'\n"
        "  hint: correct name, url or commit in layer.yaml"
    )
    assert not pin.directory.exists()
    assert not pin.index.exists()
    assert leftovers(pin) == []


# A tree and an overlay on top of it, the way a layer stands on Gentoo's.
ECLASS = 'greet() {{ insinto /usr/share/tiny; newins - "${{PN}}" <<< "{words}"; }}\nRDEPEND="{rdepend}"\n'
INHERITS = "inherit greeting\nS=${WORKDIR}\nsrc_install() { greet; }\n"


@pytest.fixture
def site() -> Iterator[TinyLayer]:
    with tiny_layer() as layer:
        yield layer


def upstream_tree(site: TinyLayer) -> TinyRepository:
    tree = TinyRepository(site.directory / "upstream/gentoo", "gentoo", arches=(TARGET.keyword,))
    tree.write(
        f"profiles/{TARGET.keyword}/make.defaults",
        site.repository.path.joinpath(f"profiles/{TARGET.keyword}/make.defaults").read_text(),
    )
    tree.write("eclass/greeting.eclass", ECLASS.format(words="the tree's", rdepend="app-misc/base"))
    tree.ebuild("app-misc/base-1", cache=False)
    tree.ebuild("app-misc/hello-1", cache=False, phases=INHERITS)
    return tree


def declare(site: TinyLayer, tree: TinyRepository, revision: str, overlays: str, *packages: str) -> None:
    site.declare(*packages)
    text = (site.root / "layer.yaml").read_text()
    pin = f"{{name: gentoo, url: 'file://{tree.path}', commit: {revision}}}"
    text = text.replace("    overlays:\n      - {name: tiny, path: tiny}\n", f"    tree: {pin}\n    overlays:\n{overlays}")
    (site.root / "layer.yaml").write_text(text)


def test_a_layer_on_a_pinned_tree_is_checked_planned_and_installed(site: TinyLayer) -> None:
    tree = upstream_tree(site)
    revision = commit(tree.path, "the pin")
    tree.ebuild("app-misc/hello-2", cache=False, phases=INHERITS)
    commit(tree.path, "later")
    site.repository = TinyRepository(site.root / "tiny", "tiny", masters=["gentoo"], arches=(TARGET.keyword,))
    site.repository.ebuild("app-misc/own-1", cache=False, phases=INHERITS)
    declare(site, tree, revision, "      - {name: tiny, path: tiny}\n", "app-misc/hello", "app-misc/own")
    site.run("sets", "render")
    assert site.run("check").out == "no findings\n"
    assert sorted(site.actions()) == [
        ("install", "app-misc/base", "1"),
        ("install", "app-misc/hello", "1"),
        ("install", "app-misc/own", "1"),
    ]
    site.install()
    assert site.installed() == ["app-misc/base-1", "app-misc/hello-1", "app-misc/own-1"]
    assert (site.upper / "usr/share/tiny/own").read_text() == "the tree's\n"
    assert site.run("verify").out.startswith("no findings; 3 packages, ")
    assert site.actions() == []


def test_an_overlay_by_url_overrides_an_eclass_for_its_own_ebuilds_only(site: TinyLayer) -> None:
    tree = upstream_tree(site)
    overlay = TinyRepository(site.directory / "upstream/over", "over", masters=["gentoo"], arches=(TARGET.keyword,))
    overlay.write("eclass/greeting.eclass", ECLASS.format(words="the overlay's", rdepend=""))
    overlay.ebuild("app-misc/own-1", cache=False, phases=INHERITS)
    revisions = commit(tree.path), commit(overlay.path)
    pin = f"      - {{name: over, url: 'file://{overlay.path}', commit: {revisions[1]}}}\n"
    declare(site, tree, revisions[0], pin, "app-misc/hello", "app-misc/own")
    site.install()
    assert (site.upper / "usr/share/tiny/own").read_text() == "the overlay's\n"
    assert (site.upper / "usr/share/tiny/hello").read_text() == "the tree's\n"
    assert site.actions() == []


def test_the_metadata_cache_is_made_once_for_a_commit_and_outside_of_git(site: TinyLayer) -> None:
    tree = upstream_tree(site)
    revision = commit(tree.path)
    declare(site, tree, revision, "      - {name: tiny, path: tiny}\n", "app-misc/hello")
    first = site.run("plan")
    assert f"making the metadata cache of 'gentoo' at {revision[:12]}, once" in first.err
    directory = site.state / "trees" / f"gentoo-{revision}"
    entries = {path: path.stat().st_mtime_ns for path in (directory / "metadata/md5-cache").rglob("*-1")}
    assert sorted(path.name for path in entries) == ["base-1", "hello-1"]
    assert "RDEPEND=app-misc/base" in (directory / "metadata/md5-cache/app-misc/hello-1").read_text()
    second = site.run("plan")
    assert "making the metadata cache" not in second.err
    assert {path: path.stat().st_mtime_ns for path in entries} == entries
    assert not (tree.path / "metadata/md5-cache").exists()


def test_a_tree_that_brings_its_cache_keeps_it(site: TinyLayer) -> None:
    tree = upstream_tree(site)
    tree.ebuild("app-misc/base-1")
    revision = commit(tree.path)
    declare(site, tree, revision, "      - {name: tiny, path: tiny}\n", "app-misc/base")
    assert "making the metadata cache" not in site.run("plan").err
    directory = site.state / "trees" / f"gentoo-{revision}"
    assert [path.name for path in (directory / "metadata/md5-cache/app-misc").iterdir()] == ["base-1"]
    site.run("plan")


def test_a_commit_that_cannot_be_had_ends_check_plan_and_install_alike(site: TinyLayer) -> None:
    tree = upstream_tree(site)
    commit(tree.path)
    missing = "0123456789abcdef0123456789abcdef01234567"
    declare(site, tree, missing, "      - {name: tiny, path: tiny}\n", "app-misc/base")
    for verb in ("check", "plan", "install"):
        ended = site.run(verb, code=5)
        assert f"error: file://{tree.path} has no commit {missing}" in ended.err
    assert not list((site.state / "trees").glob("gentoo-*"))
