"""Pinned ebuild repositories that cannot be had, or that somebody has touched: clear errors, and nothing half in place."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from compatlayer import lock, trees
from compatlayer.declaration.model import EbuildRepository
from compatlayer.errors import LockHeldError, RepositoryError
from tests import git_server
from tests.ebuild_repository import TinyRepository
from tests.git_server import commit, git, served
from tests.tiny_layer import wait_for

pytestmark = pytest.mark.faults

NOWHERE = "0123456789abcdef0123456789abcdef01234567"


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


def pinned(tmp_path: Path, url: str, revision: str) -> trees.Pin:
    found = trees.pin(EbuildRepository("gentoo", url=url, commit=revision), tmp_path / "state")
    assert found is not None
    return found


def refused(pin: trees.Pin) -> str:
    """The error's text; nothing may be left in place."""
    with pytest.raises(RepositoryError) as caught:
        trees.tree(pin)
    assert not pin.directory.exists()
    assert not pin.index.exists()
    place = pin.state / trees.DIRECTORY
    assert [path.name for path in [*place.glob(".new-*"), *(place / ".git").glob("*.everything")]] == []
    return str(caught.value)


def test_a_url_without_a_repository_says_so_with_gits_words(tmp_path: Path) -> None:
    text = refused(pinned(tmp_path, f"file://{tmp_path}/none", NOWHERE))
    assert text.splitlines()[0] == f"'gentoo' at 0123456789ab cannot be fetched from file://{tmp_path}/none"
    assert "does not appear to be a git repository" in text
    assert "hint: is the URL right, and can this machine reach it?" in text


def test_a_server_that_is_not_there_says_so(tmp_path: Path) -> None:
    with served(tmp_path) as url:
        pass
    text = refused(pinned(tmp_path, f"{url}/gentoo.git", NOWHERE))
    assert "cannot be fetched from http://127.0.0.1:" in text
    assert "Failed to connect" in text or "Connection refused" in text


def test_a_server_that_asks_for_a_password_does_not_make_us_wait(tmp_path: Path) -> None:
    class Guarded(git_server._Files):
        def do_GET(self) -> None:  # noqa: N802  (http.server's name)
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()

    from http.server import ThreadingHTTPServer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        text = refused(pinned(tmp_path, f"http://127.0.0.1:{server.server_address[1]}/gentoo.git", NOWHERE))
    finally:
        server.shutdown()
        server.server_close()
    assert "A private repository needs ssh's agent or ~/.netrc" in text


@pytest.mark.parametrize("way", ["file", "http", "dumb"])
def test_a_commit_that_vanished_is_told_from_a_server_that_is_gone(tmp_path: Path, upstream: TinyRepository, way: str) -> None:
    commit(upstream.path)
    git(upstream.path.parent, "clone", "--quiet", "--bare", str(upstream.path), "bare.git")
    git(upstream.path.parent / "bare.git", "update-server-info")
    with served(upstream.path.parent, dumb=way == "dumb") as http:
        url = f"file://{upstream.path}" if way == "file" else f"{http}/bare.git"
        text = refused(pinned(tmp_path, url, NOWHERE))
    assert text == (
        f"{url} has no commit {NOWHERE}\n"
        "  everything that its branches and tags hold was looked through: it was never there, or a branch was rewritten\n"
        f"  hint: pin a commit that is there: git ls-remote {url}"
    )


def test_a_branch_that_was_rewritten_and_pruned_leaves_the_pin_without_its_commit(
    tmp_path: Path, upstream: TinyRepository
) -> None:
    first = commit(upstream.path)
    upstream.ebuild("app-misc/hello-2")
    git(upstream.path, "add", "--all")
    git(upstream.path, "commit", "--quiet", "--amend", "-m", "rewritten")
    git(upstream.path, "reflog", "expire", "--expire=now", "--all")
    git(upstream.path, "gc", "--quiet", "--prune=now")
    assert f"has no commit {first}" in refused(pinned(tmp_path, f"file://{upstream.path}", first))


