"""From test to production where both are CernVM-FS repositories: on the stand-in always, and on the real ones where
``--cvmfs-test-repo`` and ``--cvmfs-production-repo`` name them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from compatlayer import past, promote, publish, signing
from compatlayer.__main__ import main
from compatlayer.errors import RepositoryError
from compatlayer.gates import Question
from compatlayer.promote import Promoted
from compatlayer.repository.base import Revision
from compatlayer.repository.cvmfs import CvmfsRepository
from compatlayer.tree.manifest import Manifest
from tests.cvmfs_publishers import PRODUCTION_DOMAIN, TEST_DOMAIN, make_stand_in, use_stand_in, without_marks
from tests.published_part import TARGET, PublishedLayer

pytestmark = pytest.mark.contract


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "layer" in metafunc.fixturenames:
        named = [metafunc.config.getoption(f"--cvmfs-{name}-repo") for name in ("test", "production")]
        real = [pytest.param(tuple(named), id="real")] if all(named) else []
        metafunc.parametrize("layer", [pytest.param(None, id="stand-in"), *real], indirect=True)


@pytest.fixture
def layer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PublishedLayer]:
    layer = PublishedLayer(tmp_path, *(request.param or (TEST_DOMAIN, PRODUCTION_DOMAIN)))
    layer.declare(backend="cvmfs")
    if request.param is None:
        use_stand_in(monkeypatch)
        make_stand_in(tmp_path, *layer.domains)
    layer.fill()
    publish.publish(layer.layer, layer.stage(), layer.test)
    yield layer
    if request.param is not None:
        for repository in (layer.test, layer.production):
            if repository.pending() is not None and (left := repository.resume()) is not None:
                left.abort()
            for tag in repository.tags():
                repository.untag(tag)


@pytest.fixture
def key(tmp_path: Path) -> signing.PrivateKey:
    return signing.make_private_key(tmp_path / "own.pem")


def run_promote(layer: PublishedLayer, key: signing.PrivateKey) -> Promoted:
    head = layer.test.head(layer.part)
    assert head is not None
    question = Question(layer.layer, layer.version, TARGET, layer.state, layer.test, layer.production, head, key.keyid)
    return promote.promote(question, key, full_readback=True)


def seen(layer: PublishedLayer) -> Manifest:
    """What clients of production see."""
    production = layer.production
    assert isinstance(production, CvmfsRepository)
    return without_marks(production.mounted / production.below(layer.part))


def test_the_tested_bits_go_to_production_and_a_receipt_says_so(layer: PublishedLayer, key: signing.PrivateKey) -> None:
    first = run_promote(layer, key)
    assert first.revision is not None
    assert first.receipt is not None
    assert seen(layer).root == first.revision.root == first.tested.root
    checked = promote.check_receipt(first.receipt, [key.public("own")], layer.production, layer.part)
    assert checked.standing == "what production holds now"
    predicate = checked.statement["predicate"]
    assert (predicate["test"]["backend"], predicate["production"]["identity"]) == ("cvmfs", first.revision.id)
    assert run_promote(layer, key).revision is None, "a second time there is nothing to do"


def test_a_rollback_restores_exactly_what_was(layer: PublishedLayer, key: signing.PrivateKey) -> None:
    first, second = two_promotions(layer, key)
    restored, section = past.rollback(layer.root, layer.production, layer.part, first, (layer.test,))
    assert restored is not None
    assert section is not None
    assert (restored.number, restored.root, restored.origin.restored_from) == (3, first.root, first.id)
    assert seen(layer).root == first.root != second.root
    assert [one.number for one in layer.production.revisions(layer.part)] == [3, 2, 1]


def test_the_whole_repository_is_rewound_only_after_saying_what_that_takes_away(
    layer: PublishedLayer, key: signing.PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = two_promotions(layer, key)
    places = ["--layer", str(layer.root / "layer.yaml"), "--state", str(layer.state)]
    command = [*places, "rollback", "--whole-repository", first.tags[0]]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert f"takes these tags away, and what their parts changed since:\n  {second.tags[0]}\n" in said
    assert "say --yes" in said
    assert seen(layer).root == second.root, "nobody said yes"
    assert main([*command, "--yes"]) == 0
    assert seen(layer).root == first.root
    assert [one.number for one in layer.production.revisions(layer.part)] == [1]
    assert main([*places, "rollback", "--whole-repository", "nowhere", "--yes"]) == 5
    assert "there is no tag nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["cvmfs", "mixed"])
def test_a_publisher_that_hides_its_snapshots_is_warned_of_and_rolled_back_from_where_they_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: signing.PrivateKey, backend: str
) -> None:
    """CernVM-FS's default: only the newest state can be read on a publisher."""
    layer = PublishedLayer(tmp_path)
    layer.declare(backend=backend)
    use_stand_in(monkeypatch)
    make_stand_in(tmp_path, *layer.domains)
    for domain in layer.domains:
        shutil.rmtree(tmp_path / "cvmfs" / domain / ".cvmfs")
    layer.fill()
    publish.publish(layer.layer, layer.stage(), layer.test)
    first, second = two_promotions(layer, key)
    assert [finding.identifier for finding in layer.production.warnings()] == ["snapshots-hidden"]
    assert not layer.production.shows(first, layer.part)
    if backend == "mixed":
        restored, _ = past.rollback(layer.root, layer.production, layer.part, first, (layer.test,))
        assert restored is not None
        assert restored.root == first.root == seen(layer).root
        return
    with pytest.raises(RepositoryError) as error:
        past.rollback(layer.root, layer.production, layer.part, first, (layer.test,))
    assert "CVMFS_VIRTUAL_DIR=true" in str(error.value)
    assert layer.production.head(layer.part) == second
    assert layer.production.pending() is None


def two_promotions(layer: PublishedLayer, key: signing.PrivateKey) -> tuple[Revision, Revision]:
    """What production held first, and what it holds now."""
    first = run_promote(layer, key).revision
    layer.package("app-misc/tiny-1.1", {"usr/bin/tiny": "1.1"}, built=2)
    publish.publish(layer.layer, layer.stage(), layer.test)
    second = run_promote(layer, key).revision
    assert first is not None
    assert second is not None
    assert seen(layer).root == second.root
    return first, second


def test_retention_and_garbage_collection_leave_what_is_needed(layer: PublishedLayer, key: signing.PrivateKey) -> None:
    run_promote(layer, key)
    for version in ("1.1", "1.2", "1.3"):
        layer.package(f"app-misc/tiny-{version}", {"usr/bin/tiny": version}, built=2)
        publish.publish(layer.layer, layer.stage(), layer.test)
    live = past.in_use(layer.test, layer.production, [layer.part])
    gone = past.keep_few(layer.test, [layer.part], live, most=3)
    assert [name.rpartition(".")[2] for name in gone] == []
    layer.package("app-misc/tiny-1.4", {"usr/bin/tiny": "1.4"}, built=2)
    publish.publish(layer.layer, layer.stage(), layer.test)
    gone = past.keep_few(layer.test, [layer.part], past.in_use(layer.test, layer.production, [layer.part]), most=4)
    assert [name.rpartition(".")[2] for name in gone] == ["2"], "the first is in production, the last three are recent"
    assert [one.number for one in layer.test.revisions(layer.part)] == [5, 4, 3, 1]
    assert list(layer.test.check()) == []
