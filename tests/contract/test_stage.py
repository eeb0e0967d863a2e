"""What every stage promises: plain or on a lower tree, for root and for an ordinary user.

Each test changes the tree through the view and then holds all that was promised of it against each other (``agree``).
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from compatlayer import process
from compatlayer.errors import LockHeldError, StageError
from compatlayer.stage import Bind, Stage, drop, find_stage, open_stage, stages, tree_view, unbound
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


@as_owner
def test_exit_codes_pass_through(ground: Ground) -> None:
    stage = ground.open()
    assert ground.do(stage, "exit 37").returncode == 37
    assert ground.do(stage, "kill -TERM $$").returncode == 128 + signal.SIGTERM
    missing = process.run(stage.view().command(["no-such-program"]), check=False)
    assert missing.returncode != 0
    assert "no-such-program" in missing.stderr


@as_owner
def test_a_read_only_view_shows_the_stage_and_takes_nothing(ground: Ground) -> None:
    stage = ground.open()
    assert ground.do(stage, "echo x > new; rm etc/hosts; rm -r share; mkdir share").returncode == 0
    before = stage.changes()
    done = ground.do(stage, "cat new; ls etc share; echo y > new; rm etc/conf", read_only=True)
    assert done.stdout == "x\netc:\nconf\n\nshare:\n"
    assert "Read-only file system" in done.stderr
    assert stage.changes() == before


@as_owner
def test_the_user_is_the_same_inside_and_outside(ground: Ground) -> None:
    stage = ground.open()
    assert ground.do(stage, "id -u; id -g; hostname").stdout.split() == [
        str(os.geteuid()),
        str(os.getegid()),
        os.uname().nodename,
    ]
    assert ground.do(stage, ": > mine").returncode == 0
    status = (stage.upper / "mine").stat()
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


@as_owner
def test_offline_leaves_only_the_loopback_and_that_works(ground: Ground) -> None:
    stage = ground.open()
    listing = "cat /proc/net/dev"
    interfaces = [line.split(":")[0].strip() for line in ground.do(stage, listing, offline=True).stdout.splitlines()[2:]]
    assert [name for name in interfaces if not name.startswith(("tunl", "sit", "ip6", "gre", "erspan"))] == ["lo"]
    code = (
        "import socket; s = socket.create_server((chr(49) + '27.0.0.1', 0)); "
        "socket.create_connection(s.getsockname(), 2); print('up')"
    )
    assert ground.do(stage, f'{ground.python} -ISB -c "{code}"', offline=True).stdout == "up\n"
    assert (
        ground.do(stage, listing).stdout.splitlines()[0]
        == "Inter-|   Receive                                                |  Transmit"
    )
    online = ground.do(stage, "readlink /proc/self/ns/net")
    assert online.stdout.strip() == str(Path("/proc/self/ns/net").readlink())


@as_owner
def test_only_an_interactive_view_stays_in_the_terminals_session(ground: Ground) -> None:
    stage = ground.open()
    session = "cut -d' ' -f6 /proc/self/stat"  # 0: its leader is outside
    assert ground.do(stage, session).stdout.strip() != "0"
    assert ground.do(stage, session, interactive=True).stdout.strip() == "0"


@as_owner
def test_binds_are_made_where_the_host_has_nothing(ground: Ground) -> None:
    stage = ground.open()
    build = ground.directory / "build"
    build.mkdir()
    (ground.directory / "read").mkdir()
    (ground.directory / "read" / "file").write_text("content\n")
    binds = (
        Bind(build, PurePosixPath("/compatlayer/build"), writable=True),
        Bind(ground.directory / "read", PurePosixPath("/compatlayer/read")),
        Bind(ground.directory / "read" / "file", PurePosixPath("/compatlayer/one-file")),
        Bind(ground.directory / "read", PurePosixPath("/usr/share/compatlayer-test/deep")),
    )
    script = """
    echo made > /compatlayer/build/result; cat /compatlayer/read/file /compatlayer/one-file /usr/share/compatlayer-test/deep/file
    echo x > /compatlayer/read/file; echo x > /compatlayer/new; echo x > /usr/share/new; test -d /usr/share/doc && echo siblings
    """
    done = ground.do(stage, script, binds=binds)
    assert done.stdout == "content\n" * 3 + "siblings\n"
    assert done.stderr.count("Read-only file system") == 3
    assert (build / "result").read_text() == "made\n"
    assert not Path("/compatlayer").exists()


@pytest.mark.parametrize("below", ["/opt/compatlayer-test/v1", "/usr/share/misc", "/compatlayer/outer/x/prefix", "/tmp/x/y"])
@as_owner
def test_the_prefix_can_lie_anywhere(ground: Ground, below: str) -> None:
    prefix = PurePosixPath(below)
    stage = ground.open(prefix)
    (ground.directory / "outer").mkdir()
    binds = (Bind(ground.directory / "outer", PurePosixPath("/compatlayer/outer")),)
    listing = os.listdir(prefix.parent) if Path(prefix.parent).is_dir() and not below.startswith("/tmp/") else []
    done = ground.do(stage, "pwd; cat etc/conf; echo new > new; ls -A ..", binds=binds)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [below, "conf", *sorted({*listing, prefix.name}, key=os.fsencode)]
    assert (stage.upper / "new").read_text() == "new\n"
    assert not Path(below, "new").exists()
    assert list((ground.directory / "outer").iterdir()) == []


@as_owner
def test_a_prefix_under_a_link_of_the_host_is_seen_under_both_names(ground: Ground) -> None:
    if not Path("/bin").is_symlink():
        pytest.skip("this host has no link in /")
    stage = ground.open(PurePosixPath("/bin/compatlayer-test"))
    assert ground.do(stage, "cat /bin/compatlayer-test/etc/conf /usr/bin/compatlayer-test/etc/conf").stdout == "conf\nconf\n"


@as_owner
def test_temporary_directories_are_fresh_and_open_to_everybody(ground: Ground) -> None:
    stage = ground.open()
    mark = ground.directory / "here"
    mark.touch()
    script = f"test -e {mark} || echo hidden; stat -c %a /tmp; ls -A /tmp /var/tmp; : > /tmp/x; : > /var/tmp/x; : > /dev/shm/x"
    done = ground.do(stage, script)
    assert done.stdout.splitlines()[:2] == ["hidden", "1777"]
    assert done.stderr == ""
    assert not Path("/dev/shm/x").exists()


@as_owner
def test_binds_that_would_change_the_stage_are_refused(ground: Ground) -> None:
    stage = ground.open()
    for bad in (PREFIX, PREFIX / "inside", PurePosixPath("relative"), PurePosixPath("/"), PurePosixPath("/a/../b")):
        with pytest.raises(StageError):
            stage.view(binds=[Bind(ground.directory, bad)])
    with pytest.raises(StageError, match="does not exist"):
        stage.view(binds=[Bind(ground.directory / "nothing", PurePosixPath("/compatlayer/x"))])
    assert changed(stage) == ({} if ground.kind == "overlay" else changed(stage))


@as_owner
def test_a_stage_is_reopened_as_it_was_begun(ground: Ground) -> None:
    stage = ground.open()
    assert ground.do(stage, "echo kept > kept").returncode == 0
    assert open_stage(ground.state, ground.part()) == stage == find_stage(ground.state, ground.part())
    assert list(stages(ground.state)) == [stage]
    other = ground.directory / "other"
    other.mkdir()
    with pytest.raises(StageError) as caught:
        open_stage(ground.state, ground.part(), lower=other)
    begun = stage.lower or "nothing"
    assert str(caught.value) == (
        "the stage of 2026.11/linux-x86_64 stands on another tree\n"
        f"  begun on {begun}, asked for {other}\n"
        "  hint: publish it, or drop it: compatlayer stage drop 2026.11/linux-x86_64"
    )
    with pytest.raises(StageError, match="was begun for another place"):
        open_stage(ground.state, ground.part(PurePosixPath("/elsewhere")))
    assert (stage.upper / "kept").read_text() == "kept\n"


@as_owner
def test_a_dropped_stage_is_gone_with_all_it_held(ground: Ground) -> None:
    stage = ground.open()
    assert (
        ground.do(stage, "mkdir -p closed/x; : > closed/x/y; chmod 0 closed/x closed; rm -r share; mkdir share").returncode == 0
    )
    drop(stage)
    assert list((ground.state / "stages").iterdir()) == []
    assert find_stage(ground.state, ground.part()) is None
    with pytest.raises(StageError, match="was dropped"), stage.lock("late"):
        pass
    assert ground.open().identifier != stage.identifier


@as_owner
def test_a_stage_in_use_is_neither_locked_nor_dropped_by_others(ground: Ground) -> None:
    stage = ground.open()
    with stage.lock("install"):
        with pytest.raises(LockHeldError, match="in use") as caught, stage.lock("another install"):
            pass
        assert "held by: install" in str(caught.value)
        assert stage.holder() is not None
        with pytest.raises(LockHeldError):
            drop(stage)
    assert stage.upper.is_dir()
    assert stage.holder() is None
    drop(stage)


@as_owner
def test_a_tree_can_be_viewed_at_the_prefix_without_a_stage(ground: Ground) -> None:
    view = tree_view(ground.lower, PREFIX, offline=True)
    done = process.run(view.command(["sh", "-c", f"cat {PREFIX}/etc/conf; : > {PREFIX}/x"]), check=False)
    assert done.stdout == "conf\n"
    assert "Read-only file system" in done.stderr
    view.check()


@as_owner
def test_without_a_bind_commands_run_as_they_are(ground: Ground) -> None:
    view = unbound(PurePosixPath(ground.directory))
    view.check()
    assert view.command(["echo", "a b"]) == ("echo", "a b")


# Each attempt is harmless should it succeed (nothing is truncated, removed or really changed), and then leaves a line in
# ./successes. User 0 owns the kernel's settings, with or without capabilities.
HOSTILE = r"""
attempt() { "$@" 2> /dev/null && echo "$*" >> "$PREFIX/successes"; }
append() { true >> "$1"; }
same_mode() { chmod "$(stat -c %a "$1")" "$1"; }
same_value() { value=$(cat "$1") && echo "$value" > "$1"; }
for target in / /etc /usr /usr/local /var /var/lib /home /root /opt /srv /mnt /boot /sys /run /lib /bin \
    "$HOME" "$LOWER" "$STATE" "$GROUND" "$PREFIX/.."; do
    attempt touch "$target/hostile"
    attempt mkdir "$target/hostile.d"
    attempt ln -s x "$target/hostile.l"
    attempt same_mode "$target"
    attempt mount -o remount,rw "$target"
    attempt mount -o remount,rw,bind "$target"
    attempt umount -l "$target"