@pytest.mark.parametrize("kind", ["tag", "tree", "blob"])
def test_what_is_not_a_commit_is_refused_by_its_kind(tmp_path: Path, upstream: TinyRepository, kind: str) -> None:
    commit(upstream.path)
    git(upstream.path, "tag", "-a", "-m", "a tag", "v1")
    revision = {"tag": "v1", "tree": "HEAD^{tree}", "blob": "HEAD:profiles/repo_name"}[kind]
    found = git(upstream.path, "rev-parse", revision)
    text = refused(pinned(tmp_path, f"file://{upstream.path}", found))
    assert text.splitlines()[0] == f"{found} in file://{upstream.path} is not a commit, but a {kind}"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda tree: (tree / "app-misc/hello/hello-1.ebuild").write_text("EAPI=8\n"), "M app-misc/hello/hello-1.ebuild"),
        (lambda tree: (tree / "profiles/eapi").unlink(), "D profiles/eapi"),
        (lambda tree: (tree / "app-misc/hello/hello-2.ebuild").write_text("EAPI=8\n"), "A app-misc/hello/hello-2.ebuild"),
        (lambda tree: (tree / "profiles/eapi").chmod(0o755), "M profiles/eapi"),
        (lambda tree: ((tree / "profiles/eapi").unlink(), (tree / "profiles/eapi").symlink_to("arch.list")), "T profiles/eapi"),
    ],
    ids=["changed", "removed", "added", "mode", "kind"],
)
def test_a_tree_that_somebody_touched_is_refused_with_the_files(
    tmp_path: Path, upstream: TinyRepository, fault: Callable[[Path], object], told: str
) -> None:
    pin = pinned(tmp_path, f"file://{upstream.path}", commit(upstream.path))
    fault(trees.tree(pin))
    trees._checked.clear()
    with pytest.raises(RepositoryError) as caught:
        trees.tree(pin)
    assert str(caught.value) == (
        f"{pin.directory} is not what is pinned: somebody has changed it\n"
        f"  {told}\n"
        f"  hint: a pinned tree is read only; remove it, and it is made again: rm -r {pin.directory}"
    )
    subprocess.run(["rm", "-r", str(pin.directory)], check=True)
    assert (trees.tree(pin) / "app-misc/hello/hello-1.ebuild").is_file()


def test_a_metadata_cache_of_ours_is_no_change(tmp_path: Path, upstream: TinyRepository) -> None:
    subprocess.run(["rm", "-r", str(upstream.path / "metadata/md5-cache")], check=True)
    pin = pinned(tmp_path, f"file://{upstream.path}", commit(upstream.path))
    cache = trees.tree(pin) / "metadata/md5-cache/app-misc"
    cache.mkdir(parents=True)
    (cache / "hello-1").write_text("EAPI=8\n")
    trees._checked.clear()
    assert trees.tree(pin) == pin.directory


@pytest.mark.parametrize("damage", ["gone", "rubbish"])
def test_a_lost_index_is_noticed_and_mended_by_removing_the_tree(tmp_path: Path, upstream: TinyRepository, damage: str) -> None:
    pin = pinned(tmp_path, f"file://{upstream.path}", commit(upstream.path))
    trees.tree(pin)
    trees._checked.clear()
    pin.index.unlink() if damage == "gone" else pin.index.write_bytes(b"rubbish")
    with pytest.raises(RepositoryError) as caught:
        trees.tree(pin)
    assert f"what git knows about it is not commit {pin.commit}" in str(caught.value)
    subprocess.run(["rm", "-r", str(pin.directory)], check=True)
    assert (trees.tree(pin) / "app-misc/hello/hello-1.ebuild").is_file()


