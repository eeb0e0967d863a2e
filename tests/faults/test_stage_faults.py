"""What goes wrong under a stage: namespaces refused, programs missing, crashes in the middle, files damaged."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compatlayer import process
from compatlayer.errors import HostError, StageError
from compatlayer.stage import drop, find_stage, open_stage, stages, view
from compatlayer.stage import stage as stage_module
from compatlayer.stage.refusal import HostFacts, explain
from tests.contract.stage_support import Ground, as_owner, make_ground

pytestmark = pytest.mark.faults

NO_BIND = "or build without a view: --no-bind, with a prefix that is a writable directory of this machine"


@pytest.fixture(params=["plain", "overlay"])
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    yield from make_ground(request.param, "user")


def killed_in_the_middle(work: Callable[[], None]) -> None:
    """Run ``work``, which is to end by SIGKILL, in a process of its own."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it was not killed"
    assert os.WTERMSIG(status) == signal.SIGKILL


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.userns
def test_namespaces_switched_off_are_named_with_the_way_out(ground: Ground) -> None:
    """Really switched off: in a user namespace of its own, whose limit is then set to none."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path, PurePosixPath\n"
        "from compatlayer.errors import HostError\n"
        "from compatlayer.stage import tree_view\n"
        "try:\n"
        "    tree_view(Path('/usr/share'), PurePosixPath('/compatlayer/x')).check()\n"
        "except HostError as error:\n"
        "    print(error)\n"
    )
    switch_off = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --ambient-caps=-all --inh-caps=-all "$@"'
    become = f"--reuid={ground.user_id} --regid={ground.user_id} --clear-groups".split() if os.geteuid() == 0 else []
    command = ["setpriv", *become, "unshare", "--map-current-user", "--keep-caps", "--mount", "sh", "-c", switch_off, "sh"]
    done = subprocess.run(
        [*command, ground.python, "-ISB", "-c", code, str(ground.directory / "source")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    first, cause, *said, way_out, other_way = done.stdout.splitlines()
    assert first == "this machine does not let us make the view of a stage"
    assert cause == "  user namespaces are switched off: user.max_user_namespaces is 0"
    assert said[0].startswith("  bwrap: ")
    assert way_out == "  hint: as root: sysctl user.max_user_namespaces=16384;"
    assert other_way == f"        {NO_BIND}"


def proc(directory: Path, *, capabilities: int = 0, filesystems: str = "nodev\toverlay\n", **settings: int) -> Path:
    """A stand-in for /proc with the files that decide."""
    for name, value in settings.items():
        file = directory / "sys" / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    (directory / "self").mkdir()
    (directory / "self/status").write_text(f"Name:\tx\nCapEff:\t{capabilities:016x}\n")
    (directory / "filesystems").write_text(filesystems)
    return directory


NO_NAMESPACE = (
    "bwrap: No permissions to creating new namespace, likely because the kernel does not allow non-privileged user namespaces."
)


@pytest.mark.parametrize(
    ("settings", "stderr", "cause", "hint"),
    [
        (
            {"kernel__unprivileged_userns_clone": 0, "user__max_user_namespaces": 9},
            NO_NAMESPACE,
            "user namespaces are for root only here: kernel.unprivileged_userns_clone is 0",
            "as root: sysctl kernel.unprivileged_userns_clone=1",
        ),
        (
            {"kernel__apparmor_restrict_unprivileged_userns": 1, "kernel__unprivileged_userns_clone": 1},
            "bwrap: setting up uid map: Permission denied",
            "AppArmor restricts user namespaces: kernel.apparmor_restrict_unprivileged_userns is 1",
            "as root, give bwrap and unshare AppArmor profiles with `userns`, or set that to 0 with sysctl",
        ),
        (
            {"user__max_user_namespaces": 9},
            NO_NAMESPACE,
            "namespaces are refused: by a seccomp filter (a container's), or since all allowed ones are in use",
            "allow unshare(2) and mount(2) in the container's seccomp profile",
        ),
        (
            {},
            "bwrap: Can't mount proc on /newroot/proc: Operation not permitted",
            "a new /proc cannot be mounted: this is a container with a masked /proc",
            "start the container with --security-opt systempaths=unconfined",
        ),
        (
            {},
            "mount: /x/.compatlayer/merged: wrong fs type, bad option, bad superblock on compatlayer",
            "the overlay cannot be mounted: the kernel is older than 5.11, or the state directory is on NFS or an overlay",
            "put the state directory on a local ext4, XFS or Btrfs file system with --state",
        ),
    ],
)
def test_each_refusal_names_its_cause_and_the_way_out(
    tmp_path: Path, settings: dict[str, int], stderr: str, cause: str, hint: str
) -> None:
    facts = dataclasses.replace(HostFacts.read(proc(tmp_path, **settings)), user_id=1000)
    error = explain(stderr + "\n", facts)
    assert isinstance(error, HostError)
    assert error.exit_code == 3
    assert str(error) == (
        f"this machine does not let us make the view of a stage\n  {cause}\n  {stderr}\n  hint: {hint};\n        {NO_BIND}"
    )


def test_a_kernel_without_overlayfs_is_told_from_one_that_refuses(tmp_path: Path) -> None:
    facts = HostFacts.read(proc(tmp_path, filesystems="nodev\tproc\n\text4\n"))
    assert "the kernel has no overlayfs\n" in str(explain("mount: x: unknown filesystem type 'overlay'.", facts))


def test_settings_for_ordinary_users_are_no_excuse_for_an_administrator(tmp_path: Path) -> None:
    facts = HostFacts.read(proc(tmp_path, capabilities=1 << 21, user__max_user_namespaces=0))
    assert "switched off" not in str(explain("bwrap: something else", facts))


def test_root_without_the_capability_is_told_so(tmp_path: Path) -> None:
    facts = dataclasses.replace(HostFacts.read(proc(tmp_path, user__max_user_namespaces=9)), user_id=0)
    assert "without the capability CAP_SYS_ADMIN" in str(explain("bwrap: Operation not permitted", facts))


@pytest.mark.root
def test_root_in_a_container_is_refused_with_the_cause() -> None:
    """Root without CAP_SYS_ADMIN and without a user namespace to get it in, as in an unprivileged container."""
    tree = view.tree_view(Path("/usr/share"), stage_module.PurePosixPath("/compatlayer/x"))
    done = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", *tree.command(["true"])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "bwrap: " in done.stderr


def test_a_missing_bubblewrap_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process, "SYSTEM_PATH", str(tmp_path))
    view._bwrap_sets_modes.cache_clear()
    try:
        with pytest.raises(HostError) as caught:
            view.tree_view(Path("/usr"), stage_module.PurePosixPath("/compatlayer/x"))
    finally:
        view._bwrap_sets_modes.cache_clear()
    assert str(caught.value) == (
        "bwrap is not installed or not on PATH\n"
        "  hint: apt-get install bubblewrap   (Fedora: dnf install bubblewrap);\n"
        f"        {NO_BIND}"
    )


@as_owner
def test_a_drop_that_was_killed_is_finished_by_the_next_run(ground: Ground) -> None:
    stage = ground.open()
    (stage.upper / "big").mkdir()
    (stage.upper / "big" / "file").touch()

    def work() -> None:
        stage_module._remove = die
        drop(stage)

    killed_in_the_middle(work)
    left = list((ground.state / "stages").iterdir())
    assert [path.name for path in left] == [f".dropped-{stage.identifier}"]
    assert find_stage(ground.state, ground.part()) is None
    assert list(stages(ground.state)) == []
    assert list((ground.state / "stages").iterdir()) == []
    assert ground.open().identifier != stage.identifier


@as_owner
def test_a_drop_that_another_process_is_at_is_left_to_it(ground: Ground) -> None:
    stage = ground.open()
    doomed = stage.directory.with_name(f".dropped-{stage.identifier}")
    with stage.lock("dropping"):
        stage.directory.rename(doomed)
        assert list(stages(ground.state)) == []
        assert (doomed / "upper").is_dir()
    assert list(stages(ground.state)) == []
    assert not doomed.exists()


@as_owner
def test_a_stage_that_was_killed_while_it_was_begun_is_begun_again(ground: Ground) -> None:
    def work() -> None:
        stage_module.write_atomically = die  # type: ignore[assignment]
        ground.open()

    killed_in_the_middle(work)
    assert find_stage(ground.state, ground.part()) is None
    stage = ground.open()
    assert ground.do(stage, "cat etc/conf").stdout == "conf\n"


@as_owner
def test_a_damaged_stage_file_is_named(ground: Ground) -> None:
    stage = ground.open()
    file = stage.directory / "stage.json"
    good = file.read_text()
    for bad in ("{", "[]", json.dumps(json.loads(good) | {"target": "no-such"}), good.replace('"base"', '"bass"')):
        file.write_text(bad)
        with pytest.raises(StageError) as caught:
            ground.open()
        assert caught.value.fact == f"{file} is damaged"
        assert "remove" in str(caught.value.hint)
    file.write_text(good.replace('"format": 1', '"format": 2'))
    with pytest.raises(StageError, match="has format 2, this version knows 1"):
        ground.open()
    file.write_text(good)
    assert ground.open() == stage


@as_owner
def test_a_lower_tree_that_cannot_carry_a_stage_is_refused_before_anything_is_made(ground: Ground) -> None:
    part = ground.part()
    for lower in (ground.directory / "nothing", ground.directory, ground.state):
        with pytest.raises(StageError, match="cannot carry a stage"):
            open_stage(ground.state, part, lower=lower)
    with pytest.raises(StageError) as caught:
        open_stage(ground.state, part, lower=Path("/usr"))
    assert str(caught.value) == (
        "/usr cannot carry a stage of yours\n"
        f"  it belongs to user 0, you are {os.geteuid()}\n"
        "  hint: check the revision out as yourself, or work as its owner"
    )
    assert not (ground.state / "stages").exists()


@as_owner
def test_a_lower_tree_that_went_away_is_named(ground: Ground) -> None:
    stage = ground.open()
    if stage.lower is None:
        assert ground.open() == stage
        return
    stage.lower.rename(ground.directory / "moved")
    with pytest.raises(StageError, match="is gone"):
        ground.open()
    (ground.directory / "moved").rename(stage.lower)
    assert ground.do(ground.open(), "cat etc/conf").stdout == "conf\n"


@as_owner
def test_a_crash_while_writing_the_journal_loses_only_what_had_not_begun(ground: Ground) -> None:
    stage = ground.open()
    stage.journal.record("emerge", package="app-arch/bzip2")
    with stage.journal.path.open("ab") as stream:
        stream.write(b'{"step": "emer')
    assert [record.step for record in ground.open().journal.read()] == ["emerge"]
