"""What every repository promises, whatever publishes it: one suite for all backends.

``ostree`` always; ``cvmfs`` against the stand-in always, and against a real ``cvmfs_server`` where the options
``--cvmfs-test-repo`` and ``--cvmfs-production-repo`` name repositories that may be written to (and lose their parts).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from compatlayer.errors import LockHeldError, RepositoryError
from compatlayer.repository.base import Message, Origin, Revision, State, is_tag, safe_line, tag_of
from compatlayer.repository.cvmfs import CvmfsRepository
from compatlayer.tree.between import between
from compatlayer.tree.manifest import Manifest
from tests.contract.repository_ground import DOMAIN, PARTS, Ground, grounds, stand_in

pytestmark = pytest.mark.contract

# What a person may write into a commit subject, a reason or a description.
NASTY = (
    "$(touch CANARY)", "`touch CANARY`", "x; touch CANARY; x", "x && touch CANARY", "| touch CANARY", "> CANARY", "it's", '"quoted"',
    "# the rest", "-x", "a -a other -m", "two\nlines\ntouch CANARY", "\\", "${IFS}", "*", "~", "!!", "", "ü → 🙂", "\x1b[31m", "\0",
)  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "ground" in metafunc.fixturenames:
        real = ["cvmfs"] if metafunc.config.getoption("--cvmfs-test-repo") else []
        metafunc.parametrize("ground", ["ostree", "cvmfs stand-in", *real], indirect=True)


@pytest.fixture
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    yield from grounds(request, tmp_path)


def test_a_first_revision_is_what_was_published(ground: Ground) -> None:
    tree = ground.tree()
    assert ground.repository.head(ground.part) is None
    revision = ground.publish(tree, line="the first")
    assert ground.repository.head(ground.part) == revision
    assert (revision.number, revision.tags, revision.message) == (1, ("2026.11-linux-x86_64.1",), "the first")
    assert revision.origin == Origin("ops@tests", stage="s1")
    assert revision.root == Manifest.of_tree(tree).root == ground.scanned(revision).root
    assert ground.repository.manifest(revision, ground.part).root == revision.root
    assert ground.repository.pending() is None
    assert list(ground.repository.check()) == []


def test_another_process_sees_the_same(ground: Ground) -> None:
    revision = ground.publish(ground.tree())
    assert ground.reopen().head(ground.part) == revision


def test_a_second_revision_changes_what_it_says_and_nothing_else(ground: Ground) -> None:
    tree = ground.tree()
    first = ground.publish(tree)
    (tree / "usr/bin/tool").write_text("newer\n")
    (tree / "usr/lib/large").unlink()
    (tree / "usr/lib/link").unlink()
    (tree / "usr/lib/link").mkdir()
    (tree / "usr/lib/link/file").write_text("now a directory holds it")
    (tree / "emptied/file").unlink()
    (tree / "emptied").rmdir()
    (tree / "emptied").write_text("a file now")
    (tree / "private").chmod(0o755)
    second = ground.publish(tree)
    assert (second.number, second.root) == (2, Manifest.of_tree(tree).root)
    assert ground.scanned(second).root == second.root
    assert [one.number for one in ground.repository.revisions(ground.part)] == [2, 1]
    assert ground.scanned(first).root == first.root, "an earlier revision stays as it was"


def test_parts_of_one_repository_do_not_touch_each_other(ground: Ground) -> None:
    first = ground.publish(ground.tree())
    tree = ground.tree("other")
    (tree / "usr/bin/tool").write_text("of the other")
    other = ground.publish(tree, part=ground.other)
    assert other.number == 1
    assert ground.repository.head(ground.part) == first
    assert ground.scanned(first).root == first.root
    assert ground.scanned(other, ground.other).root == other.root
    (tree / "usr/bin/tool").unlink()
    ground.publish(tree, part=ground.other)
    assert [one.number for one in ground.repository.revisions(ground.other)] == [2, 1]
    assert [one.number for one in ground.repository.revisions(ground.part)] == [1]


def test_an_aborted_transaction_leaves_nothing(ground: Ground) -> None:
    tree = ground.tree()
    first = ground.publish(tree)
    (tree / "usr/bin/tool").write_text("6.6")
    manifest = Manifest.of_tree(tree)
    changes = between(ground.repository.manifest(first, ground.part), manifest)

    class Stopped(Exception):
        pass

    with pytest.raises(Stopped), ground.repository.begin(ground.part, Message("x", Origin("me")), first) as transaction:
        transaction.apply(changes, tree, manifest)
        assert [entry.sha256 for entry in transaction.reread(["usr/bin/tool"])] == [manifest.get("usr/bin/tool").sha256]  # type: ignore[union-attr]
        raise Stopped
    assert ground.repository.head(ground.part) == first
    assert ground.scanned(first).root == first.root
    assert ground.repository.pending() is None
    assert ground.publish(tree).root == manifest.root


def test_reading_back_tells_what_is_there(ground: Ground) -> None:
    tree = ground.tree()
    manifest = Manifest.of_tree(tree)
    with ground.repository.begin(ground.part, Message("x", Origin("me")), None) as transaction:
        transaction.apply(between(None, manifest), tree, manifest)
        paths = [entry.path for entry in manifest]
        assert list(transaction.reread(paths)) == list(manifest)
        assert list(transaction.reread(["nowhere", "usr/bin/tool/below", "usr/nowhere/at/all"])) == []


def test_a_transaction_expects_a_head(ground: Ground) -> None:
    tree = ground.tree()
    with pytest.raises(RepositoryError, match="is not where it was expected"):
        revision = Revision("0" * 64, 7, (), datetime.now(UTC), "x", "0" * 64, Origin("x"))
        ground.repository.begin(ground.part, Message("x", Origin("me")), revision)
    first = ground.publish(tree)
    (tree / "usr/bin/tool").write_text("2")
    ground.publish(tree)
    for expect in (None, first):
        with pytest.raises(RepositoryError, match="found revision 2") as refused:
            ground.repository.begin(ground.part, Message("x", Origin("me")), expect)
        assert "ops@tests" in str(refused.value)
    assert ground.repository.pending() is None


def test_one_transaction_at_a_time(ground: Ground) -> None:
    message = Message("x", Origin("me"))
    with ground.repository.begin(ground.part, message, None), pytest.raises(LockHeldError, match="is in use"):
        ground.reopen().begin(ground.other, message, None)


def test_a_transaction_whose_process_died_is_found_and_undone(ground: Ground) -> None:
    tree = ground.tree()
    first = ground.publish(tree)
    (tree / "usr/bin/tool").write_text("half done")
    manifest = Manifest.of_tree(tree)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            repository = ground.reopen()
            transaction = repository.begin(ground.part, Message("half", Origin("gone@host")), first)
            transaction.apply(between(repository.manifest(first, ground.part), manifest), tree, manifest)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    pending = ground.repository.pending()
    assert pending is not None
    assert (pending.operator, pending.line, pending.holder) == ("gone@host", "half", None)
    assert (pending.steps[0], pending.steps[-1]) == ("begin", "apply")
    with pytest.raises(RepositoryError, match=r"a transaction of .* is open"):
        ground.repository.begin(ground.part, Message("x", Origin("me")), first)
    found = ground.repository.resume()
    assert found is not None
    assert (found.state, found.part) == (State.OPEN, ground.part)
    found.abort()
    assert ground.repository.resume() is None
    assert ground.repository.head(ground.part) == first
    assert ground.scanned(first).root == first.root


def test_a_transaction_that_was_published_before_its_process_died_is_finished(ground: Ground) -> None:
    tree = ground.tree()
    manifest = Manifest.of_tree(tree)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            transaction = ground.reopen().begin(ground.part, Message("done", Origin("gone@host")), None)
            transaction.remember("note", text="kept")
            transaction.apply(between(None, manifest), tree, manifest)
            transaction.publish(tag_of(ground.part, 1))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    found = ground.repository.resume()
    assert found is not None
    assert found.state is State.PUBLISHED
    assert found.notes["note"] == {"text": "kept"}
    assert found.published.root == manifest.root
    with found:
        pass
    assert ground.repository.pending() is None
    assert [one.number for one in ground.repository.revisions(ground.part)] == [1]


def test_tags_name_revisions_and_never_move(ground: Ground) -> None:
    tree = ground.tree()
    first = ground.publish(tree)
    (tree / "usr/bin/tool").write_text("2")
    second = ground.publish(tree)
    ground.repository.tag(first, "golden")
    ground.repository.tag(first, "golden")
    with pytest.raises(RepositoryError, match="the tag golden is in use"):
        ground.repository.tag(second, "golden")
    assert ground.repository.tags()["golden"] == first.id
    assert next(one for one in ground.repository.revisions(ground.part) if one.number == 1).tags == (
        "2026.11-linux-x86_64.1",
        "golden",
    )
    ground.repository.untag("golden")
    assert "golden" not in ground.repository.tags()
    with pytest.raises(RepositoryError, match="there is no tag golden"):
        ground.repository.untag("golden")


@pytest.mark.parametrize("name", ["", "two words", "-x", "a/b", "$(x)", "trunk", "ü", "a\n"])
def test_a_name_that_is_no_tag_is_refused(ground: Ground, name: str) -> None:
    tree = ground.tree()
    manifest = Manifest.of_tree(tree)
    assert not is_tag(name)
    with (
        pytest.raises(RepositoryError, match="cannot be a tag"),
        ground.repository.begin(ground.part, Message("x", Origin("me")), None) as one,
    ):
        one.apply(between(None, manifest), tree, manifest)
        one.publish(name)
    assert ground.repository.head(ground.part) is None


def test_no_text_can_execute_anything_or_change_an_option(ground: Ground) -> None:
    tree = ground.tree()
    texts = NASTY if ground.repository.kind == "ostree" else (*NASTY[:3], " ".join(NASTY))
    for number, text in enumerate(texts, start=1):
        (tree / "usr/bin/tool").write_text(str(number))
        revision = ground.publish(tree, line=text)
        assert (revision.number, revision.tags) == (number, (tag_of(ground.part, number),))
        assert revision.message == text, "the text itself is kept"
        assert not [place for place in ground.canaries if (place / "CANARY").exists()], text


def test_cvmfs_server_gets_no_text_that_its_shell_could_evaluate(tmp_path: Path) -> None:
    ground = stand_in(tmp_path, *PARTS)
    assert isinstance(ground.repository, CvmfsRepository)
    server = ground.repository.server
    for number, text in enumerate(NASTY):
        server.transaction()
        server.publish(f"t{number}", text)
        assert server.tags()[1].name == f"t{number}", text
    assert not [place for place in ground.canaries if (place / "CANARY").exists()]


@pytest.mark.parametrize(
    ("text", "published"),
    [("$(touch CANARY)", True), ("x; touch CANARY; x", False), ("it's", False), ("# x", False), ("a -x", False)],
)
def test_the_stand_in_evaluates_text_as_the_real_one_does(tmp_path: Path, text: str, published: bool) -> None:
    """Without this the tests above could not fail."""
    ground = stand_in(tmp_path, *PARTS)
    program = str(tmp_path / "cvmfs_server")
    assert os.spawnl(os.P_WAIT, program, program, "transaction", DOMAIN) == 0
    code = os.spawnl(os.P_WAIT, program, program, "publish", "-a", "t", "-m", text, DOMAIN)
    assert (code == 0) == published
    assert [place for place in ground.canaries if (place / "CANARY").exists()] or "touch" not in text
    assert isinstance(ground.repository, CvmfsRepository)
    assert ground.repository.server.health().in_transaction != published


@pytest.mark.parametrize("text", NASTY)
def test_a_safe_line_holds_nothing_that_a_shell_or_an_option_parser_could_mistake(text: str) -> None:
    line = safe_line(text)
    assert line
    assert set(line) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ._:+=@,/-")
    assert not any(word.startswith("-") for word in line.split())


def test_a_source_holds_the_paths_that_were_asked_for(ground: Ground) -> None:
    revision = ground.publish(ground.tree())
    manifest = ground.repository.manifest(revision, ground.part)
    paths = ["usr/lib/link", "usr/lib/locked", "private/secret", "private"]
    with ground.repository.source(revision, ground.part, paths) as source:
        assert (source / "usr/lib/link").readlink() == Path("large")
        assert (source / "usr/lib/locked").read_text() == "locked"
        assert stat.S_IMODE((source / "private/secret").stat().st_mode) == 0o600
        assert manifest.get("private/secret") is not None


def test_a_manifest_that_was_lost_is_made_again_and_one_that_does_not_fit_is_refused(ground: Ground) -> None:
    revision = ground.publish(ground.tree())
    ledger = ground.repository.ledger
    ledger.manifests.close()
    (ledger.directory / "manifests.db").unlink()
    again = ground.reopen()
    assert again.manifest(revision, ground.part).root == revision.root
    with pytest.raises(RepositoryError, match="is not what it says"):
        again.manifest(replace(revision, root="0" * 64), ground.part)


def test_garbage_collection_keeps_what_heads_and_tags_lead_to(ground: Ground) -> None:
    tree = ground.tree()
    revisions = [ground.publish(tree)]
    for number in (2, 3):
        (tree / "usr/lib/large").write_bytes(os.urandom(1 << 20))
        (tree / "usr/bin/tool").write_text(str(number))
        revisions.append(ground.publish(tree))
    ground.repository.untag(revisions[1].tags[0])
    ground.repository.collect_garbage([])
    assert [one.number for one in ground.repository.revisions(ground.part)] == [3, 1]
    for one in (revisions[2], revisions[0]):
        assert ground.scanned(one).root == one.root
        assert Manifest.of(iter(ground.repository.manifest(one, ground.part))).root == one.root
    assert list(ground.repository.check()) == []


# --- what only CernVM-FS does
