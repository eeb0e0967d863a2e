"""Enter runs a command inside the layer as if nothing stood between it and the caller."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from compatlayer.declaration.model import Part
from compatlayer.stage import open_stage
from tests.tiny_layer import PREFIX, SOURCE, TARGET, TinyLayer, processes_in, tiny_layer, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.userns]


@pytest.fixture(scope="module")
def layer() -> Iterator[TinyLayer]:
    """A layer with a stage that nothing was built in: entering looks at the files only."""
    with tiny_layer() as layer:
        layer.package("app-misc/one-1")
        layer.declare("app-misc/one")
        stage = open_stage(layer.state, Part("tiny", "2026.11", TARGET, PurePosixPath(PREFIX)))
        (stage.upper / "usr/bin").mkdir(parents=True)
        (stage.upper / "etc").mkdir()
        (stage.upper / "etc/profile").write_text("LAYER=yes\n")
        tool = stage.upper / "usr/bin/tool"
        tool.write_text("#!/bin/sh\necho own\n")
        tool.chmod(0o755)
        yield layer


def test_the_exit_code_is_the_commands_own(layer: TinyLayer) -> None:
    for code in (0, 1, 7, 127):
        assert layer.run("enter", "--", "sh", "-c", f"exit {code}", code=None).code == code


def test_a_command_killed_by_a_signal_ends_as_a_shell_says_it(layer: TinyLayer) -> None:
    assert layer.run("enter", "--", "sh", "-c", "kill -KILL $$", code=None).code == 128 + signal.SIGKILL
    assert layer.run("enter", "--", "sh", "-c", "kill -TERM $$", code=None).code == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_runs_inside_ends_with_the_one_who_entered(layer: TinyLayer, number: signal.Signals) -> None:
    with layer.running("enter", "--", "sleep", "1000") as process:
        assert process.stdout is not None
        wait_for(lambda: any("sleep 1000" in line for line in processes_in(layer.directory).values()), "sleep to run")
        process.send_signal(number)
        process.wait(timeout=10)
    wait_for(lambda: not processes_in(layer.directory), "everything inside to end", 10)


def test_arguments_and_standard_input_arrive_as_they_are(layer: TinyLayer) -> None:
    words = ["a b", "$HOME", "'", '"', "*", "", "--format", "-v", "ä\n"]
    done = layer.run("enter", "--", "printf", "[%s]", *words)
    assert done.out == "".join(f"[{word}]" for word in words)
    piped = subprocess.run(layer.command("enter", "--", "cat"), cwd=SOURCE, input=b"\0\xff\n", capture_output=True, check=True)
    assert piped.stdout == b"\0\xff\n"


def test_the_layers_programs_come_first_and_its_login_file_is_read(layer: TinyLayer) -> None:
    assert layer.run("enter", "--", "tool").out == "own\n"
    assert layer.run("enter", "--", "bash", "-lc", "echo $LAYER $COMPATLAYER_VERSION $COMPATLAYER_PREFIX").out == (
        f"yes 2026.11 {PREFIX}\n"
    )


def test_the_callers_environment_stays_outside(layer: TinyLayer) -> None:
    poison = {
        "LD_LIBRARY_PATH": "/nowhere",
        "LD_AUDIT": "/nowhere.so",
        "MODULEPATH": "/nowhere",
        "BASH_ENV": "/nowhere",
        "TZ": "Asia/Tokyo",
    }
    variables = layer.run("enter", "--", "env", environment=poison).out.splitlines()
    names = {line.partition("=")[0] for line in variables}
    assert not names & {"LD_LIBRARY_PATH", "LD_AUDIT", "MODULEPATH", "BASH_ENV", "PYTHONPATH"}
    assert "TZ=Asia/Tokyo" in variables
    assert "HOME=/tmp" in variables


def test_nothing_can_be_written_but_the_directories_named(layer: TinyLayer) -> None:
    for path in (f"{PREFIX}/usr/file", "/etc/file", str(layer.directory / "file")):
        refused = layer.run("enter", "--", "touch", path, code=1)
        assert "Read-only file system" in refused.err or "No such file" in refused.err or "Permission denied" in refused.err
    work = layer.directory / "work"
    work.mkdir()
    layer.run("enter", "--writable", str(work), "--", "touch", str(work / "made"))
    assert [path.name for path in work.iterdir()] == ["made"]
    assert not (layer.upper / "usr/file").exists()
    assert not os.path.exists("/etc/file")


def test_without_a_stage_the_error_says_how_to_build_one(layer: TinyLayer) -> None:
    refused = layer.run("--state", str(layer.directory / "elsewhere"), "enter", "--", "true", code=5)
    assert refused.err == (
        f"error: there is no stage of 2026.11/{TARGET.os}-{TARGET.arch} yet\n  hint: build it: compatlayer install\n"
    )
