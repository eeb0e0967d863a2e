"""What every stage promises: plain or on a lower tree, for root and for an ordinary user.

Each test changes the tree through the view and then holds all that was promised of it against each other (``agree``).
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import time
from collections.abc import Iterator

import pytest

from compatlayer import process
from compatlayer.errors import StageError
from compatlayer.stage import Stage
from compatlayer.tree.apply import apply
from compatlayer.tree.entries import Kind
from compatlayer.tree.manifest import Manifest, update
from compatlayer.tree.rows import Change
from tests.contract.stage_support import KINDS_AND_USERS, PREFIX, Ground, as_owner, make_ground

pytestmark = pytest.mark.contract


@pytest.fixture(params=KINDS_AND_USERS)
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    yield from make_ground(*request.param)


def agree(ground: Ground, stage: Stage, script: str) -> Manifest:
    """Run ``script`` in the view; then the change list, carried out on a copy of the lower tree, gives what the view
    shows, and so does the manifest that was updated without a walk; and the lower tree is as it was.
    """
    before = Manifest.of_tree(ground.lower)
    done = ground.do(stage, script)
    assert (done.returncode, done.stderr) == (0, "")
    seen = ground.seen(stage)
    changes = stage.changes()
    base = ground.directory / "base"
    if ground.kind == "overlay":
        shutil.copytree(ground.lower, base, symlinks=True)
    else:
        base.mkdir()
        (base / "left over").write_text("a plain stage replaces all of what was published")
    beforehand = Manifest.of_tree(base)
    apply(changes, stage.upper, base)
    assert list(Manifest.of_tree(base).differences(seen)) == []
    apply(changes, stage.upper, base)  # once more, as after a crash
    assert Manifest.of_tree(base) == seen
    assert update(beforehand, changes, stage.upper) == seen
    assert Manifest.of_tree(ground.lower) == before
    return seen


def changed(stage: Stage) -> dict[str, str]:
    return {row.path: row.change.value for row in stage.differences()}


@as_owner
def test_an_untouched_stage_shows_its_lower_tree_and_changes_nothing(ground: Ground) -> None:
    stage = ground.open()
    assert list(agree(ground, stage, "true").differences(Manifest.of_tree(ground.lower))) == []
    if ground.kind == "overlay":
        assert changed(stage) == {}


@as_owner
def test_new_files_and_directories_are_kept(ground: Ground) -> None:
    stage = ground.open()
    seen = agree(ground, stage, "umask 022; mkdir -p new/er; echo x > new/er/file; echo more >> etc/conf; : > empty/now")
    assert [seen.get(path).size_bytes for path in ("new/er/file", "etc/conf", "empty/now")] == [2, 10, 0]
    if ground.kind == "overlay":
        assert changed(stage) == {
            "empty/now": "added",
            "etc/conf": "changed",
            "new": "added",
            "new/er": "added",
            "new/er/file": "added",
        }


@as_owner
def test_deleted_files_directories_and_links_are_gone(ground: Ground) -> None:
    stage = ground.open()
    seen = agree(ground, stage, "rm etc/hosts link dangling; rm -r lib share; mkdir t; rmdir t; : > new; rm new")
    assert [entry.path for entry in seen] == [".", "absolute", "bin", "bin/tool", "empty", "etc", "etc/conf"]
    if ground.kind == "overlay":
        assert set(changed(stage).items()) == {(path, "deleted") for path in ("dangling", "etc/hosts", "lib", "link", "share")}
        assert stage.changes().deletes == ("dangling", "etc/hosts", "lib", "link", "share")


@as_owner
def test_a_directory_made_again_holds_nothing_of_the_old_one(ground: Ground) -> None:
    stage = ground.open()
    seen = agree(ground, stage, "umask 022; rm -r lib; mkdir lib; echo new > lib/b; rm -r share; mkdir share")
    assert [entry.path for entry in seen if entry.path.startswith(("lib", "share"))] == ["lib", "lib/b", "share"]
    if ground.kind == "overlay":
        assert stage.changes().opaque == ("lib", "share")
        assert changed(stage) == {
            "lib": "replaced",
            "lib/a": "deleted",
            "lib/b": "changed",
            "lib/deep": "deleted",
            "share": "replaced",
            "share/doc": "deleted",
            "share/locked": "deleted",
        }


@as_owner
def test_any_kind_can_take_the_place_of_any_other(ground: Ground) -> None:
    stage = ground.open()
    script = """
    rm -r lib; echo file > lib                      # directory → file
    rm -r share; ln -s /etc share                   # directory → link that leads out
    rm etc/conf; mkdir -p etc/conf/d; : > etc/conf/d/x   # file → directory
    rm link; mkdir link                             # link → directory
    rm dangling; echo now a file > dangling         # link → file
    rm bin/tool; ln -s ../etc/hosts bin/tool        # file → link
    ln -sfn elsewhere absolute                      # link → link
    """
    seen = agree(ground, stage, "umask 022" + script)
    kinds = {path: seen.get(path).kind for path in ("lib", "share", "etc/conf", "link", "dangling", "bin/tool")}
    assert kinds == {
        "lib": Kind.FILE,
        "share": Kind.SYMLINK,
        "etc/conf": Kind.DIRECTORY,
        "link": Kind.DIRECTORY,
        "dangling": Kind.FILE,
        "bin/tool": Kind.SYMLINK,
    }
    if ground.kind == "overlay":
        assert {row.change for row in stage.differences() if row.path in kinds} == {Change.REPLACED}


@as_owner
def test_renames_move_files_directories_and_what_is_in_them(ground: Ground) -> None:
    stage = ground.open()
    script = "mv etc/conf etc/moved; mv lib library; mv library/deep ./deep; mv share/doc/one share/doc/two; mv empty lib"
    seen = agree(ground, stage, script)
    paths = {entry.path for entry in seen}
    assert {"etc/moved", "library/a", "library/b", "deep/er/file", "deep/other", "share/doc/two", "lib"} <= paths
    assert not {"etc/conf", "lib/a", "library/deep", "share/doc/one", "empty"} & paths
    assert seen.get("share/doc/two").size_bytes == len("one\n")


@as_owner
def test_hard_links_keep_their_content_under_each_name(ground: Ground) -> None:
    stage = ground.open()
    seen = agree(ground, stage, "ln etc/conf etc/again; ln bin/tool tool; echo new > n1; ln n1 n2; ln n2 lib/n3; rm n1")
    assert seen.digest("etc/conf") == seen.digest("etc/again")
    assert seen.digest("n2") == seen.digest("lib/n3")
    assert seen.digest("bin/tool") == seen.digest("tool")


@as_owner
def test_permission_bits_are_kept_also_those_that_forbid(ground: Ground) -> None:
    stage = ground.open()
    script = """
    chmod 0400 etc/conf; chmod 4755 bin/tool; chmod 1777 empty; chmod 0700 lib; chmod 0750 .
    umask 022; echo s > new; chmod 2755 new; mkdir -p closed/below; : > closed/below/file; chmod 0555 closed/below closed
    chmod 0555 share; rm -f etc/hosts; chmod 0555 etc
    """
    seen = agree(ground, stage, script)
    modes = {path: oct(seen.get(path).mode) for path in ("etc/conf", "bin/tool", "empty", "lib", ".", "new")}
    assert modes == {
        "etc/conf": "0o400",
        "bin/tool": "0o4755",
        "empty": "0o1777",
        "lib": "0o700",
        ".": "0o750",
        "new": "0o2755",
    }
    assert [seen.get(path).mode for path in ("closed", "closed/below", "etc", "share")] == [0o555] * 4
    if ground.kind == "overlay":
        assert changed(stage)["bin/tool"] == "changed"


@as_owner
def test_extended_attributes_are_kept_and_overlayfs_marks_are_not(ground: Ground) -> None:
    stage = ground.open()
    code = "import os,sys; [os.setxattr(p, 'user.compatlayer', b'v\\x00\\xff') for p in ('etc', 'etc/conf', 'lib/a')]"
    seen = agree(ground, stage, f'rm -r share; mkdir share; {ground.python} -ISB -c "{code}"')
    for path in ("etc", "etc/conf", "lib/a"):
        assert seen.get(path).xattrs == (("user.compatlayer", b"v\x00\xff"),)
    assert seen.get("share").xattrs == ()


@as_owner
def test_links_are_kept_as_written_wherever_they_lead(ground: Ground) -> None:
    stage = ground.open()
    seen = agree(ground, stage, "ln -s /etc/shadow a; ln -s ../../../../.. b; ln -s 'sp ace' c; ln -s c d; ln -s . e")
    assert [seen.get(name).target for name in "abcde"] == ["/etc/shadow", "../../../../..", "sp ace", "c", "."]


@as_owner
def test_odd_names_survive(ground: Ground) -> None:
    stage = ground.open()
    script = r"""
    : > ' lead'; : > 'new
