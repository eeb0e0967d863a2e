"""Two trees side by side: every kind of difference, with the package that owns the path; and nothing for equal trees."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

import pytest

from compatlayer.declaration.model import TARGETS, Part
from compatlayer.rebuild.causes import Both
from compatlayer.rebuild.compare import Aspect, Comparison, compare
from tests.unit.test_rebuild_causes import BOTH

PREFIX = "/cvmfs/tiny.example.org/prefix"
PART = Part("tiny", "2026.11", TARGETS["linux-x86_64"], PurePosixPath(PREFIX))


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "first", tmp_path / "second"
    entry = first / "var/db/pkg/app-misc/tool-1"
    entry.mkdir(parents=True)
    (first / "usr/bin").mkdir(parents=True)
    (first / "usr/bin/tool").write_text("tool\n")
    (first / "usr/bin/link").symlink_to("tool")
    (first / "usr/bin/stranger").write_text("mine\n")
    names = ("dir usr", "dir usr/bin", f"obj usr/bin/tool {'0' * 32} 1", "sym usr/bin/link -> tool 1")
    lines = [f"{name.split(' ')[0]} {PREFIX}/{name.split(' ', 1)[1]}\n" for name in names]
    (entry / "CONTENTS").write_text("".join(lines))
    for name, value in {"SLOT": "0", "EAPI": "8", "repository": "tiny", "PF": "tool-1", "CATEGORY": "app-misc"}.items():
        (entry / name).write_text(f"{value}\n")
    shutil.copytree(first, second, symlinks=True)
    return first, second


def look(trees: tuple[Path, Path], both: Both = BOTH) -> Comparison:
    return compare(*trees, PART, both)


def only(trees: tuple[Path, Path]) -> tuple[str, str, list[str], list[str]]:
    """The one difference of two trees."""
    found = look(trees)
    (one,) = found.differences
    assert not found.is_equal
    return one.path, one.package, [str(aspect) for aspect in one.aspects], [str(cause) for cause in one.causes]


def point(trees: tuple[Path, Path], *targets: str) -> None:
    for tree, target in zip(trees, targets, strict=True):
        (tree / "usr/bin/link").unlink()
        (tree / "usr/bin/link").symlink_to(target)


def test_equal_trees_have_one_root_and_no_difference(trees: tuple[Path, Path]) -> None:
    os.utime(trees[1] / "usr/bin/tool", (1, 1))
    found = look(trees)
    assert (found.is_equal, found.differences) == (True, ())
    assert found.first_root == found.second_root


def test_content_belongs_to_the_package_that_records_it(trees: tuple[Path, Path]) -> None:
    (trees[1] / "usr/bin/tool").write_text("loot\n")
    assert only(trees) == ("usr/bin/tool", "app-misc/tool-1", ["content"], ["unknown"])


def test_a_mode_is_told_beside_the_content(trees: tuple[Path, Path]) -> None:
    (trees[1] / "usr/bin/tool").write_text("tool on second-host.invalid\n")
    (trees[0] / "usr/bin/tool").write_text("tool on vm\n")
    (trees[1] / "usr/bin/tool").chmod(0o600)
    (trees[0] / "usr/bin/tool").chmod(0o644)
    assert only(trees) == ("usr/bin/tool", "app-misc/tool-1", ["content", "mode"], ["host name", "umask"])


def test_a_link_is_told_by_its_target_and_a_directory_by_its_mode(trees: tuple[Path, Path]) -> None:
    point(trees, "/compatlayer/build/tool", "/compatlayer/second-build/tool")
    assert only(trees) == ("usr/bin/link", "app-misc/tool-1", ["target of the link"], ["embedded build path"])
    point(trees, "tool", "tool")
    (trees[1] / "usr").chmod(0o700)
    assert only(trees) == ("usr", "app-misc/tool-1", ["mode"], ["umask"])


def test_what_is_only_on_one_side_is_told_with_its_side(trees: tuple[Path, Path]) -> None:
    (trees[1] / "usr/bin/stranger").unlink()
    assert only(trees) == ("usr/bin/stranger", "", ["only in the first"], ["unknown"])
    assert only((trees[1], trees[0])) == ("usr/bin/stranger", "", ["only in the second"], ["unknown"])


def test_another_type_is_told_as_such(trees: tuple[Path, Path]) -> None:
    (trees[1] / "usr/bin/stranger").unlink()
    (trees[1] / "usr/bin/stranger").mkdir()
    (one,) = look(trees).differences
    assert (one.aspects, one.first, one.second) == ((Aspect.TYPE,), "file", "directory")


def test_portage_s_own_records_are_told_apart_from_what_is_used(trees: tuple[Path, Path]) -> None:
    (trees[1] / "var/db/pkg/app-misc/tool-1/SLOT").write_text("1\n")
    assert only(trees) == ("var/db/pkg/app-misc/tool-1/SLOT", "app-misc/tool-1", ["content"], ["package record"])
