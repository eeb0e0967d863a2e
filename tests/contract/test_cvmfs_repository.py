"""What the CernVM-FS backend promises beyond the contract of repositories: the traps of ``cvmfs_server``.

On the stand-in always; those that ask for a ``publisher`` also on a real one (``--cvmfs-test-repo``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest

from compatlayer.errors import RepositoryError
from compatlayer.repository.base import Message, Origin, State, tag_of
from compatlayer.repository.cvmfs import CvmfsRepository
from compatlayer.tree.between import between
from compatlayer.tree.manifest import Manifest
from tests.contract.repository_ground import DOMAIN, PARTS, Ground, grounds, stand_in
from tests.cvmfs_publishers import make_stand_in, stand_in_repository

pytestmark = pytest.mark.contract


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "publisher" in metafunc.fixturenames:
        real = ["cvmfs"] if metafunc.config.getoption("--cvmfs-test-repo") else []
        metafunc.parametrize("publisher", ["cvmfs stand-in", *real], indirect=True)


@pytest.fixture
def publisher(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    yield from grounds(request, tmp_path)


@pytest.fixture
def cvmfs(tmp_path: Path) -> Ground:
    return stand_in(tmp_path, *PARTS)


def flag(ground: Ground) -> Path:
    """What is there while a transaction is open in ``cvmfs_server``."""
    assert isinstance(ground.repository, CvmfsRepository)
    return ground.repository.spool / "in_transaction.lock"


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
