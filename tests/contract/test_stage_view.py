"""What every view of a stage shows and allows, and the life of a stage: plain or on a lower tree, for root and for a user."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from compatlayer import process
from compatlayer.errors import LockHeldError, StageError
from compatlayer.stage import Bind, drop, find_stage, open_stage, stages, tree_view, unbound
from compatlayer.tree.manifest import Manifest
from tests.contract.stage_support import KINDS_AND_USERS, PREFIX, Ground, as_owner, make_ground

pytestmark = pytest.mark.contract


@pytest.fixture(params=KINDS_AND_USERS)
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    yield from make_ground(*request.param)


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
    if ground.kind == "overlay":
        assert list(stage.differences()) == []


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
