"""Binary packages, from install to install: what was built is taken where the key is the same, and the layer is the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.tiny_layer import TINY_BINARIES, Ended, TinyLayer, tiny_layer

pytestmark = [pytest.mark.integration, pytest.mark.userns, pytest.mark.real]


@pytest.fixture
def layer() -> Iterator[TinyLayer]:
    """``top`` is built with ``middle``, which is built with ``bottom``; ``beside`` stands alone."""
    with tiny_layer() as layer:
        layer.package("app-misc/bottom-1", src_uri="mirror://tiny/bottom.txt", distfiles={"bottom.txt": b"source"})
        layer.package("app-misc/middle-1", depend="app-misc/bottom", rdepend="app-misc/bottom")
        layer.package("app-misc/top-1", depend="app-misc/middle:=", rdepend="app-misc/middle:=")
        layer.package("app-misc/beside-1")
        layer.write("upstream/bottom.txt", "source")
        declare(layer)
        yield layer


def declare(layer: TinyLayer, binaries: str = TINY_BINARIES) -> None:
    more = f"mirrors: {{tiny: ['{(layer.root / 'upstream').as_uri()}']}}\n{binaries}"
    layer.declare("app-misc/top", "app-misc/beside", more=more)


def origins(done: Ended) -> dict[str, tuple[str, str | None]]:
    """Where each package came from, and why it was built."""
    return {one["package"]: (one["origin"], one["because"]) for one in done.document["binaries"]["packages"]}


ALL = ("app-misc/bottom-1", "app-misc/middle-1", "app-misc/top-1", "app-misc/beside-1")
BINARY: tuple[str, Any] = ("binary", None)


def afresh(layer: TinyLayer, *arguments: str) -> Ended:
    """Install into a new stage."""
    layer.run("stage", "drop", "--yes", code=None)
    return layer.install(*arguments)


def test_what_was_built_is_taken_next_time_and_gives_the_same_layer(layer: TinyLayer) -> None:
    first = layer.run("install")
    assert "4 packages to build" in first.err
    assert "made a signing key: " in first.err
    assert first.out.count("           built: none is stored\n") == 4
    content, installed = layer.content(), layer.installed()

    # Nothing is fetched for what is not built, and a second machine's worth of state would do.
    shutil.rmtree(layer.root / "upstream")
    shutil.rmtree(layer.state / "mirror")
    layer.run("stage", "drop", "--yes")
    second = layer.run("install")
    assert "4 packages to take from binary packages\n" in second.err
    assert "app-misc/top-1: merged from its binary package in " in second.err
    assert second.out.count("           binary package from bins\n") == 4
    assert "4 packages from binary packages, 0 built, 4 packages installed as declared" in second.out
    assert (layer.content(), layer.installed()) == (content, installed)
    assert layer.run("verify").out.startswith("no findings")
    assert layer.install().document["skipped"]


def test_a_change_builds_what_it_reaches_and_takes_the_rest(layer: TinyLayer) -> None:
    layer.install()
    middle = layer.repository.path / "app-misc/middle/middle-1.ebuild"
    middle.write_text(middle.read_text() + "# a comment\n")

    # In the stage that has the package from before the edit, nothing is linked to what the keys say now.
    layer.package("app-misc/new-1", depend="app-misc/middle")
    layer.declare("app-misc/top", "app-misc/beside", "app-misc/new", more=TINY_BINARIES)
    stranger = "app-misc/middle-1 was not installed from what is declared now"
    there = layer.install()
    assert origins(there) == {"app-misc/new-1": ("source", stranger)}
    assert there.document["binaries"]["not_stored"] == [{"package": "app-misc/new-1", "reason": stranger}]
    assert f"not stored: app-misc/new-1: {stranger}" in there.err

    declare(layer)
    assert origins(afresh(layer)) == {
        "app-misc/bottom-1": BINARY,
        "app-misc/middle-1": ("source", "the stored one differs in ebuild"),
        "app-misc/top-1": ("source", "the stored one differs in dependency app-misc/middle-1"),
        "app-misc/beside-1": BINARY,
    }
    layer.config("make.conf", 'CFLAGS="-O3"\n')
    layer.config("patches/app-misc/beside/a.patch", "")
    found = origins(afresh(layer))
    assert found["app-misc/bottom-1"] == ("source", "the stored one differs in setting CFLAGS")
    assert found["app-misc/beside-1"] == ("source", "the stored one differs in patch app-misc/beside/a.patch, setting CFLAGS")
    assert {origin for origin, _ in found.values()} == {"source"}


def test_a_package_that_was_built_without_tests_is_never_taken_for_a_tested_one(layer: TinyLayer) -> None:
    layer.declare("app-misc/beside", more=TINY_BINARIES)
    layer.install()
    layer.config("make.conf", 'FEATURES="test"\n')
    tested = afresh(layer)
    assert origins(tested) == {"app-misc/beside-1": ("source", "the stored one differs in FEATURES test")}
    (again,) = afresh(layer).document["binaries"]["packages"]
    assert (again["origin"], again["tested"]) == ("binary", True)


def test_a_store_is_used_over_http_and_by_whoever_trusts_its_builder(layer: TinyLayer) -> None:
    layer.install()
    declare(layer, binaries="")
    other = ("--state", str(layer.directory / "other"))
    handler = partial(_Silent, directory=str(layer.root / "bins"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        place = ("--binaries", f"http://127.0.0.1:{server.server_address[1]}")
        # Another state directory has a key of its own, and knows no builder yet.
        stranger = layer.run("--format", "json", "install", *other, *place)
        assert set(origins(stranger).values()) == {("source", f"the one in {place[1]} cannot be used")}
        assert "is not signed by a key that is trusted: signed by" in stranger.err
        layer.run("stage", "drop", "--yes", *other)
        shutil.rmtree(layer.directory / "other" / "mirror")
        shutil.rmtree(layer.root / "upstream")

        layer.write("keys/builder.pub", (layer.state / "keys/operator.pub").read_text())
        friend = layer.run("--format", "json", "install", *other, *place)
        assert origins(friend) == dict.fromkeys(ALL, BINARY)
        assert friend.document["binaries"]["stored"] == []
        server.shutdown()


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_binary_packages_are_left_alone_where_nobody_asks_for_them(layer: TinyLayer) -> None:
    layer.install()
    layer.run("stage", "drop", "--yes")
    wrong = layer.run("install", "--no-binaries", "--binaries", "somewhere", code=2)
    assert wrong.err == "error: --binaries and --no-binaries exclude each other\n"
    before = (layer.root / "bins/index.jsonl").read_bytes()
    assert layer.install("--no-binaries").document["binaries"] is None
    assert (layer.root / "bins/index.jsonl").read_bytes() == before
    assert list((layer.state / "packages").rglob("*.gpkg.tar")) == []


def test_a_layer_cannot_bring_in_binary_packages_behind_the_stores(layer: TinyLayer, tmp_path: Path) -> None:
    layer.install()
    # What Portage would take by itself: everything that lies in PKGDIR, from before an edit.
    for line in (layer.root / "bins/packages").rglob("*.gpkg.tar"):
        package = line.parent.name.rpartition("-")[0]
        kept = layer.state / "packages" / layer.stage.name / "app-misc" / package / f"{line.parent.name}-1.gpkg.tar"
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(line, kept)
    layer.config("make.conf", 'EMERGE_DEFAULT_OPTS="--usepkg --getbinpkg"\nFEATURES="getbinpkg"\n')
    middle = layer.repository.path / "app-misc/middle/middle-1.ebuild"
    middle.write_text(middle.read_text() + "# a comment\n")
    found = afresh(layer)
    assert origins(found)["app-misc/middle-1"] == ("source", "the stored one differs in ebuild")
    assert (layer.upper / "var/db/pkg/app-misc/middle-1/middle-1.ebuild").read_text().endswith("# a comment\n")
