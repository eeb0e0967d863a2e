from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from compatlayer.progress import (
    Note,
    PackageFinished,
    PackagePhase,
    PackagesPlanned,
    StepFinished,
    StepStarted,
    Transferred,
)
from compatlayer.report.estimate import Durations, Estimate, name_of
from compatlayer.report.monitors import choose
from compatlayer.report.terminal import TerminalMonitor
from compatlayer.report.watch import JsonMonitor, LogMonitor, Silent


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("format_name", "stream", "no_progress", "quiet", "kind"),
    [
        ("text", Terminal(), False, False, TerminalMonitor),
        ("text", Terminal(), True, False, LogMonitor),
        ("text", io.StringIO(), False, False, LogMonitor),
        ("json", Terminal(), False, False, JsonMonitor),
        ("text", Terminal(), False, True, Silent),
    ],
)
def test_bars_move_only_on_a_terminal_that_may_show_them(
    format_name: str, stream: io.StringIO, no_progress: bool, quiet: bool, kind: type
) -> None:
    monitor = choose(format_name, stream, no_progress=no_progress, quiet=quiet)
    monitor.close()
    assert type(monitor) is kind


def test_a_log_has_plain_lines_with_the_time_and_an_estimate() -> None:
    stream, clock = io.StringIO(), Clock()
    monitor = LogMonitor(stream, Durations(), clock)
    monitor.tell(StepStarted("role package_set", 2))
    monitor.tell(PackagePhase("app-arch/bzip2-1.0.8", "unpack", 0, 2))
    clock.time += 5
    monitor.tell(PackagePhase("app-arch/bzip2-1.0.8", "compile", 0, 2))
    clock.time += 60
    monitor.tell(PackagePhase("app-arch/bzip2-1.0.8", "install", 0, 2))
    clock.time += 1
    monitor.tell(PackageFinished("app-arch/bzip2-1.0.8", 1, 2, 66.0))
    monitor.tell(Note("weird \x1b[31m note"))
    monitor.tell(Transferred("lua-5.4.tar.gz", 1, 2, 10, 2048))
    monitor.tell(Transferred("bzip2.tar.gz", 2, 2, 2048, 2048))
    monitor.tell(StepFinished("role package_set", 66.0, "failed"))
    assert stream.getvalue() == (
        "[   0:00] role package_set (2)\n"
        "[   0:00] 0/2 app-arch/bzip2-1.0.8: unpack\n"
        "[   1:05] app-arch/bzip2-1.0.8: install\n"
        "[   1:06] 1/2 app-arch/bzip2-1.0.8: done in 1:06, about 1 min left\n"
        "[   1:06] weird \\x1b[31m note\n"
        "[   1:06] 2/2 files, 2.0 KiB of 2.0 KiB: bzip2.tar.gz\n"
        "[   1:06] role package_set: failed, 1:06\n"
    )


def test_json_lines_name_the_event_and_carry_its_fields() -> None:
    stream, clock = io.StringIO(), Clock()
    monitor = JsonMonitor(stream, Durations(), clock)
    monitor.tell(StepStarted("mirror", None))
    clock.time += 10
    monitor.tell(PackageFinished("a/b-1", 1, 3, 10.0))
    clock.time += 10
    monitor.tell(PackageFinished("a/c-1", 2, 3, 10.0))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines[0] == {"event": "step-started", "at_s": 0.0, "step": "mirror", "total": None}
    assert lines[2] == {
        "event": "package-finished",
        "at_s": 20.0,
        "package": "a/c-1",
        "done": 2,
        "total": 3,
        "elapsed_s": 10.0,
        "binary": False,
        "remaining_s": 5.0,
    }


def test_a_terminal_shows_the_whole_the_packages_and_the_time_and_leaves_only_lasting_lines() -> None:
    stream, clock = Terminal(), Clock()
    monitor = TerminalMonitor(stream, Durations(seconds={"a/b": 60.0, "a/c": 60.0}), clock, refresh=False)
    monitor.tell(StepStarted("role package_set"))
    monitor.tell(PackagesPlanned(("a/b-1", "a/c-2")))
    monitor.tell(PackagePhase("a/b-1", "comp\x1bile", 0, 2))
    clock.time += 30
    monitor.tell(PackageFinished("a/a-1", 1, 2, 30.0))
    with monitor.console.capture() as capture:
        monitor.console.print(monitor.picture())
    lines = capture.get().splitlines()
    assert lines[0].split() == ["role", "package_set", "━" * 12, "1/2", "0:30,", "about", "30", "s", "left"]
    assert lines[1] == "  a/b-1  comp\\x1bile  0:30"
    monitor.tell(PackageFinished("a/b-1", 1, 2, 30.0))
    monitor.close()
    assert "done a/b-1  30 s" in stream.getvalue()


