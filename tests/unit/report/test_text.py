from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compatlayer.errors import DeclarationError, Location, Mistake, ProgramError, UsageError
from compatlayer.report import errors
from compatlayer.report.formats import pick
from compatlayer.report.text import Paint, about, clock, count, printable, size, wrapped


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "coloured"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(stream: io.StringIO, environment: dict[str, str], coloured: bool) -> None:
    assert Paint.on(stream, environment) == Paint(colour=coloured)
    assert ("\x1b[" in Paint.on(stream, environment).bad("no")) is coloured


@given(st.text())
def test_nothing_printable_returns_can_move_a_cursor_or_end_a_line(text: str) -> None:
    assert printable(text).isprintable()


def test_an_escape_sequence_and_a_stray_byte_are_shown_and_not_obeyed() -> None:
    name = b"evil\x1b[2J\r\nname\xff".decode("utf-8", "surrogateescape")
    assert printable(name) == r"evil\x1b[2J\r\nname\xff"
    assert printable("right-to-left \u202etxt") == r"right-to-left \u202etxt"
    assert printable("a\nb\x07", lines=True) == "a\nb\\x07"


@given(st.lists(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20), max_size=30))
def test_folded_text_keeps_within_its_width_and_loses_no_word(words: list[str]) -> None:
    text = " ".join(words)
    folded = wrapped(text, first="error: ", indent="  ", width=40)
    assert all(len(line) <= 40 for line in folded.splitlines())
    assert folded.split() == ["error:", *text.split()]


def test_a_path_longer_than_the_line_stays_whole() -> None:
    path = "/cvmfs/" + "x" * 100
    assert path in wrapped(f"see {path}", width=40).splitlines()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (3, "a few seconds"),
        (44, "about 40 s"),
        (58, "about 1 min"),
        (200, "about 3 min"),
        (3600, "about 1 h"),
        (4700, "about 1 h 20 min"),
    ],
)
def test_an_estimate_is_said_no_more_precisely_than_it_is(seconds: float, said: str) -> None:
    assert about(seconds) == said


def test_numbers_read_as_a_person_would_say_them() -> None:
    assert [clock(7.9), clock(754), clock(3723)] == ["0:07", "12:34", "1:02:03"]
    assert [size(512), size(1536), size(3 << 40)] == ["512 B", "1.5 KiB", "3.0 TiB"]
    assert [count(1, "package"), count(2, "package"), count(1200, "entry", "entries")] == [
        "1 package",
        "2 packages",
        "1,200 entries",
    ]


def test_an_error_reads_as_fact_cause_and_next_step() -> None:
    error = ProgramError("make failed", cause="first line\nsecond \x1b[31mline", hint="look here")
    assert errors.text(error) == "error: make failed\n  first line\n  second \\x1b[31mline\n  hint: look here\n"


def test_every_mistake_of_a_declaration_is_an_error_of_its_own() -> None:
    error = DeclarationError(
        [
            Mistake(Location("sets/a.yaml", 14, "packages[3].include_on"), "unknown target 'x'", "did you mean 'y'?"),
            Mistake(Location("sets/b.yaml"), "is empty"),
        ]
    )
    assert errors.text(error) == (
        "error: sets/a.yaml:14: packages[3].include_on: unknown target 'x'\n"
        "  hint: did you mean 'y'?\n"
        "error: sets/b.yaml: is empty\n"
    )
    document = json.loads(errors.as_json(error))["error"]
    assert document["exit_code"] == 2
    assert document["mistakes"][0] == {
        "file": "sets/a.yaml",
        "line": 14,
        "path": "packages[3].include_on",
        "fact": "unknown target 'x'",
        "hint": "did you mean 'y'?",
    }


def test_an_unknown_format_names_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        pick({"text": 1, "json": 2}, "jsno")
    assert str(caught.value) == "unknown format 'jsno'\n  known here: text, json\n  hint: did you mean --format json?"