line'; : > -rf; : > '$(touch x)'; : > '"quo,ted":\'; mkdir "$(printf 'b\377d')"; : > "$(printf 'b\377d/\376')"
    : > ü; : > '.wh.name'; : > '[",{'
    """
    seen = agree(ground, stage, script)
    paths = {os.fsencode(entry.path) for entry in seen}
    odd = {b" lead", b"new\nline", b"-rf", b"$(touch x)", b'"quo,ted":\\', b"b\xffd", b"b\xffd/\xfe", "ü".encode()}
    assert odd | {b".wh.name", b'[",{'} <= paths
    assert b"x" not in paths


@as_owner
def test_touching_without_changing_gives_no_difference(ground: Ground) -> None:
    stage = ground.open()
    agree(ground, stage, "touch etc/conf bin; chmod 644 etc/hosts; cp etc/hosts h; mv h etc/hosts; : > lib/x; rm lib/x")
    if ground.kind == "overlay":
        assert len(stage.changes()) > 0
        assert changed(stage) == {}


@as_owner
def test_devices_and_fifos_are_refused_by_name(ground: Ground) -> None:
    stage = ground.open()
    assert ground.do(stage, "mkfifo etc/pipe").returncode == 0
    with pytest.raises(StageError, match=r"^etc/pipe is a fifo"):
        stage.changes()
    assert ground.do(stage, "rm etc/pipe; mknod etc/disk b 8 0").returncode != 0
    stage.changes()
    # Linux lets anybody make the device that overlayfs takes for a whiteout; in a plain stage it stands for nothing.
    if ground.do(stage, "mknod etc/white c 0 0").returncode == 0:
        with pytest.raises(StageError, match=r"^etc/white is a device"):
            stage.changes()


@as_owner
def test_a_stage_is_the_same_after_its_view_was_killed(ground: Ground) -> None:
    stage = ground.open()
    view = stage.view()
    script = 'cd "$1"; echo first > first; rm etc/hosts; echo ready; while sleep 0.01; do date > etc/conf; done & sleep 600'
    running = process.spawn(view.command(["sh", "-c", script, "sh", str(PREFIX)]))
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.kill()
        running.wait(timeout=10)
        # The pipe is closed when the last process inside is gone. Not awaited for ever, should one have stayed.
        assert select.select([running.stdout], [], [], 10)[0], "something of the killed view lives on"
        assert running.stdout.read() == b""
    finally:
        running.kill()
        running.wait()
    again = ground.open()
    assert again == stage
    settled = ground.seen(again)
    time.sleep(0.1)
    assert ground.seen(again) == settled, "something of the killed view still writes"
    seen = agree(ground, again, "echo second > second; cat first")
    assert [bool(seen.get(path)) for path in ("first", "second", "etc/hosts")] == [True, True, False]


@as_owner
def test_a_killed_writer_leaves_a_stage_that_can_be_worked_on(ground: Ground) -> None:
    stage = ground.open()
    done = ground.do(stage, "rm -r lib; mkdir lib; echo half > lib/a; kill -9 $$; echo not reached > lib/b")
    assert done.returncode == 128 + signal.SIGKILL
    seen = agree(ground, ground.open(), "echo whole > lib/c")
    assert [entry.path for entry in seen if entry.path.startswith("lib")] == ["lib", "lib/a", "lib/c"]
