"""What goes wrong while publishing and promoting: whatever it is, nothing is half published and the next run ends well."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from compatlayer import past, promote, publish, signing
from compatlayer.changelog import OWN_FILES
from compatlayer.errors import LockHeldError, RepositoryError, StageError
from compatlayer.gates import Question
from compatlayer.promote import Promoted
from compatlayer.publish import Published
from compatlayer.repository import TEST
from compatlayer.repository.base import Message, Origin, Repository, Revision, State
from compatlayer.repository.deliver import take_up
from compatlayer.tree.manifest import Manifest
from tests.cvmfs_publishers import PRODUCTION_DOMAIN, TEST_DOMAIN, make_stand_in, use_stand_in, without_marks
from tests.faults.crashes import killed_at_every_point
from tests.published_part import SOURCE, TARGET, PublishedLayer

pytestmark = pytest.mark.faults

NAME = f"2026.11-{TARGET.name}"


@pytest.fixture
def layer(tmp_path: Path) -> PublishedLayer:
    """A layer whose stage was published once; test and production are equal, and the stage has changed since."""
    return ground(tmp_path, "ostree")


@pytest.fixture(params=["ostree", pytest.param("cvmfs", marks=pytest.mark.slow)])
def any_layer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublishedLayer:
    """The same, on either backend; CernVM-FS's is the stand-in, which is a program of many processes."""
    use_stand_in(monkeypatch)
    return ground(tmp_path, request.param)


def ground(directory: Path, backend: str) -> PublishedLayer:
    layer = PublishedLayer(directory / "ground")
    layer.declare(backend=backend)
    if backend == "cvmfs":
        make_stand_in(layer.directory, TEST_DOMAIN, PRODUCTION_DOMAIN)
    layer.fill()
    do_publish(layer)
    do_promote(layer)
    change(layer)
    return layer


def change(layer: PublishedLayer, version: str = "1.1") -> None:
    upper = layer.stage().upper
    layer.package("app-misc/tiny-1.0", {"usr/bin/tiny": f"#!/bin/sh\necho {version}\n"}, built=2)
    (upper / "usr/share/tiny/one").unlink(missing_ok=True)
    (upper / "usr/share/new").mkdir(parents=True, exist_ok=True)
    (upper / f"usr/share/new/{version}").write_text(version)


def do_publish(layer: PublishedLayer) -> Published:
    take_up(layer.test)
    return publish.publish(layer.layer, layer.stage(), layer.test)


def key(layer: PublishedLayer) -> signing.PrivateKey:
    file = layer.state / "keys/operator.pem"
    found = signing.private_key(file) if file.exists() else signing.make_private_key(file)
    assert found is not None
    return found


def question(layer: PublishedLayer, publisher: str = "") -> Question:
    test, head = layer.test, layer.test.head(layer.part)
    assert head is not None
    return Question(layer.layer, layer.version, TARGET, layer.state, test, layer.production, head, publisher)


def do_promote(layer: PublishedLayer) -> Promoted:
    own = key(layer)
    promote.take_up_promotion(layer.production, own)
    return promote.promote(question(layer, own.keyid), own)


def rollback_to_first(layer: PublishedLayer) -> None:
    take_up(layer.production)
    production = layer.production
    first = next(one for one in production.revisions(layer.part) if one.number == 1)
    past.rollback(layer.root, production, layer.part, first)


def head(repository: Repository, layer: PublishedLayer) -> Revision:
    found = repository.head(layer.part)
    assert found is not None
    return found


def tree(repository: Repository, layer: PublishedLayer) -> Manifest:
    """What a repository really holds, read from it without any manifest that was kept."""
    with repository.read(head(repository, layer), layer.part) as directory:
        return without_marks(directory)


def without_own(manifest: Manifest) -> list[object]:
    return [entry for entry in manifest if entry.path not in OWN_FILES]


def check_whole(repository: Repository, layer: PublishedLayer) -> None:
    """A reader sees one whole revision, which is what it says."""
    now = head(repository, layer)
    assert tree(repository, layer).root == now.root == repository.manifest(now, layer.part).root


