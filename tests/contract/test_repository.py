"""What every repository promises, whatever publishes it: one suite for all backends.

``ostree`` always; ``cvmfs`` against the stand-in always, and against a real ``cvmfs_server`` where the options
``--cvmfs-test-repo`` and ``--cvmfs-production-repo`` name repositories that may be written to (and lose their parts).
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest

from compatlayer.declaration.model import TARGETS, Part
from compatlayer.errors import LockHeldError, RepositoryError
from compatlayer.repository.base import Message, Origin, Repository, Revision, State, is_tag, safe_line, tag_of
from compatlayer.repository.cvmfs import CvmfsRepository
from compatlayer.repository.ostree import OstreeRepository
from compatlayer.tree.between import between
from compatlayer.tree.manifest import Manifest
from tests.cvmfs_publishers import make_stand_in, stand_in_repository, without_marks

pytestmark = pytest.mark.contract

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

# What a person may write into a commit subject, a reason or a description.
NASTY = (
    "$(touch CANARY)", "`touch CANARY`", "x; touch CANARY; x", "x && touch CANARY", "| touch CANARY", "> CANARY", "it's", '"quoted"',
    "# the rest", "-x", "a -a other -m", "two\nlines\ntouch CANARY", "\\", "${IFS}", "*", "~", "!!", "", "ü → 🙂", "\x1b[31m", "\0",
)  # fmt: skip


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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "ground" in metafunc.fixturenames:
        real = ["cvmfs"] if metafunc.config.getoption("--cvmfs-test-repo") else []
        metafunc.parametrize("ground", ["ostree", "cvmfs stand-in", *real], indirect=True)
    if "publisher" in metafunc.fixturenames:
        real = ["cvmfs"] if metafunc.config.getoption("--cvmfs-test-repo") else []
        metafunc.parametrize("publisher", ["cvmfs stand-in", *real], indirect=True)


@pytest.fixture
def publisher(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """Only CernVM-FS."""
    yield from grounds(request, tmp_path)


@pytest.fixture
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    yield from grounds(request, tmp_path)


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


def test_where_garbage_is_not_collected_a_tag_goes_all_the_same(cvmfs: Ground) -> None:
    """As ``cvmfs_server mkfs`` makes them, unless it is told otherwise."""
    assert cvmfs.stand_in is not None
    (cvmfs.stand_in / "no-garbage-collection").touch()
    tree = cvmfs.tree()
    first = cvmfs.publish(tree)
    (tree / "usr/bin/tool").write_text("2")
    cvmfs.publish(tree)
    cvmfs.repository.untag(first.tags[0])
    cvmfs.repository.collect_garbage([])
    assert [one.number for one in cvmfs.repository.revisions(cvmfs.part)] == [2]


def flag(ground: Ground) -> Path:
    """What is there while a transaction is open in ``cvmfs_server``."""
    assert isinstance(ground.repository, CvmfsRepository)
    return ground.repository.spool / "in_transaction.lock"


@pytest.fixture
def cvmfs(tmp_path: Path) -> Ground:
    return stand_in(tmp_path, *PARTS)


@pytest.mark.parametrize(
    ("trouble", "said", "hint"),
    [
        ("whitelist-expired", "its whitelist has expired", "cvmfs_server resign"),
        ("server-down", "its web server does not answer", "start the web server"),
        ("writable-descriptor", "somebody writes a file in it", "close it"),
    ],
)
def test_what_stops_cvmfs_server_is_named_and_a_retry_works(cvmfs: Ground, trouble: str, said: str, hint: str) -> None:
    assert cvmfs.stand_in is not None
    tree = cvmfs.tree()
    (cvmfs.stand_in / trouble).touch()
    with pytest.raises(RepositoryError) as error:
        cvmfs.publish(tree)
    assert said in str(error.value)
    assert hint in str(error.value)
    assert cvmfs.repository.pending() is None
    assert not flag(cvmfs).exists(), "nothing stays open"
    (cvmfs.stand_in / trouble).unlink()
    assert cvmfs.publish(tree).number == 1


def test_a_web_server_that_goes_down_meanwhile_leaves_a_transaction_that_the_next_run_undoes(cvmfs: Ground) -> None:
    """Then ``cvmfs_server abort`` fails as well: what is open stays written down."""
    assert cvmfs.stand_in is not None
    tree = cvmfs.tree()
    manifest = Manifest.of_tree(tree)
    with (
        pytest.raises(RepositoryError, match="its web server does not answer"),
        cvmfs.repository.begin(cvmfs.part, Message("x", Origin("me")), None) as one,
    ):
        one.apply(between(None, manifest), tree, manifest)
        (cvmfs.stand_in / "server-down").touch()
        one.publish(tag_of(cvmfs.part, 1))
    assert flag(cvmfs).exists()
    assert cvmfs.repository.pending() is not None
    with pytest.raises(RepositoryError, match="its web server does not answer"):
        cvmfs.repository.resume()
    assert cvmfs.repository.pending() is not None
    (cvmfs.stand_in / "server-down").unlink()
    found = cvmfs.repository.resume()
    assert found is not None
    found.abort()
    assert not flag(cvmfs).exists()
    assert cvmfs.publish(tree).number == 1


def test_a_publish_that_was_killed_inside_cvmfs_server_is_repaired(cvmfs: Ground) -> None:
    assert cvmfs.stand_in is not None
    tree = cvmfs.tree()
    (cvmfs.stand_in / "die-while-publishing").touch()
    with pytest.raises(RepositoryError):
        cvmfs.publish(tree)
    assert not (cvmfs.stand_in / "unhealthy").exists()
    assert cvmfs.repository.head(cvmfs.part) is None
    assert cvmfs.publish(tree).number == 1


@pytest.mark.parametrize("trouble", ["die-while-publishing", "die-after-publishing"])
def test_a_run_that_was_killed_with_its_publish_is_taken_up(cvmfs: Ground, trouble: str) -> None:
    """Both are gone, and until an abort ``cvmfs_server`` does not even list its tags: published or not, the next run goes on."""
    assert cvmfs.stand_in is not None
    tree = cvmfs.tree()
    manifest = Manifest.of_tree(tree)
    pid = os.fork()
    if pid == 0:
        server = cvmfs.repository.server  # type: ignore[attr-defined]
        publishing = server.publish

        def killed(tag: str, message: str) -> None:
            (cvmfs.stand_in / trouble).touch()  # type: ignore[operator]
            try:
                publishing(tag, message)
            finally:
                os._exit(9)

        server.publish = killed
        transaction = cvmfs.repository.begin(cvmfs.part, Message("gone", Origin("gone@host")), None)
        transaction.apply(between(None, manifest), tree, manifest)
        transaction.publish(tag_of(cvmfs.part, 1))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    with pytest.raises(RepositoryError, match="a publish was killed in it"):
        cvmfs.repository.revisions(cvmfs.part)
    found = cvmfs.repository.resume()
    assert found is not None
    assert found.state is (State.OPEN if trouble == "die-while-publishing" else State.PUBLISHED)
    found.abort() if found.state is State.OPEN else found.close()
    assert cvmfs.repository.pending() is None
    assert not flag(cvmfs).exists()
    assert len(cvmfs.repository.revisions(cvmfs.part)) == (1 if trouble == "die-after-publishing" else 0)


def test_a_publish_that_fails_after_its_snapshot_was_made_is_finished_by_the_next_run(cvmfs: Ground) -> None:
    assert cvmfs.stand_in is not None
    tree = cvmfs.tree()
    (cvmfs.stand_in / "die-after-publishing").touch()
    with pytest.raises(RepositoryError, match="was published to test, although cvmfs_server failed") as error:
        cvmfs.publish(tree)
    assert "run the same command again" in str(error.value)
    found = cvmfs.repository.resume()
    assert found is not None
    with found:
        assert found.published.root == Manifest.of_tree(tree).root
    head = cvmfs.repository.head(cvmfs.part)
    assert head is not None
    assert cvmfs.scanned(head).root == head.root


def test_somebody_elses_transaction_is_left_alone(publisher: Ground) -> None:
    by_hand(publisher, "transaction")
    with pytest.raises(RepositoryError, match="a transaction is open that is not ours"):
        publisher.publish(publisher.tree())
    assert flag(publisher).exists()
    assert publisher.repository.pending() is None


def killed_around_opening(ground: Ground, *, before: bool) -> None:
    """A run that is killed before, or right after, ``cvmfs_server`` has opened its transaction."""
    pid = os.fork()
    if pid == 0:
        server = ground.repository.server  # type: ignore[attr-defined]
        opening = server.transaction

        def killed(lease: str = "") -> None:
            if not before:
                opening(lease)
            os._exit(9)

        server.transaction = killed
        ground.repository.begin(ground.part, Message("gone", Origin("gone@host")), None)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def by_hand(ground: Ground, *arguments: str) -> None:
    """Run ``cvmfs_server`` as somebody else does."""
    repository = ground.repository
    assert isinstance(repository, CvmfsRepository)
    assert os.spawnlp(os.P_WAIT, repository.server.program, "cvmfs_server", *arguments, repository.domain) == 0


def test_a_run_that_was_killed_right_after_opening_leaves_nothing_open(publisher: Ground) -> None:
    killed_around_opening(publisher, before=False)
    assert flag(publisher).exists()
    assert publisher.repository.pending() is not None
    found = publisher.repository.resume()
    assert found is not None
    found.abort()
    assert not flag(publisher).exists()
    assert publisher.publish(publisher.tree()).number == 1


def test_a_run_that_was_killed_before_opening_takes_nobody_elses_transaction_away(publisher: Ground) -> None:
    killed_around_opening(publisher, before=True)
    by_hand(publisher, "transaction")
    repository = publisher.repository
    assert isinstance(repository, CvmfsRepository)
    (repository.mounted / "theirs").write_text("hours of work")
    found = repository.resume()
    assert found is not None
    found.abort()
    assert repository.pending() is None
    assert (repository.mounted / "theirs").read_text() == "hours of work"
    assert flag(publisher).exists()
    by_hand(publisher, "publish")
    assert publisher.publish(publisher.tree()).number == 1


def test_a_transaction_that_was_open_before_ours_is_not_taken_away(publisher: Ground) -> None:
    by_hand(publisher, "transaction")
    os.utime(flag(publisher), (1_700_000_000, 1_700_000_000))
    killed_around_opening(publisher, before=True)
    found = publisher.repository.resume()
    assert found is not None
    found.abort()
    assert flag(publisher).exists()


@pytest.mark.parametrize("after", ["begin", "apply"])
def test_a_transaction_that_replaced_ours_is_neither_published_nor_taken_away(publisher: Ground, after: str) -> None:
    """Somebody aborts what is open, and begins another: its file may have the number that the old one had."""
    tree = publisher.tree()
    manifest = Manifest.of_tree(tree)
    changes = between(None, manifest)
    transaction = publisher.repository.begin(publisher.part, Message("x", Origin("me")), None)
    if after == "apply":
        transaction.apply(changes, tree, manifest)
    by_hand(publisher, "abort", "-f")
    by_hand(publisher, "transaction")
    with pytest.raises(RepositoryError, match="was taken away; nothing was published"):
        if after == "apply":
            transaction.publish(tag_of(publisher.part, 1))
        else:
            transaction.apply(changes, tree, manifest)
    transaction.abort()
    assert flag(publisher).exists()
    assert publisher.repository.pending() is None
    by_hand(publisher, "publish")
    assert publisher.repository.head(publisher.part) is None


def test_a_part_that_was_changed_behind_our_back_is_not_built_on(publisher: Ground) -> None:
    tree = publisher.tree()
    publisher.publish(tree)
    repository = publisher.repository
    assert isinstance(repository, CvmfsRepository)
    outside, inside = repository.mounted / "software", repository.mounted / repository.below(publisher.part) / "usr/bin/tool"
    for path, refused in ((outside, False), (inside, True)):
        by_hand(publisher, "transaction")
        path.write_text(f"by hand {os.getpid()}")
        by_hand(publisher, "publish")
        (tree / "usr/bin/tool").write_text(f"ours {refused}")
        if not refused:
            assert publisher.publish(tree).number == 2
            continue
        with pytest.raises(RepositoryError, match="was changed in test behind our back") as error:
            publisher.publish(tree)
        assert "usr/bin/tool" in str(error.value)


def test_catalogs_are_kept_small_and_other_lines_stay(publisher: Ground) -> None:
    repository = publisher.repository
    assert isinstance(repository, CvmfsRepository)
    by_hand(publisher, "transaction")
    (repository.mounted / ".cvmfsdirtab").write_text("/software/*\n")
    by_hand(publisher, "publish")
    publisher.publish(publisher.tree())
    lines = (repository.mounted / ".cvmfsdirtab").read_text().splitlines()
    below = f"/{repository.below(publisher.part)}"
    assert lines == ["/software/*", below, f"{below}/usr", f"{below}/usr/*", f"{below}/var/db/pkg"]
    assert (repository.mounted / below[1:] / ".cvmfscatalog").exists()
    assert (repository.mounted / below[1:] / "usr/share/.cvmfscatalog").exists()


def test_a_whitelist_that_expires_soon_is_a_warning(cvmfs: Ground) -> None:
    repository = cvmfs.repository
    assert isinstance(repository, CvmfsRepository)
    repository.storage.mkdir(parents=True)
    for days, findings in ((20, 0), (2, 1)):
        stamp = (datetime.now(UTC) + timedelta(days=days)).strftime("E%Y%m%d%H%M%S")
        (repository.storage / ".cvmfswhitelist").write_bytes(
            f"20261101000000\n{stamp}\nNsoftware.example.org\n--\n\xff".encode("latin-1")
        )
        assert len(repository.warnings()) == len(repository.check()) == findings


def test_behind_a_gateway_the_nearest_directory_that_exists_is_leased(cvmfs: Ground) -> None:
    repository = cvmfs.repository
    assert isinstance(repository, CvmfsRepository)
    assert repository.leased(cvmfs.part) == ""
    repository.settings.mkdir(parents=True)
    (repository.settings / "server.conf").write_text(
        "CVMFS_UPSTREAM_STORAGE=gw,/srv/cvmfs/x/data/txn,http://gateway:4929/api/v1\n"
    )
    (repository.mounted / "versions").mkdir()
    assert repository.leased(cvmfs.part) == "versions"
    assert cvmfs.publish(cvmfs.tree()).number == 1
    assert not (repository.mounted / ".cvmfsdirtab").exists(), "it lies outside of the lease"


def test_a_test_repository_of_another_name_holds_a_part_where_production_will(tmp_path: Path) -> None:
    make_stand_in(tmp_path, "test.example.org")
    repository = stand_in_repository(tmp_path, "test", "test.example.org", tmp_path / "ledger")
    ground = Ground(repository, lambda: repository, tmp_path, *PARTS, ())
    revision = ground.publish(ground.tree())
    assert repository.tree(revision, ground.part).is_relative_to(tmp_path / "cvmfs/test.example.org")
    assert (repository.mounted / "versions/2026.11/compat/linux/x86_64/usr/bin/tool").is_file()


def test_an_earlier_revision_is_not_shown_where_the_publisher_hides_its_snapshots(cvmfs: Ground) -> None:
    """CernVM-FS's default: ``.cvmfs/snapshots`` is not there."""
    repository = cvmfs.repository
    assert isinstance(repository, CvmfsRepository)
    tree = cvmfs.tree()
    first = cvmfs.publish(tree)
    (tree / "usr/bin/tool").write_text("2")
    second = cvmfs.publish(tree)
    assert repository.shows(first, cvmfs.part)
    shutil.rmtree(repository.mounted / ".cvmfs")
    assert repository.shows(second, cvmfs.part)
    assert not repository.shows(first, cvmfs.part)
    with pytest.raises(RepositoryError) as error:
        repository.tree(first, cvmfs.part)
    assert "CVMFS_VIRTUAL_DIR=true" in str(error.value)


def test_a_part_with_another_prefix_does_not_belong_here(cvmfs: Ground) -> None:
    part = replace(cvmfs.part, prefix=PurePosixPath("/opt/elsewhere"))
    with pytest.raises(RepositoryError, match="does not belong into test"):
        cvmfs.publish(cvmfs.tree(), part=part)
    assert cvmfs.repository.pending() is None


def test_without_cvmfs_server_the_error_says_where_to_go(tmp_path: Path) -> None:
    repository = CvmfsRepository("production", DOMAIN, tmp_path, program=str(tmp_path / "cvmfs_server"))
    with pytest.raises(RepositoryError) as error:
        repository.head(PARTS[0])
    assert "publisher" in str(error.value)