done
for file in /etc/passwd /etc/hostname /usr/bin/env "$LOWER/etc/conf" "$STATE/stages/2026.11-linux-x86_64/stage.json"; do
    attempt append "$file"
    attempt same_mode "$file"
    attempt touch "$file"
    attempt ln "$file" "$PREFIX/linked"
done
for name in kernel/core_pattern kernel/hostname kernel/printk vm/overcommit_memory fs/file-max; do
    attempt same_value "/proc/sys/$name"
done
attempt mknod ./disk b 254 0
attempt kill -0 "$BYSTANDER"
attempt unshare -Urm sh -c 'mount -o remount,rw,bind /usr && touch /usr/hostile'
attempt unshare -Urm sh -c 'umount -l /proc/sys && value=$(cat /proc/sys/vm/overcommit_memory)'
attempt unshare -Urmpf --mount-proc sh -c 'cd /proc/sys/vm && value=$(cat swappiness) && echo "$value" > swappiness'
# These succeed, in what is the view's own.
for target in /tmp /var/tmp /dev/shm .; do echo hostile > "$target/hostile"; done
"""


@as_owner
def test_a_hostile_script_changes_nothing_outside_the_stage(ground: Ground) -> None:
    stage = ground.open()
    before = host_fingerprint(ground)
    # A long life under a high number: in a process namespace of its own the script cannot even name it.
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        names = {"LOWER": ground.lower, "STATE": ground.state, "GROUND": ground.directory, "PREFIX": PREFIX}
        settings = "\n".join(f"export {name}='{value}'" for name, value in (names | {"BYSTANDER": bystander.pid}).items())
        ground.do(stage, f"{settings}\n{HOSTILE}")
    finally:
        bystander.kill()
        bystander.wait()
    successes = stage.upper / "successes"
    assert not successes.exists(), successes.read_text()
    assert sorted(before ^ host_fingerprint(ground), key=str) == []
    assert ground.do(stage, "cat hostile; echo still works > works; cat works").stdout == "hostile\nstill works\n"


def host_fingerprint(ground: Ground) -> set[tuple[object, ...]]:
    """What a hostile script could have changed: names, kinds, modes, owners, sizes and times of change."""
    found: set[tuple[object, ...]] = set()
    roots = ["/", "/etc", "/usr", "/usr/local", "/usr/bin", "/var", "/var/lib", "/home", "/opt", "/srv", "/mnt", "/boot", "/root"]
    trees = [*(Path(root) for root in roots), ground.directory, ground.lower, ground.state, ground.state / "stages"]
    for tree in trees:
        for path in (tree, *_children(tree)):
            status = path.lstat()
            # Directories that others work in meanwhile: their times are not ours to judge, their mode is.
            busy = path in {Path("/tmp"), Path("/run"), Path("/proc"), Path("/var/tmp"), Path("/dev")}
            content = (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else ()
            found.add((str(path), status.st_mode, status.st_uid, *(() if busy else content)))
    for tree in (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path("/run")):
        found.update((str(path),) for path in _children(tree) if "hostile" in path.name)
    found.update((entry,) for entry in Manifest.of_tree(ground.lower))
    return found


def _children(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except (PermissionError, FileNotFoundError):
        return []
