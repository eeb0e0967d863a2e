"""A synthetic root shows the layer and what was put into it, and nothing of this machine."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from compatlayer import process
from compatlayer.errors import StageError
from compatlayer.hostlab import description
from compatlayer.hostlab.layout import lay_out
from compatlayer.stage import Bind, View
from compatlayer.stage.synthetic import Root, Temporary, synthetic_view
from tests.closed_layer import closed_layer

pytestmark = [pytest.mark.contract, pytest.mark.userns]
PREFIX = PurePosixPath("/cvmfs/software.example.org/versions/1/compat/linux/x86_64")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return closed_layer(tmp_path_factory.mktemp("layer"), str(PREFIX))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def run(view: View, line: str, code: int = 0) -> str:
    done = process.run(view.command([str(PREFIX / "usr/bin/bash"), "-c", f"PATH={PREFIX}/usr/bin; {line}"]), check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_nothing_but_the_layer_proc_and_dev_is_there(tree: Path, root: Path) -> None:
    view = synthetic_view(Bind(tree, PREFIX), Root(root))
    assert run(view, "ls /").split() == ["cvmfs", "dev", "proc"]
    assert run(view, f"ls {PREFIX}").split() == ["etc", "usr"]
    assert run(view, "exit 7", 7) == ""


def test_the_layer_and_the_root_are_read_only(tree: Path, root: Path) -> None:
    view = synthetic_view(Bind(tree, PREFIX, writable=True), Root(root, temporary=Temporary.WRITABLE))
    run(view, f"touch {PREFIX}/written", 1)
    run(view, "touch /written", 1)
    run(view, "touch /tmp/written /dev/shm/written")
    assert sorted(path.name for path in tree.iterdir()) == ["etc", "usr"]


@pytest.mark.parametrize(("temporary", "there", "written"), [("writable", 0, 0), ("read-only", 0, 1), ("missing", 1, 1)])
def test_tmp_is_what_it_was_asked_to_be(tree: Path, root: Path, temporary: str, there: int, written: int) -> None:
    view = synthetic_view(Bind(tree, PREFIX), Root(root, temporary=Temporary(temporary)))
    run(view, "ls -d /tmp", there)
    run(view, "touch /tmp/x", written)


def test_the_environment_is_the_hosts_and_reaches_nobody_on_the_way(tree: Path, root: Path) -> None:
    hostile = {"LD_PRELOAD": "/no/such/library.so", "LD_LIBRARY_PATH": "/no", "A": "b c"}
    said = run(synthetic_view(Bind(tree, PREFIX), Root(root, environment=hostile)), "env").splitlines()
    assert {line for line in said if line.partition("=")[0] not in ("PWD", "SHLVL", "PATH")} == {
        f"{name}={value}" for name, value in hostile.items()
    }


def test_there_is_no_network_and_no_process_of_the_machine(tree: Path, root: Path) -> None:
    view = synthetic_view(Bind(tree, PREFIX), Root(root))
    assert [line.split(":")[0].strip() for line in run(view, "cat /proc/net/dev").splitlines()[2:]] == ["lo"]
    assert len([name for name in run(view, "ls /proc").split() if name.isdigit()]) < 6
    assert run(view, "hostname") == "synthetic\n"


def test_a_user_may_be_a_number_without_a_name(tree: Path, root: Path) -> None:
    view = synthetic_view(Bind(tree, PREFIX), Root(root, user=4242))
    assert run(view, "id").startswith("uid=4242 gid=4242")


def test_what_is_laid_out_is_there_and_what_this_machine_lacks_is_not(tree: Path, root: Path, tmp_path: Path) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text(
        "description: ours\nfiles: {/etc/deep/motd: hello}\nlinks: {/bin: usr/bin}\nuser: 4242\n"
        "shows: {/opt/share: [/no/such/place, /usr/share], /opt/none: [/no/such/place]}\nprograms: {/usr/bin/busybox: [sh, ls]}\n"
    )
    view = synthetic_view(Bind(tree, PREFIX), lay_out(description.parse(file), root))
    assert run(view, "cat /etc/deep/motd") == "hello"
    assert run(view, "/bin/sh -c 'echo from the host'") == "from the host\n"
    assert run(view, "ls /opt").split() == ["share"]
    assert "licenses" in run(view, "ls /opt/share") or run(view, "ls /opt/share")


def test_a_mount_point_below_a_file_is_an_error(tree: Path, root: Path) -> None:
    (root / "cvmfs").write_text("a file")
    with pytest.raises(StageError, match="nothing can be shown at /cvmfs/software"):
        synthetic_view(Bind(tree, PREFIX), Root(root))
