"""What engine ``bootstrap`` decides: which steps are left, what the mirror keeps, and how a failed stage reads."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from compatlayer.declaration.model import Bootstrap, EngineName, Source, Status, Version
from compatlayer.engine.bootstrap import BEGUN, BootstrapEngine, is_there, profile_directory
from compatlayer.plan import Plan
from compatlayer.playbook import failure
from compatlayer.report import plans

ENGINE = BootstrapEngine()


def steps(*trees: Path) -> list[str]:
    return [step.name for step in ENGINE.steps(trees)]


def test_the_steps_that_are_left_follow_the_marks(tmp_path: Path) -> None:
    assert steps() == ["tree", "stage1", "stage2", "stage3", "finish"]
    (tmp_path / BEGUN).touch()
    (tmp_path / ".stage1-finished").touch()
    assert steps(tmp_path) == ["tree", "stage2", "stage3", "finish"]
    for stage in ("stage2", "stage3"):
        (tmp_path / f".{stage}-finished").touch()
    assert steps(tmp_path) == ["finish"]
    assert ENGINE.python([tmp_path]) is None
    (tmp_path / BEGUN).unlink()
    assert steps(tmp_path) == []


def test_a_prefix_counts_from_all_its_trees_and_its_python_may_be_a_link_that_leads_nowhere_here(tmp_path: Path) -> None:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    upper.mkdir()
    (lower / "usr/bin").mkdir(parents=True)
    for stage in ("stage1", "stage2", "stage3"):
        (lower / f".{stage}-finished").touch()
    (lower / "usr/bin/python3").symlink_to("/cvmfs/software.example.org/usr/bin/python-exec2c")
    assert steps(upper, lower) == []
    assert ENGINE.python([upper, lower]) == PurePosixPath("usr/bin/python3")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_what_the_upper_tree_has_deleted_is_not_there(tmp_path: Path) -> None:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    upper.mkdir()
    lower.mkdir()
    (lower / BEGUN).touch()
    assert is_there([upper, lower], BEGUN)
    try:
        os.mknod(upper / BEGUN, 0o020000, os.makedev(0, 0))
    except PermissionError:
        pytest.skip("this container makes no devices")
    assert not is_there([upper, lower], BEGUN)


def test_the_mirror_keeps_the_script_and_each_source_by_its_checksum() -> None:
    script = Source("bootstrap-prefix-0123.sh", "https://example.org/x.sh", 10, "aa")
    bash = Source("bash-5.3.tar.gz", "mirror://gnu/bash/bash-5.3.tar.gz", 20, "bb")
    declared = Bootstrap("0123", script, (bash,))
    version = Version("1", Status.DRAFT, EngineName.BOOTSTRAP, (), None, (), bootstrap=declared)
    first, second = ENGINE.sources(version)
    assert (first.name, first.size_bytes, first.hashes) == ("bootstrap-prefix-0123.sh", 10, {"SHA256": "aa"})
    assert (second.uris[0].mirror, second.uris[0].path) == ("gnu", "bash/bash-5.3.tar.gz")


def test_the_script_gets_a_profile_of_the_tree_and_none_of_an_overlay() -> None:
    assert profile_directory("gentoo:default/linux/amd64/23.0/prefix") == "default/linux/amd64/23.0/prefix"
    assert profile_directory("ours:linux/x86_64") is None


def test_a_failed_stage_reads_as_stage_last_lines_log_and_what_was_asked_for() -> None:
    found = {
        "stage": "stage1",
        "ending": "exit code 1",
        "last_lines": ["!!! downloading failed"],
        "log": "/logs/bootstrap-stage1.log",
        "refused": [f"https://example.org/{number}" for number in range(14)],
    }
    error = failure("bootstrap", "Every stage", {"failure": found})
    assert str(error).splitlines()[:4] == [
        "bootstrap-prefix.sh failed in stage1: exit code 1",
        "  !!! downloading failed",
        "  log: /logs/bootstrap-stage1.log",
        "  it asked for files that are not declared:",
    ]
    assert "    and 2 more" in str(error).splitlines()
    assert "declare those that it cannot do without" in str(error)


def test_a_plan_shows_the_steps_in_every_format() -> None:
    plan = Plan((), ENGINE.steps(()))
    assert not plan.is_empty
    assert plans.render(plan).startswith("bootstrap  tree\n")
    assert plans.render(plan).splitlines()[-1].startswith("5 steps of the bootstrap, then the packages")
    assert "| stage1 | tools that know the prefix" in plans.render(plan, "markdown")
    assert '"step": "stage3"' in plans.render(plan, "json")
