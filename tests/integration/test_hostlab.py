"""``test --empty-root`` and ``hostlab`` on a layer that needs nothing from its host, and on one that does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from compatlayer.declaration.model import Part
from compatlayer.stage import open_stage
from tests.closed_layer import closed_layer
from tests.tiny_layer import PREFIX, TARGET, TinyLayer, tiny_layer

pytestmark = [pytest.mark.integration, pytest.mark.userns]

TESTS = """\
import pytest

def test_it_runs(host, prefix):
    assert host.run("echo $TMPDIR").rc == 0
    # By its path: busybox's shell has an ls of its own.
    assert host.run(f"{prefix}/usr/bin/ls {prefix}/usr/bin").stdout.split()

def test_it_can_write_somewhere(host, scratch):
    assert host.run(f"touch {scratch}/x && ls {scratch}/x").rc == 0

@pytest.mark.package("no-such/package")
def test_of_a_package_that_is_not_there(host):
    raise AssertionError
"""


@pytest.fixture
def layer() -> Iterator[TinyLayer]:
    with tiny_layer() as layer:
        layer.package("app-misc/one-1")
        layer.declare("app-misc/one")
        layer.write("tests/layer/test_it.py", TESTS)
        stage = open_stage(layer.state, Part("tiny", "2026.11", TARGET, PurePosixPath(PREFIX)))
        closed_layer(stage.upper, PREFIX)
        entry = stage.upper / "var/db/pkg/app-misc/one-1"
        entry.mkdir(parents=True)
        (entry / "SLOT").write_text("0\n")
        yield layer


def test_acceptance_tests_pass_where_there_is_nothing_but_the_layer(layer: TinyLayer) -> None:
    done = layer.run("--format", "json", "test", "--empty-root").document
    assert [(one["name"].rpartition(".")[2], one["outcome"]) for one in done["tests"]] == [
        ("test_it_runs", "passed"),
        ("test_it_can_write_somewhere", "passed"),
    ]


def test_every_host_is_tried_and_a_site_adds_its_own(layer: TinyLayer, tmp_path: Path) -> None:
    layer.write("tests/hosts/ours.yaml", "description: ours\nprograms: {/bin/no-such-program: []}\n")
    # Not busybox: its /etc/profile is what the shell of this layer, which is busybox, reads.
    hosts = ["empty", "preload", "read-only-tmp", "nameless-user", "ours"]
    done = layer.run("--format", "json", "hostlab", "--junit", str(tmp_path / "reports"), *hosts).document["hosts"]
    verdicts = {one["host"]: one["verdict"] for one in done}
    assert verdicts == dict.fromkeys(hosts[:-1], "passed") | {"ours": "left out"}
    assert {path.stem for path in (tmp_path / "reports").iterdir()} == set(hosts[:-1])
    assert set(hosts) <= {line.split()[0] for line in layer.run("hostlab", "--list").out.splitlines()}


def test_a_layer_that_uses_its_hosts_programs_fails_under_a_host_without_them(layer: TinyLayer) -> None:
    """The planted fault: the layer's ls is the host's, with the host's loader."""
    tool = layer.upper / "usr/bin/ls"
    tool.unlink()
    shutil.copy("/bin/ls", tool)
    done = layer.run("hostlab", "empty", "no-passwd", code=4)
    assert "failed   empty" in done.out
    assert "test_it_runs" in done.out
    assert "2 hosts: 2 failed" in done.out
    assert layer.run("test", "--empty-root", "-k", "runs", code=4).code == 4


def test_what_cannot_be_tried_is_said(layer: TinyLayer) -> None:
    assert "did you mean 'empty'?" in layer.run("hostlab", "emtpy", code=2).err
    assert "no test was run" in layer.run("hostlab", "empty", "-k", "nothing", code=2).err
    (layer.upper / "usr/bin/bash").unlink()
    said = layer.run("test", "--empty-root", code=2).err
    assert "has no shell of its own" in said
    assert "app-portage/prefix-toolkit" in said
