"""A change list is read from the upper directory alone, is checked, and stays inside its destination."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compatlayer.errors import StageError
from compatlayer.tree.apply import apply
from compatlayer.tree.changes import ChangeList, Put, read_overlay, read_plain
from compatlayer.tree.entries import Kind
from compatlayer.tree.rows import Change, Row, rows
from tests.unit.tree.trees import Dir, File, Link, Whiteout, write

TOP = Put(".", Kind.DIRECTORY, 0o755)


def test_the_marks_of_an_overlay_become_deletes_and_opaque_directories(tmp_path: Path) -> None:
    upper = Dir({"gone": Whiteout(), "kept": File(b"12"), "made": Dir({"again": File()}, opaque=True), "zero": File()})
    write(upper, tmp_path / "upper")
    changes = read_overlay(tmp_path / "upper")
    assert changes.deletes == ("gone",)
    assert changes.opaque == ("made",)
    assert changes.puts == (
        TOP,
        Put("kept", Kind.FILE, 0o644, 2),
        Put("made", Kind.DIRECTORY, 0o755),
        Put("made/again", Kind.FILE, 0o644),
        Put("zero", Kind.FILE, 0o644),
    )
    assert (len(changes), changes.size_bytes) == (6, 2)


@pytest.mark.root
def test_the_kernels_own_marks_count_in_the_trusted_name_space(tmp_path: Path) -> None:
    write(Dir({"made": Dir()}), tmp_path / "upper")
    os.mknod(tmp_path / "upper" / "gone", 0o020000, os.makedev(0, 0))
    os.setxattr(tmp_path / "upper" / "made", "trusted.overlay.opaque", b"y")
    changes = read_overlay(tmp_path / "upper")
    assert (changes.deletes, changes.opaque) == (("gone",), ("made",))


def test_a_mark_for_whiteouts_below_is_not_one_for_an_opaque_directory(tmp_path: Path) -> None:
    write(Dir({"d": Dir({"gone": Whiteout()})}), tmp_path / "upper")
    os.setxattr(tmp_path / "upper/d", "user.overlay.opaque", b"x")
    changes = read_overlay(tmp_path / "upper")
    assert (changes.deletes, changes.opaque) == (("d/gone",), ())


@pytest.mark.parametrize("mark", ["redirect", "metacopy"])
def test_an_upper_directory_that_only_refers_to_the_lower_one_is_refused(tmp_path: Path, mark: str) -> None:
    write(Dir({"d": Dir()}), tmp_path / "upper")
    os.setxattr(tmp_path / "upper/d", f"user.overlay.{mark}", b"/elsewhere")
    with pytest.raises(StageError) as caught:
        read_overlay(tmp_path / "upper")
    assert str(caught.value) == (
        f"d in {tmp_path}/upper only refers to the tree below\n"
        f"  overlayfs attribute {mark}: the overlay was not mounted by compatlayer\n"
        "  hint: mount it with redirect_dir=off,metacopy=off, and make the change again"
    )


def test_a_plain_stage_takes_marks_for_what_they_are(tmp_path: Path) -> None:
    write(Dir({"empty": Whiteout(), "d": Dir(opaque=True)}), tmp_path / "upper")
    changes = read_plain(tmp_path / "upper")
    assert [put.path for put in changes.puts] == [".", "d", "empty"]
    assert (changes.deletes, changes.opaque) == ((), (".",))


@pytest.mark.parametrize("path", ["../x", "/x", "a/../x", "", "a//b", "a/./b", "x\0", "a/"])
def test_a_path_that_leads_out_makes_no_change_list(path: str) -> None:
    with pytest.raises(StageError):
        ChangeList((TOP, Put(path, Kind.FILE, 0o644)))
    with pytest.raises(StageError):
        ChangeList((TOP,), (path,))


def test_a_change_list_that_contradicts_itself_is_refused() -> None:
    a, b = Put("a", Kind.FILE, 0o644), Put("b", Kind.FILE, 0o644)
    for puts, deletes, opaque in (
        ((TOP, b, a), (), ()),
        ((TOP, a, a), (), ()),
        ((TOP, a, Put("a/b", Kind.FILE, 0o644)), (), ()),
        ((TOP, a), (), ("a",)),
        ((TOP,), ("b", "a"), ()),
        ((TOP,), (".",), ()),
        ((TOP,), (), ("nowhere",)),
    ):
        with pytest.raises(StageError):
            ChangeList(puts, deletes, opaque)


def test_applying_does_not_follow_a_link_in_the_destination(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(Dir({"file": File(b"safe"), "d": Dir({"x": File(b"safe")})}), outside)
    for name in ("lib", "dir", "top"):
        (tmp_path / "destination" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "destination" / name).symlink_to(outside)
    upper = Dir({"lib": Dir({"file": File(b"hostile")}), "dir": Dir({"d": Dir(opaque=True)}), "top": Dir(mode=0o700)})
    write(upper, tmp_path / "upper")
    (tmp_path / "upper").chmod(0o755)
    changes = ChangeList(read_overlay(tmp_path / "upper").puts, ("lib/d", "lib/file", "top/file"), ("dir/d", "top"))
    mode = outside.stat().st_mode
    apply(changes, tmp_path / "upper", tmp_path / "destination")
    assert (outside / "file").read_bytes() == (outside / "d/x").read_bytes() == b"safe"
    assert outside.stat().st_mode == mode
    assert not (tmp_path / "destination/lib").is_symlink()
    assert (tmp_path / "destination/lib/file").read_bytes() == b"hostile"


def test_applying_does_not_follow_a_link_in_the_source(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_text("secret")
    write(Dir({"d": Dir({"file": File()}), "file": File()}), tmp_path / "upper")
    changes = read_plain(tmp_path / "upper")
    (tmp_path / "upper/d/file").unlink()
    (tmp_path / "upper/d").rmdir()
    (tmp_path / "upper/d").symlink_to(tmp_path / "secret")
    (tmp_path / "destination").mkdir()
    with pytest.raises((StageError, OSError)):
        apply(changes, tmp_path / "upper", tmp_path / "destination")
    assert "secret" not in "".join(path.read_text() for path in (tmp_path / "destination").rglob("*") if path.is_file())


def test_an_apply_that_fails_leaves_no_half_file(tmp_path: Path) -> None:
    write(Dir({"a": File(b"new a"), "b": File(b"new b")}), tmp_path / "upper")
    write(Dir({"a": File(b"old a"), "b": File(b"old b")}), tmp_path / "destination")
    changes = read_overlay(tmp_path / "upper")
    (tmp_path / "upper/b").unlink()
    with pytest.raises(StageError, match="b cannot be put"):
        apply(changes, tmp_path / "upper", tmp_path / "destination")
    assert sorted(path.name for path in (tmp_path / "destination").iterdir()) == ["a", "b"]
    assert (tmp_path / "destination/b").read_bytes() == b"old b"


def test_rows_say_what_is_different_and_how_large(tmp_path: Path) -> None:
    write(Dir({"same": File(b"s"), "size": File(b"1"), "d": Dir({"x": File(b"22")}), "l": Link("a")}), tmp_path / "lower")
    upper = Dir({"same": File(b"s"), "size": File(b"333"), "d": Whiteout(), "l": File(b"4444"), "new": Link("x")})
    write(upper, tmp_path / "upper")
    assert rows(read_overlay(tmp_path / "upper"), tmp_path / "upper", tmp_path / "lower") == (
        Row(Change.DELETED, "d", Kind.DIRECTORY, 0, 0),
        Row(Change.REPLACED, "l", Kind.FILE, 4, 0),
        Row(Change.ADDED, "new", Kind.SYMLINK, 0, 0),
        Row(Change.CHANGED, "size", Kind.FILE, 3, 1),
    )
