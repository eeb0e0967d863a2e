"""Stores of binary packages that were damaged, altered or left in the middle of something: the layer is built all the same."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from compatlayer import signing
from compatlayer.binaries.entry import Entry, read_line
from compatlayer.binaries.store import parse_index
from tests.tiny_layer import TINY_BINARIES, Ended, TinyLayer, processes_in, tiny_layer, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.userns, pytest.mark.real]


@pytest.fixture
def layer() -> Iterator[TinyLayer]:
    with tiny_layer() as layer:
        yield layer


def index_of(layer: TinyLayer) -> Path:
    return layer.root / "bins" / "index.jsonl"


def entries(layer: TinyLayer) -> dict[str, Entry]:
    return {line.claimed.cpv: line.claimed for line in parse_index(index_of(layer).read_bytes())}


def origins(done: Ended) -> dict[str, tuple[str, str | None]]:
    return {one["package"]: (one["origin"], one["because"]) for one in done.document["binaries"]["packages"]}


def test_every_kind_of_damage_is_refused_said_and_built_over(layer: TinyLayer) -> None:
    names = ("whole", "altered", "truncated", "gone", "unsigned", "rekeyed", "foreign", "garbled")
    for name in names:
        layer.package(f"app-misc/{name}-1")
    layer.declare(*(f"app-misc/{name}" for name in names), more=TINY_BINARIES)
    layer.install()
    content = layer.content()
    plant(layer)
    layer.run("stage", "drop", "--yes")

    done = layer.install()
    unusable = ("source", "the one in bins cannot be used")
    assert origins(done) == {
        "app-misc/whole-1": ("binary", None),
        **{f"app-misc/{name}-1": unusable for name in ("altered", "truncated", "gone", "unsigned", "rekeyed", "foreign")},
        "app-misc/garbled-1": ("source", "none is stored"),
    }
    reasons = {one["package"]: one["reason"] for one in done.document["binaries"]["refused"]}
    assert "its SHA-256 is not the one that was signed" in reasons["app-misc/altered-1"]
    assert "has 5000 bytes instead of" in reasons["app-misc/truncated-1"]
    assert "No such file" in reasons["app-misc/gone-1"]
    assert "signed by nobody" in reasons["app-misc/unsigned-1"]
    assert "the signature of its entry does not hold" in reasons["app-misc/rekeyed-1"]
    assert "is not signed by a key that is trusted" in reasons["app-misc/foreign-1"]
    assert reasons[None].startswith("index, line ")
    for reason in reasons.values():
        assert any(reason in event.get("text", "") and "warning: " in event["text"] for event in done.events)
    assert layer.content() == content

    # What was built over is stored, and wins from then on.
    layer.run("stage", "drop", "--yes")
    again = layer.install()
    assert set(origins(again).values()) == {("binary", None)}
    assert {one["package"] for one in again.document["binaries"]["refused"]} == {None}


def plant(layer: TinyLayer) -> None:
    """Damage the store: one package after the other, each in its own way."""
    stored = {cpv.split("/")[1][:-2]: layer.root / "bins" / entry.path for cpv, entry in entries(layer).items()}
    content = stored["altered"].read_bytes()
    stored["altered"].write_bytes(content[:3000] + b"X" + content[3001:])
    stored["truncated"].write_bytes(stored["truncated"].read_bytes()[:5000])
    stored["gone"].unlink()
    lines = []
    for raw in index_of(layer).read_bytes().splitlines():
        entry = read_line(raw).claimed
        envelope = json.loads(raw)
        match entry.cpv:
            case "app-misc/unsigned-1":
                envelope["signatures"] = []
            case "app-misc/rekeyed-1":
                payload = base64.standard_b64decode(envelope["payload"]).replace(b'"tested":false', b'"tested":true')
                envelope["payload"] = base64.standard_b64encode(payload).decode()
            case "app-misc/foreign-1":
                stranger = signing.make_private_key(layer.directory / "stranger.pem")
                envelope = json.loads(entry.signed(stranger))
            case "app-misc/garbled-1":
                envelope = {"payload": "garbage"}
        lines.append(json.dumps(envelope))
    index_of(layer).write_text("\n".join(lines) + "\n")


def test_what_a_killed_or_failed_run_has_built_is_stored(layer: TinyLayer) -> None:
    layer.package("app-misc/first-1")
    layer.pausing("app-misc/second-1", "src_compile", rdepend="app-misc/first", depend="app-misc/first")
    layer.package("app-misc/third-1", rdepend="app-misc/second", phases="src_compile() { die broken; }\n")
    layer.declare("app-misc/third", more=TINY_BINARIES)
    with layer.running("install") as process:
        layer.wait_for_pause("src_compile")
        process.kill()
        process.wait()
    wait_for(lambda: not processes_in(layer.directory), "what the killed install had started to end", 10)
    assert not index_of(layer).exists()
    layer.go()

    # The next run stores what it finds; its own package fails, and what it built before that is stored too.
    failed = layer.install(code=3)
    assert "app-misc/third-1 failed in phase compile" in failed.err
    assert set(entries(layer)) == {"app-misc/first-1", "app-misc/second-1"}

    layer.package("app-misc/third-1", rdepend="app-misc/second")
    layer.run("stage", "drop", "--yes")
    assert origins(layer.install()) == {
        "app-misc/first-1": ("binary", None),
        "app-misc/second-1": ("binary", None),
        "app-misc/third-1": ("source", "none is stored"),
    }


def test_what_is_edited_while_it_is_built_is_not_stored(layer: TinyLayer) -> None:
    layer.pausing("app-misc/one-1", "src_compile")
    layer.declare("app-misc/one", more=TINY_BINARIES)
    ebuild = layer.repository.path / "app-misc/one/one-1.ebuild"
    with layer.running("--format", "json", "install") as process:
        layer.wait_for_pause("src_compile")
        ebuild.write_text(ebuild.read_text() + "# edited\n")
        layer.go()
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    reason = "what it is built from has changed meanwhile"
    assert json.loads(out)["binaries"]["not_stored"] == [{"package": "app-misc/one-1", "reason": reason}]
    assert not index_of(layer).exists()


def test_a_store_that_cannot_be_written_or_read_does_not_fail_an_install(layer: TinyLayer) -> None:
    layer.package("app-misc/one-1")
    layer.declare("app-misc/one", more=TINY_BINARIES)
    layer.write("bins", "a file where the store should be\n")
    done = layer.install("--binaries", "http://127.0.0.1:9/bins")
    assert origins(done) == {"app-misc/one-1": ("source", "none is stored")}
    assert {one["store"] for one in done.document["binaries"]["refused"]} == {"bins", "http://127.0.0.1:9/bins"}
    assert "cannot be written" in done.document["binaries"]["not_stored"][0]["reason"]
    assert layer.installed() == ["app-misc/one-1"]


def test_a_package_that_may_not_be_given_away_is_not_stored(layer: TinyLayer) -> None:
    layer.package("app-misc/one-1", restrict="bindist")
    layer.declare("app-misc/one", more=TINY_BINARIES)
    (refused,) = layer.install().document["binaries"]["not_stored"]
    assert refused == {"package": "app-misc/one-1", "reason": "it may not be given away (RESTRICT=bindist)"}
    assert not (layer.root / "bins" / "packages").exists()


def test_two_installs_that_share_a_store_do_not_get_into_each_others_way(layer: TinyLayer) -> None:
    for name in ("one", "two", "three"):
        layer.package(f"app-misc/{name}-1")
    layer.declare("app-misc/one", "app-misc/two", "app-misc/three", more=TINY_BINARIES)
    other = ("--state", str(layer.directory / "other"))
    with layer.running("install") as first, layer.running("install", *other) as second:
        for process in (first, second):
            _, err = process.communicate(timeout=600)
            assert process.returncode == 0, err
    index = parse_index(index_of(layer).read_bytes())
    assert index.unreadable == ()
    assert {line.claimed.cpv for line in index} == {"app-misc/one-1", "app-misc/two-1", "app-misc/three-1"}
    # Either of them signed with a key of its own; who trusts both takes what is there.
    for name, state in (("first", layer.state), ("second", layer.directory / "other")):
        layer.write(f"keys/{name}.pub", (state / "keys/operator.pub").read_text())
    shutil.rmtree(layer.state)
    assert {origin for origin, _ in origins(layer.install()).values()} == {"binary"}
