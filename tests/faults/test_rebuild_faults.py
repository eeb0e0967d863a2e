"""A second build that is killed, or that fails: nothing of it stands in the way of the next one, and the stage is untouched."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from compatlayer.tree.manifest import Manifest
from tests.tiny_layer import PART, TinyLayer, interrupt, processes_in, tiny_layer, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.userns, pytest.mark.real]


@pytest.fixture
def layer() -> Iterator[TinyLayer]:
    with tiny_layer() as layer:
        layer.pausing("app-misc/slow-1", "src_compile")
        layer.declare("app-misc/slow")
        layer.go()
        layer.install()
        yield layer


def place(layer: TinyLayer) -> Path:
    return layer.state / "rebuild" / PART


def wait_for_pause(layer: TinyLayer) -> Path:
    """Wait until the second build has come to the package that pauses; the directory in which it can be let go on."""
    build = place(layer) / "build" / PART
    wait_for((build / "src_compile").exists, "the second build to pause")
    return build


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "Ctrl-C"])
def test_a_killed_rebuild_takes_all_with_it_and_the_next_one_does_not_trip(layer: TinyLayer, how: str) -> None:
    before = Manifest.of_tree(layer.upper)
    with layer.running("rebuild") as process:
        wait_for_pause(layer)
        if how == "Ctrl-C":
            # As a terminal does it: to all of them.
            for pid, line in processes_in(layer.state).items():
                if "compatlayer" in line and " install " in line and "bwrap" not in line:
                    os.kill(pid, signal.SIGINT)
            interrupt(process)
        else:
            process.send_signal(getattr(signal, how))
        assert process.wait(timeout=120) != 0
    wait_for(lambda: not processes_in(place(layer)), "everything below it to end")
    assert Manifest.of_tree(layer.upper) == before

    # What is in the way of the next run, but for the sign that this test waits for.
    if place(layer).exists():
        (place(layer) / "build" / PART / "src_compile").unlink()
    with layer.running("--format", "json", "rebuild") as process:
        (wait_for_pause(layer) / "go").touch()
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    assert '"equal": true' in out
    assert not place(layer).exists()


def test_two_rebuilds_of_a_part_do_not_meet(layer: TinyLayer) -> None:
    with layer.running("rebuild") as process:
        build = wait_for_pause(layer)
        refused = layer.run("rebuild", code=5)
        assert "is in use" in refused.err
        (build / "go").touch()
        assert process.wait(timeout=240) == 0


def test_a_second_build_that_fails_says_so_and_leaves_nothing(layer: TinyLayer) -> None:
    # A package that builds for nobody but the first.
    here = "$(hostname)"
    layer.package("app-misc/slow-1", phases=f'src_compile() {{ [[ {here} != second-host.invalid ]] || die "not here"; }}\n')
    layer.run("stage", "drop", "--yes")
    layer.install()
    failed = layer.run("rebuild", code=3)
    assert "app-misc/slow-1 failed in phase compile" in failed.err
    assert "the second build failed" in failed.err
    assert not place(layer).exists()