def test_last_times_durations_say_how_long_a_run_takes_before_anything_is_done() -> None:
    clock = Clock()
    estimate = Estimate(Durations(seconds={"dev-lang/lua": 30.0, "app-arch/bzip2": 10.0}), clock)
    assert estimate.remaining_s() is None
    estimate.tell(PackagesPlanned(("dev-lang/lua-5.4.6-r1", "app-arch/bzip2-1.0.8", "new/one-1")))
    assert estimate.remaining_s() == 60  # the new one weighs as much as the average of the others


def test_this_runs_pace_corrects_last_times_durations() -> None:
    clock = Clock()
    estimate = Estimate(Durations(seconds={"a/a": 10.0, "a/b": 40.0}), clock)
    estimate.tell(PackagesPlanned(("a/a-1", "a/b-1")))
    estimate.tell(PackagePhase("a/a-1", "compile", 0, 2))
    clock.time += 20  # twice as slow as last time
    estimate.tell(PackageFinished("a/a-1", 1, 2, 20.0))
    assert estimate.remaining_s() == 80
    clock.time += 80
    estimate.tell(PackageFinished("a/b-1", 2, 2, 80.0))
    assert estimate.remaining_s() is None


def test_without_a_history_the_middle_one_of_the_first_packages_judges_the_rest() -> None:
    clock = Clock()
    estimate = Estimate(Durations(), clock)
    said = []
    for done, took_s in enumerate((3.0, 300.0, 20.0), 1):
        estimate.tell(PackagePhase(f"a/a{done}-1", "compile", done - 1, 13))
        clock.time += took_s
        estimate.tell(PackageFinished(f"a/a{done}-1", done, 13, took_s))
        said.append(estimate.remaining_s())
    assert said == [None, None, 200.0]


def test_durations_are_remembered_for_the_next_run_but_not_those_of_removals(tmp_path: Path) -> None:
    history, clock = tmp_path / "state/durations.json", Clock()
    monitor = Silent(Durations.load(history), clock)
    monitor.tell(PackagePhase("app-arch/bzip2-1.0.8-r1", "compile", 0, 2))
    monitor.tell(PackagePhase("old/thing-1", "unmerge", 0, 2))
    monitor.tell(PackageFinished("app-arch/bzip2-1.0.8-r1", 1, 2, 12.34))
    monitor.tell(PackageFinished("old/thing-1", 2, 2, 0.2))
    monitor.close()
    assert json.loads(history.read_text()) == {"app-arch/bzip2": 12.3}
    assert Durations.load(history).of("app-arch/bzip2-1.0.9") == 12.3


def test_binary_packages_are_told_apart_weigh_little_and_are_not_taken_for_builds(tmp_path: Path) -> None:
    file = tmp_path / "durations.json"
    file.write_text('{"a/b": 600.0, "a/c": 100.0}')
    stream, now = io.StringIO(), 0.0
    monitor = LogMonitor(stream, Durations.load(file), lambda: now)
    monitor.tell(PackagesPlanned(("a/b-1", "a/c-1"), ("a/b-1",)))
    left = monitor.estimate.remaining_s()
    assert left is not None
    assert left < 110
    monitor.tell(PackagePhase("a/b-1", "start", 0, 2))
    now = 2.0
    monitor.tell(PackageFinished("a/b-1", 1, 2, 2.0, binary=True))
    monitor.close()
    assert "1 package to take from binary packages, 1 to build\n" in stream.getvalue()
    assert "1/2 a/b-1: merged from its binary package in 2.0 s" in stream.getvalue()
    assert json.loads(file.read_text())["a/b"] == 600.0


@pytest.mark.parametrize("content", ["", "[1]", '{"a/b": "x"}', "\x00", '{"a/b": null}'])
def test_a_damaged_history_is_an_empty_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "durations.json").write_text(content)
    assert Durations.load(tmp_path / "durations.json").seconds == {}


def test_a_history_that_cannot_be_written_does_not_fail_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    Durations(tmp_path / "file/durations.json", {"a/b": 1.0}).save()
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("app-arch/bzip2-1.0.8-r1", "app-arch/bzip2"),
        ("sys-libs/glibc-2.41_p20250101", "sys-libs/glibc"),
        ("dev-libs/libxml2-2.13.5", "dev-libs/libxml2"),
        ("media/font-adobe-100dpi-1.0.4", "media/font-adobe-100dpi"),
        ("a/b", "a/b"),
    ],
)
def test_a_package_is_remembered_under_its_name_whatever_its_version(package: str, name: str) -> None:
    assert name_of(package) == name


def test_reports_that_need_no_bars_do_not_pay_for_rich() -> None:
    script = (
        "import sys, io\n"
        "from compatlayer.report import errors, findings, text\n"
        "from compatlayer.report.monitors import choose\n"
        "choose('text', io.StringIO()).close()\n"
        "print(sorted({'rich', 'click', 'pydantic', 'ansible'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