def test_a_fetch_that_is_stopped_leaves_nothing_and_can_be_run_again(tmp_path: Path, upstream: TinyRepository) -> None:
    git_server.commit(upstream.path)
    git(upstream.path.parent, "clone", "--quiet", "--bare", str(upstream.path), "bare.git")
    arrived, release = threading.Event(), threading.Event()

    class Stalling(git_server._Backend):
        root = upstream.path.parent

        def run_cgi(self) -> None:
            if self.command == "POST" and not release.is_set():
                arrived.set()
                release.wait(60)
            super().run_cgi()

    from http.server import ThreadingHTTPServer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Stalling)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/bare.git"
    pin = pinned(tmp_path, url, git(upstream.path, "rev-parse", "HEAD"))
    script = f"""
        import sys; from pathlib import Path; from compatlayer import trees; from compatlayer.declaration.model import EbuildRepository
        trees.tree(trees.pin(EbuildRepository("gentoo", url="{url}", commit="{pin.commit}"), Path("{pin.state}")))
        """
    try:
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)], cwd=Path(trees.__file__).parent.parent, stderr=subprocess.PIPE
        ) as fetching:
            assert arrived.wait(60)
            with pytest.raises(LockHeldError), lock.hold(pin.state / trees.DIRECTORY / ".lock", "a second run"):
                pass
            fetching.send_signal(signal.SIGINT)
            fetching.communicate(timeout=30)
        assert fetching.returncode != 0
        assert not pin.directory.exists()
        release.set()
        assert (trees.tree(pin) / "app-misc/hello/hello-1.ebuild").is_file()
    finally:
        release.set()
        server.shutdown()
        server.server_close()


def test_a_checkout_that_crashed_is_done_again_from_the_start(
    tmp_path: Path, upstream: TinyRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = pinned(tmp_path, f"file://{upstream.path}", commit(upstream.path))
    half = pin.directory.with_name(f".new-{pin.directory.name}")
    (half / "profiles").mkdir(parents=True)
    (half / "profiles/repo_name").write_text("other\n")
    (half / "stray").write_text("left by a run that was killed\n")
    pin.index.parent.mkdir(parents=True)
    pin.index.write_bytes(b"half an index")
    directory = trees.tree(pin)
    assert not (directory / "stray").exists()
    assert (directory / "profiles/repo_name").read_text() == "gentoo\n"
    assert not half.exists()


@pytest.mark.userns
def test_a_full_disk_is_told_from_a_bad_url(tmp_path: Path, upstream: TinyRepository) -> None:
    import os

    upstream.write("big", os.urandom(3_000_000).hex())
    revision = commit(upstream.path)
    full = tmp_path / "full"
    full.mkdir()
    script = f"""
        from pathlib import Path; from compatlayer import trees; from compatlayer.declaration.model import EbuildRepository
        pin = trees.pin(EbuildRepository("gentoo", url="file://{upstream.path}", commit="{revision}"), Path("{full}"))
        try:
            trees.tree(pin)
        except Exception as error:
            print(type(error).__name__, error, pin.directory.exists())
        """
    inside = f'mount -t tmpfs -o size=2m full {full} && exec "$@"'
    done = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            inside,
            "sh",
            sys.executable,
            "-c",
            textwrap.dedent(script),
        ],
        cwd=Path(trees.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith(f"RepositoryError there is no space left for 'gentoo' at {revision[:12]}\n"), (
        done.stdout + done.stderr
    )
    assert f"hint: free some on the file system of {full}, or keep the state elsewhere: --state DIR False" in done.stdout


def test_two_runs_do_not_fetch_the_same_tree_at_once(tmp_path: Path, upstream: TinyRepository) -> None:
    pin = pinned(tmp_path, f"file://{upstream.path}", commit(upstream.path))
    with lock.hold(pin.state / trees.DIRECTORY / ".lock", "fetching by somebody else"):
        with pytest.raises(LockHeldError) as caught:
            trees.tree(pin)
        assert "fetching by somebody else" in str(caught.value)
    wait_for(lambda: trees.tree(pin).is_dir(), "the tree")
