from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from compatlayer.resources import PACKAGE

SCRIPT = PACKAGE.parent / "tools/host-tools"
# What stands before the heredoc's end: program or patterns of a file, Debian's package, Fedora's package.
TABLE = [line.split() for line in SCRIPT.read_text().partition("<<'EOF'\n")[2].partition("\nEOF")[0].splitlines()]


class Machine:
    """A PATH and files of our own: everything of the table, none of which is ever called, and fakes that write down how they were."""

    def __init__(self, directory: Path, *, user_id: int) -> None:
        self.bin = directory / "bin"
        self.calls = directory / "calls"
        self.bin.mkdir()
        self.root = directory / "root"
        for program, _, _ in TABLE:
            if program.startswith("/"):
                file = self.file(program)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
            else:
                self.fake(program, "exit 99")
        for program in ("sh", "cat", "env"):
            self.link(program)
        self.fake("id", f"echo {user_id}")

    def file(self, patterns: str) -> Path:
        """A file that the last of the patterns matches."""
        return self.root / patterns.rpartition("|")[2].lstrip("/").replace("*", "64")

    def link(self, program: str) -> None:
        real = shutil.which(program)
        assert real is not None
        (self.bin / program).symlink_to(real)

    def fake(self, program: str, *lines: str) -> None:
        path = self.bin / program
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        path.chmod(0o755)

    def installer(self, program: str, *, brings: str = "") -> None:
        """A package manager that notes its arguments and, where told so, makes one program appear."""
        create = f'case "$*" in *install*) : >{self.bin / brings} && /bin/chmod +x {self.bin / brings} ;; esac' if brings else ":"
        self.fake(program, f'echo "{program} $*" >>{self.calls}', create)

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", SCRIPT, *args],
            env={"PATH": str(self.bin), "HOST_ROOT": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def called(self) -> str:
        return self.calls.read_text() if self.calls.exists() else ""


def test_a_machine_that_has_everything_is_told_nothing_and_soon(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user_id=1000)
    machine.installer("apt-get")
    began = time.perf_counter()
    done = machine.run()
    assert (done.returncode, done.stdout, done.stderr, machine.called) == (0, "", "", "")
    assert time.perf_counter() - began < 0.5


def test_an_ordinary_user_gets_one_command_for_each_family_and_nothing_is_installed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user_id=1000)
    machine.installer("apt-get")
    for program in ("xz", "unshare", "setpriv", "scanelf"):
        (machine.bin / program).unlink()
    done = machine.run()
    assert done.returncode == 1
    assert done.stderr == (
        "error: this machine lacks programs that building a layer needs: xz unshare setpriv scanelf\n"
        "  hint: install them with the command for your system, then run make again\n"
        "        Debian, Ubuntu:  sudo apt-get update && sudo apt-get install xz-utils util-linux pax-utils\n"
        "        Fedora, Rocky:   sudo dnf install xz util-linux pax-utils\n"
    )
    assert machine.called == ""


@pytest.mark.parametrize(
    ("installer", "calls"),
    [
        ("apt-get", "apt-get update -qq\napt-get install -y -qq --no-install-recommends bubblewrap\n"),
        ("dnf", "dnf install -y -q bubblewrap\n"),
    ],
)
def test_root_gets_what_is_missing_installed(tmp_path: Path, installer: str, calls: str) -> None:
    machine = Machine(tmp_path, user_id=0)
    machine.installer(installer, brings="bwrap")
    (machine.bin / "bwrap").unlink()
    done = machine.run()
    assert (done.returncode, machine.called) == (0, calls)


def test_sudo_is_used_only_if_it_asks_for_no_password(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user_id=1000)
    machine.installer("apt-get", brings="bwrap")
    (machine.bin / "bwrap").unlink()
    machine.fake("sudo", 'echo "sudo $*" >>' + str(machine.calls), "exit 1")
    assert machine.run().returncode == 1
    assert machine.called == "sudo -n true\n"

    machine.fake("sudo", '[ "$1" != -n ] || shift', 'exec "$@"')
    machine.fake("true", "exit 0")
    assert machine.run().returncode == 0
    assert "apt-get install" in machine.called


def test_an_installation_that_does_not_bring_the_program_is_not_taken_for_success(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user_id=0)
    machine.installer("apt-get")
    (machine.bin / "ostree").unlink()
    done = machine.run()
    assert done.returncode == 1
    assert "needs: ostree\n" in done.stderr
    assert machine.called.endswith("apt-get install -y -qq --no-install-recommends ostree\n")


def test_a_library_without_a_program_is_missed_too(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user_id=1000)
    patterns = next(row[0] for row in TABLE if "OSTree" in row[0])
    machine.file(patterns).unlink()
    assert "needs: OSTree-1.0.typelib\n" in machine.run().stderr
    (debian := machine.root / "usr/lib/x86_64-linux-gnu/girepository-1.0/OSTree-1.0.typelib").parent.mkdir(parents=True)
    debian.touch()
    assert machine.run().returncode == 0


def test_every_program_has_a_package_in_both_families() -> None:
    assert len(TABLE) > 15
    assert all(len(row) == 3 for row in TABLE)