def test_a_publish_killed_anywhere_shows_all_or_nothing_and_the_next_one_ends_well(
    any_layer: PublishedLayer, tmp_path: Path
) -> None:
    layer = any_layer
    before = head(layer.test, layer).root
    wanted = without_own(Manifest.of_tree(layer.stage().upper))
    for point, left in killed_at_every_point(layer.directory, tmp_path, do_publish):
        seen = head(left.test, left)
        check_whole(left.test, left)
        assert (seen.number == 1) == (seen.root == before), point
        do_publish(left)
        check_whole(left.test, left)
        assert without_own(tree(left.test, left)) == wanted, point
        assert [one.number for one in left.test.revisions(left.part)] == [2, 1], point
        assert sorted(left.test.tags()) == [f"{NAME}.1", f"{NAME}.2"], point
        assert left.test.pending() is None
        assert do_publish(left).revision is None, "a third run has nothing to do"
        assert head(left.production, left).root == before, "production is another repository"


def test_a_promotion_killed_anywhere_leaves_a_receipt_in_the_end(any_layer: PublishedLayer, tmp_path: Path) -> None:
    layer = any_layer
    before = head(layer.production, layer).root
    do_publish(layer)
    wanted = head(layer.test, layer).root
    for point, left in killed_at_every_point(layer.directory, tmp_path, do_promote):
        assert head(left.production, left).root in (before, wanted), point
        check_whole(left.production, left)
        do_promote(left)
        check_whole(left.production, left)
        assert head(left.production, left).root == wanted, point
        assert [one.number for one in left.production.revisions(left.part)] == [2, 1], point
        receipt = left.production.ledger.receipts / f"{NAME}.2.json"
        checked = promote.check_receipt(receipt, [key(left).public("own")], left.production, left.part)
        assert checked.standing == "what production holds now", point
        assert f"{NAME}.2" in (left.root / f"changelogs/{NAME}.md").read_text()
        assert left.production.pending() is None
        assert do_promote(left).revision is None


def test_a_rollback_killed_anywhere_restores_exactly_in_the_end(any_layer: PublishedLayer, tmp_path: Path) -> None:
    layer = any_layer
    wanted = head(layer.production, layer).root
    do_publish(layer)
    do_promote(layer)
    before = head(layer.production, layer).root
    for point, left in killed_at_every_point(layer.directory, tmp_path, rollback_to_first):
        assert head(left.production, left).root in (before, wanted), point
        rollback_to_first(left)
        check_whole(left.production, left)
        assert head(left.production, left).root == wanted, point
        assert [one.number for one in left.production.revisions(left.part)] == [3, 2, 1], point


