"""What goes wrong in a bootstrap: files that are not what was declared, stages that fail, kills in the middle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bootstrapped_layer import COMMIT, STAGES, BootstrappedLayer, bootstrapped_layer
from tests.tiny_layer import tiny_layer, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.userns]


@pytest.fixture
def site() -> Iterator[BootstrappedLayer]:
    with bootstrapped_layer() as site:
        yield site


def nothing_was_written(site: BootstrappedLayer) -> bool:
    return list(site.layer.upper.iterdir()) == []


def test_a_script_that_is_not_the_declared_one_never_runs(site: BootstrappedLayer) -> None:
    script = site.upstream / f"bootstrap-prefix-{COMMIT}.sh"
    script.write_bytes(script.read_bytes().replace(b"stage1: building", b"stage1: breaking"))
    ended = site.layer.run("install", code=6)
    assert "bootstrap-prefix-0123456789ab.sh (for engine bootstrap)" in ended.err
    assert "SHA256" in ended.err
    assert nothing_was_written(site)


def test_what_was_changed_behind_our_back_is_noticed_before_a_stage(site: BootstrappedLayer) -> None:
    """A mirror knows a file by size and time; what runs for hours is hashed again."""
    layer = site.layer
    site.do("fail", "stage2")
    failed = layer.run("install", code=3)
    assert "error: bootstrap-prefix.sh failed in stage2: exit code 1\n" in failed.err
    assert "configure: error: no acceptable C compiler for stage2" in failed.err
    assert "log: " + str(layer.last_run / "logs/bootstrap-stage2.log") in failed.err
    assert "I have no clue" not in failed.err, "the script's farewell explains nothing"
    assert "I have no clue" in (layer.last_run / "logs/bootstrap-stage2.log").read_text()
    assert (layer.upper / ".stage1-finished").exists()

    kept = layer.state / "mirror/distfiles/bootstrap-prefix-0123456789ab.sh"
    status, content = kept.stat(), kept.read_bytes()
    kept.write_bytes(content.replace(b"stage2: emerge", b"stage2: EMERGE"))
    os.utime(kept, ns=(status.st_atime_ns, status.st_mtime_ns))
    altered = layer.run("install", code=3)
    assert "what the bootstrap works from is not what was declared" in altered.err
    assert "bootstrap-prefix-0123456789ab.sh: SHA-256 is " in altered.err
    assert not (layer.upper / ".stage2-finished").exists()
    kept.write_bytes(content)

    # Another script does not go on with what this one has begun.
    script = site.upstream / f"bootstrap-prefix-{COMMIT}.sh"
    script.write_bytes(content + b"# newer\n")
    site.declare("app-misc/hello")
    other = layer.run("install", code=3)
    assert "a bootstrap is under way that works from something else than what is declared\n  script: begun with " in other.err
    assert (layer.upper / "tmp/bin/emerge").exists()


def test_a_file_that_is_not_declared_is_not_downloaded_and_told(site: BootstrappedLayer) -> None:
    site.declare("app-misc/hello", leave_out="prefix-portage-3.tar")
    ended = site.layer.run("install", code=3)
    assert "error: bootstrap-prefix.sh failed in stage1: exit code 1\n" in ended.err
    asked = ended.err.partition("it asked for files that are not declared:\n")[2].splitlines()
    assert [line.strip() for line in asked[:3]] == [
        "https://example.org/optional-1.tar.gz",
        "https://example.org/tool-2.tar",
        "https://example.org/prefix-portage-3.tar",
    ]
    assert "declare those that it cannot do without in bootstrap.sources" in ended.err


def test_a_tree_that_stage_3_has_replaced_is_refused(site: BootstrappedLayer) -> None:
    layer = site.layer
    site.do("fail", "stage3")
    layer.run("install", code=3)
    site.do("fail", "stage3", undo=True)
    ebuild = layer.upper / "var/db/repos/gentoo/app-misc/extra/extra-1.ebuild"
    ebuild.write_text(ebuild.read_text() + "# newer\n")
    ended = layer.run("install", code=3)
    assert "the ebuild repository in the prefix is not the declared one any more: stage 3 has replaced it" in ended.err
    assert "app-misc/extra/extra-1.ebuild" in ended.err
    assert "finish" in layer.run("plan").out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is turned away")
def test_root_is_turned_away_before_anything_is_fetched() -> None:
    with tiny_layer() as layer:
        site = BootstrappedLayer(layer)
        ended = layer.run("install", code=3)
        assert "error: bootstrap-prefix.sh does not run as root\n" in ended.err
        assert not (layer.state / "mirror").exists()
        assert nothing_was_written(site)


@pytest.mark.slow
def test_killed_in_every_stage_and_resumed_it_ends_in_the_same_tree(site: BootstrappedLayer) -> None:
    layer = site.layer
    for stage in STAGES:
        site.do("pause", stage)
        with layer.running("install") as process:
            reached: Path = site.build / f"reached-{stage}"
            wait_for(reached.exists, f"{stage} to begin", timeout_s=300)
            process.kill()
            process.wait()
        site.do("pause", stage, undo=True)
    layer.install()
    assert layer.run("plan").out == "nothing to do\n"
    with bootstrapped_layer() as other:
        other.layer.install()
        assert layer.content() == other.layer.content()
