"""Programs are run from lists, in an environment of their own, and their end is told exactly."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from compatlayer import process
from compatlayer.errors import ProgramError


def test_what_a_program_prints_is_returned_byte_for_byte() -> None:
    done = process.run(["sh", "-c", "printf 'out\\377\\n'; printf err >&2"])
    assert (done.returncode, done.stderr) == (0, "err")
    assert done.stdout.encode("utf-8", "surrogateescape") == b"out\xff\n"


def test_an_exit_code_is_an_error_that_quotes_the_last_lines() -> None:
    with pytest.raises(ProgramError) as caught:
        process.run(["sh", "-c", "seq 100 >&2; exit 7"])
    lines = str(caught.value).splitlines()
    assert lines[0] == "sh failed with exit code 7"
    assert lines[1:13] == [f"  {number}" for number in range(89, 101)]
    assert lines[13] == "  command: sh -c 'seq 100 >&2; exit 7'"


def test_a_signal_is_told_by_its_name_and_not_as_an_exit_code() -> None:
    with pytest.raises(ProgramError) as caught:
        process.run(["sh", "-c", "kill -SEGV $$"])
    assert caught.value.fact == "sh was killed by SIGSEGV"
    assert process.run(["sh", "-c", "kill -KILL $$"], check=False).returncode == -9


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("no-such-program", "apt-get install no-such-program   (Fedora: dnf install no-such-program)"),
        ("/nowhere/bwrap", "apt-get install bubblewrap   (Fedora: dnf install bubblewrap)"),
    ],
)
def test_a_missing_program_is_told_with_the_command_that_installs_it(name: str, hint: str) -> None:
    for start in (process.run, process.spawn):
        with pytest.raises(ProgramError) as caught:
            start([name])
        assert str(caught.value) == f"{Path(name).name} is not installed or not on PATH\n  hint: {hint}"


def test_a_program_that_does_not_end_is_stopped() -> None:
    with pytest.raises(ProgramError) as caught:
        process.run(["sleep", "60"], timeout_s=0.2)
    assert str(caught.value) == "sleep did not end within 0.2 s\n  sleep 60"


def test_nothing_of_our_environment_leaks_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_NOT", "x")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("PATH", "/nowhere")
    found = dict(line.split("=", 1) for line in process.run(["env"], env={"MORE": "1"}).stdout.splitlines())
    assert "LD_PRELOAD_NOT" not in found
    assert (found["LC_ALL"], found["TZ"], found["MORE"], found["PATH"]) == ("C.UTF-8", "UTC", "1", process.SYSTEM_PATH)


def test_arguments_are_never_read_by_a_shell() -> None:
    odd = ["$(echo x)", "a b", "*", "';", "new\nline", "-n"]
    code = "import sys; sys.stdout.write(repr(sys.argv[1:]))"
    assert process.run([sys.executable, "-c", code, *odd]).stdout == repr(odd)


def test_standard_input_is_what_was_given_or_nothing() -> None:
    assert process.run(["cat"], stdin_text="given").stdout == "given"
    assert process.run(["cat"]).stdout == ""


def test_the_logged_command_can_be_pasted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="compatlayer.process"):
        process.run(["echo", "a b", "$HOME"])
    assert shlex.split(caplog.messages[-1].removeprefix("run: ")) == ["echo", "a b", "$HOME"]


def test_a_spawned_program_is_spoken_to_over_its_pipes(tmp_path: Path) -> None:
    running = process.spawn(["sh", "-c", "pwd; cat"], cwd=tmp_path)
    out, _ = running.communicate(b"said", timeout=10)
    assert out == f"{os.path.realpath(tmp_path)}\nsaid".encode()
    assert running.returncode == 0