def test_a_helper_that_is_killed_is_an_error_and_changes_nothing(layer: PublishedLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    from compatlayer.repository.ostree_pipe import OstreePipe

    before = head(layer.test, layer)
    ask = OstreePipe.ask

    def killed(self: OstreePipe, repository: str, operation: str, **request: object) -> object:
        if operation == "write":
            self._child.kill()
        return ask(self, repository, operation, **request)

    monkeypatch.setattr(OstreePipe, "ask", killed)
    with pytest.raises(RepositoryError, match="the helper for test ended"):
        do_publish(layer)
    monkeypatch.undo()
    assert head(layer.test, layer) == before
    assert layer.test.pending() is None
    assert do_publish(layer).revision is not None


def test_a_second_operator_is_told_who_is_at_it(layer: PublishedLayer) -> None:
    now = head(layer.test, layer)
    message = Message("first", Origin("first@host"))
    with layer.test.begin(layer.part, message, now), pytest.raises(LockHeldError) as refused:
        do_publish(layer)
    assert f"process {os.getpid()}" in str(refused.value)
    assert socket.gethostname() in str(refused.value)
    assert head(layer.test, layer) == now
    assert do_publish(layer).revision is not None


def test_two_publishes_at_once_end_in_one_revision_each_or_a_refusal(layer: PublishedLayer) -> None:
    processes = [
        subprocess.Popen(
            layer.command("publish"),
            cwd=SOURCE,
            stderr=subprocess.PIPE,
            text=True,
            env=_environment(layer),
            stdout=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    ended = [(process.communicate()[1], process.returncode) for process in processes]
    assert {code for _, code in ended} <= {0, 5}, ended
    assert any(code == 0 for _, code in ended)
    assert all("in use" in said for said, code in ended if code == 5), ended
    assert [one.number for one in layer.test.revisions(layer.part)] == [2, 1]
    check_whole(layer.test, layer)


def test_a_stage_that_does_not_stand_on_the_head_is_refused(layer: PublishedLayer) -> None:
    layer.over()
    change(layer, "mine")
    other = PublishedLayer(layer.directory)
    saved = layer.state.rename(layer.directory / "mine")
    try:
        other.over()
        change(other, "theirs")
        do_publish(other)
        shutil.rmtree(other.state / "stages")
        (saved / "stages").rename(other.state / "stages")
    finally:
        shutil.rmtree(saved)
    theirs = head(layer.test, layer)
    with pytest.raises(StageError, match="does not stand on what test holds") as refused:
        do_publish(layer)
    assert f"test holds revision {theirs.number}" in str(refused.value)
    assert head(layer.test, layer) == theirs


def test_a_branch_that_moves_during_a_publish_is_not_overwritten(layer: PublishedLayer) -> None:
    now = head(layer.test, layer)
    repository = layer.test
    transaction = repository.begin(layer.part, Message("mine", Origin("me")), now)
    source = layer.stage().upper
    manifest = Manifest.of_tree(source)
    from compatlayer.tree.between import between

    transaction.apply(between(repository.manifest(now, layer.part), manifest), source, manifest)
    foreign = _ostree(
        layer, "commit", f"--branch=tiny/2026.11/{TARGET.name}", "--subject=by hand", f"--tree=dir={source}/usr/bin"
    ).strip()
    with pytest.raises(RepositoryError), transaction:
        transaction.publish(None)
    assert _ostree(layer, "rev-parse", f"tiny/2026.11/{TARGET.name}").strip() == foreign


def test_a_commit_by_hand_is_named_and_nothing_is_built_on_it(layer: PublishedLayer) -> None:
    _ostree(
        layer, "commit", f"--branch=tiny/2026.11/{TARGET.name}", "--subject=by hand", f"--tree=dir={layer.stage().upper}/usr/bin"
    )
    with pytest.raises(RepositoryError, match="was not made by compatlayer") as refused:
        do_publish(layer)
    assert "by hand" in str(refused.value)


def test_a_receipt_tells_when_production_was_changed_behind_our_back(layer: PublishedLayer) -> None:
    do_publish(layer)
    receipt = do_promote(layer).receipt
    assert receipt is not None
    branch = f"tiny/2026.11/{TARGET.name}"
    first = _ostree(layer, "rev-parse", f"{branch}^", repository="production").strip()
    document = json.loads(
        _ostree(layer, "show", branch, "--print-metadata-key=compatlayer.record", repository="production")
        .strip()
        .strip("'")
        .replace("\\", "")
    )
    record = json.dumps(document)
    _ostree(
        layer,
        "commit",
        f"--branch={branch}",
        "--subject=forged",
        f"--tree=ref={first}",
        f"--parent={first}",
        f"--add-metadata-string=compatlayer.record={record}",
        repository="production",
    )
    with pytest.raises(RepositoryError, match="is not what the receipt"):
        promote.check_receipt(receipt, [key(layer).public("own")], layer.production, layer.part)


def test_a_damaged_object_of_the_test_repository_never_reaches_production(layer: PublishedLayer) -> None:
    do_publish(layer)
    before = head(layer.production, layer)
    damaged = [
        path
        for path in (layer.root / "repositories/test/objects").rglob("*.file")
        if path.read_bytes() == b"#!/bin/sh\necho 1.1\n"
    ]
    assert len(damaged) == 1
    damaged[0].write_bytes(b"#!/bin/sh\necho 6.6\n")
    with pytest.raises(RepositoryError, match="was not written as it should be") as refused:
        do_promote(layer)
    assert "usr/bin/tiny" in str(refused.value)
    assert head(layer.production, layer) == before
    assert layer.production.pending() is None
    found = layer.test.check()
    assert len(found) == 1
    assert "usr/bin/tiny" in found[0].path


def test_a_manifest_altered_by_one_bit_is_noticed(layer: PublishedLayer) -> None:
    do_publish(layer)
    file = layer.test.ledger.directory / "manifests.db"
    digest = bytes.fromhex(head(layer.test, layer).root)
    with sqlite3.connect(file) as connection:
        content = bytearray(connection.execute("SELECT content FROM directory WHERE digest = ?", (digest,)).fetchone()[0])
        content[content.index(b"usr")] ^= 1
        connection.execute("UPDATE directory SET content = ? WHERE digest = ?", (bytes(content), digest))
    before = head(layer.production, layer)
    with pytest.raises(StageError, match=r"manifests\.db is damaged"):
        do_promote(layer)
    assert head(layer.production, layer) == before
    file.unlink()
    assert do_promote(layer).revision is not None, "a manifest that is gone is made again"


def test_a_file_that_changes_while_it_is_published_stops_the_publish(
    layer: PublishedLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compatlayer.repository.ostree_pipe import OstreePipe

    before = head(layer.test, layer)
    ask = OstreePipe.ask

    def meddling(self: OstreePipe, repository: str, operation: str, **request: object) -> object:
        if operation == "write":
            (layer.stage().upper / "usr/bin/tiny").write_text("#!/bin/sh\necho 6.6\n")
        return ask(self, repository, operation, **request)

    monkeypatch.setattr(OstreePipe, "ask", meddling)
    with pytest.raises(RepositoryError, match="was not written as it should be"):
        do_publish(layer)
    assert head(layer.test, layer) == before
    assert layer.test.pending() is None


def test_an_open_transaction_is_shown_and_aborted_by_hand(layer: PublishedLayer) -> None:
    now = head(layer.test, layer)
    pid = os.fork()
    if pid == 0:
        transaction = layer.test.begin(layer.part, Message("left open", Origin("gone@host")), now)
        os._exit(0 if transaction.state is State.OPEN else 1)
    assert os.waitpid(pid, 0)[1] == 0
    with pytest.raises(RepositoryError, match=r"a transaction of .* is open in test") as refused:
        layer.test.begin(layer.part, Message("mine", Origin("me")), now)
    assert "gone@host" in str(refused.value)
    status = layer.run("transaction", "status", code=5)
    assert "left open" in status.stdout
    assert "gone@host" in status.stdout
    assert "undone" in layer.run("transaction", "abort").stderr
    assert layer.run("transaction", "status").stdout == "test: nothing is open\nproduction: nothing is open\n"
    assert head(layer.test, layer) == now


def test_a_journal_of_another_format_is_not_guessed_at(layer: PublishedLayer) -> None:
    layer.test.ledger.journal.path.write_text('{"step": "strange", "at_utc": "x", "data": {}}\n')
    with pytest.raises(RepositoryError, match="something else than a transaction"):
        do_publish(layer)


@pytest.mark.userns
def test_a_full_disk_publishes_nothing_and_the_next_run_ends_well(layer: PublishedLayer) -> None:
    (layer.stage().upper / "usr/share/large").write_bytes(os.urandom(6 << 20))
    repositories = layer.root / "repositories"
    script = f"""
set -e
cp -a {repositories} {layer.directory}/saved
mount -t tmpfs -o size=64m full {repositories}
cp -a {layer.directory}/saved/. {repositories}
# All but four megabytes; an ordinary user cannot mount it again with another size.
head -c 60M /dev/zero >{repositories}/filler
"$@" && exit 90
code=$?
"$0" -m compatlayer --layer {layer.root}/layer.yaml --state {layer.state} --format json history
rm {repositories}/filler
"$@" >&2
"$0" -m compatlayer --layer {layer.root}/layer.yaml --state {layer.state} --format json history >{layer.directory}/after
exit $code
"""
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--user", "--mount"]
    done = subprocess.run(
        [*unshare, "sh", "-c", script, sys.executable, *layer.command("publish")],
        cwd=SOURCE,
        env=_environment(layer),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert [one["test"]["number"] for one in json.loads(done.stdout)["revisions"]] == [1]
    after = json.loads((layer.directory / "after").read_text())
    assert [one["test"]["number"] for one in after["revisions"]] == [2, 1]


def _environment(layer: PublishedLayer) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(layer.directory)}


def _ostree(layer: PublishedLayer, *arguments: str, repository: str = TEST) -> str:
    command = ["ostree", f"--repo={layer.root}/repositories/{repository}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(autouse=True)
def _operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPATLAYER_OPERATOR", "ops@tests")
