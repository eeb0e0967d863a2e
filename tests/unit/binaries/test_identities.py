"""What a stage remembers of its packages: under which key each was merged, for as long as it is that build."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from compatlayer.binaries.identities import Identities


class Stage:
    """A directory for the record, and two trees, the upper of which wins."""

    def __init__(self, path: Path) -> None:
        self.path, self.upper, self.lower = path, path / "upper", path / "lower"
        self.identities = Identities(path, (self.upper, self.lower))
        self.merges = 0

    def merge(self, cpv: str, contents: str, tree: str = "upper") -> None:
        entry = self.path / tree / "var/db/pkg" / cpv
        entry.mkdir(parents=True, exist_ok=True)
        (entry / "CONTENTS").write_text(contents)
        self.merges += 1
        (entry / "PF").write_text(entry.name)
        os.utime(entry / "PF", (self.merges, self.merges))

    def make_times_equal(self, cpv: str) -> None:
        """What follows every merge."""
        contents = self.path / "upper/var/db/pkg" / cpv / "CONTENTS"
        contents.write_text(re.sub(r"\d+$", "315532800", contents.read_text(), flags=re.MULTILINE))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_what_was_announced_and_then_merged_is_known(stage: Stage) -> None:
    stage.identities.announce({"app-misc/one-1": "k1", "app-misc/two-1": "k2"})
    stage.merge("app-misc/one-1", "obj /a 1 2")
    # The run was killed before it came to the second.
    assert stage.identities.announced() == {"app-misc/one-1": "k1", "app-misc/two-1": "k2"}
    assert stage.identities.settle() == {"app-misc/one-1": "k1"}
    assert stage.identities.announced() == {}
    assert stage.identities.settle() == {"app-misc/one-1": "k1"}


def test_what_was_there_before_keeps_its_own_key(stage: Stage) -> None:
    stage.identities.announce({"app-misc/one-1": "old"})
    stage.merge("app-misc/one-1", "obj /a 1 2")
    stage.identities.settle()
    stage.identities.announce({"app-misc/one-1": "new"})
    assert stage.identities.settle() == {"app-misc/one-1": "old"}
    stage.identities.announce({"app-misc/one-1": "new"})
    stage.merge("app-misc/one-1", "obj /a 1 3")
    assert stage.identities.settle() == {"app-misc/one-1": "new"}


def test_a_package_that_somebody_else_has_merged_is_unknown(stage: Stage) -> None:
    stage.merge("app-misc/before-1", "obj /b 1 2")
    stage.identities.announce({"app-misc/one-1": "k1"})
    stage.merge("app-misc/one-1", "obj /a 1 2")
    assert stage.identities.settle() == {"app-misc/one-1": "k1"}
    stage.merge("app-misc/one-1", "obj /a 1 99")
    assert stage.identities.settle() == {}


def test_times_that_are_made_equal_after_a_merge_are_no_other_merge(stage: Stage) -> None:
    stage.identities.announce({"app-misc/one-1": "old"})
    stage.merge("app-misc/one-1", "obj /a 1 2")
    # A run that was killed before it came to the times: the next one makes them equal.
    assert stage.identities.settle() == {"app-misc/one-1": "old"}
    stage.make_times_equal("app-misc/one-1")
    assert stage.identities.settle() == {"app-misc/one-1": "old"}


def test_a_build_that_gives_the_same_files_again_is_known_under_its_new_key(stage: Stage) -> None:
    stage.identities.announce({"app-misc/one-1": "old"})
    stage.merge("app-misc/one-1", "obj /a 1 2")
    stage.make_times_equal("app-misc/one-1")
    stage.identities.settle()
    stage.identities.announce({"app-misc/one-1": "new"})
    stage.merge("app-misc/one-1", "obj /a 1 3")
    stage.make_times_equal("app-misc/one-1")
    assert stage.identities.settle() == {"app-misc/one-1": "new"}


def test_what_the_tree_below_holds_is_seen_unless_it_was_deleted(stage: Stage) -> None:
    stage.identities.announce({"app-misc/one-1": "k1"})
    stage.merge("app-misc/one-1", "obj /a 1 2", "lower")
    assert stage.identities.settle() == {"app-misc/one-1": "k1"}
    mark = stage.upper / "var/db/pkg/app-misc/one-1"
    mark.parent.mkdir(parents=True)
    mark.touch()  # stands for overlayfs's whiteout, which only root can make
    assert stage.identities.settle() == {}


def test_a_record_that_cannot_be_read_means_that_nothing_is_known(stage: Stage) -> None:
    stage.identities.announce({"app-misc/one-1": "k1"})
    stage.merge("app-misc/one-1", "obj /a 1 2")
    for garbage in (b"", b"[]", b'{"known": {"a": 1}}', b"\xff"):
        (stage.path / "identities.json").write_bytes(garbage)
        assert stage.identities.settle() == {}
