from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

import pytest

from compatlayer.errors import Location
from compatlayer.findings import Finding, Severity
from compatlayer.report.findings import RENDERERS, render
from compatlayer.report.text import Paint


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong(Finding):
    """Something is wrong, for these tests."""

    identifier: ClassVar[str] = "test-report-wrong"
    check: ClassVar[str] = "test"
    holders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd(Finding):
    """Something is odd, for these tests."""

    identifier: ClassVar[str] = "test-report-odd"
    check: ClassVar[str] = "test"
    severity: ClassVar[Severity] = Severity.WARNING


FINDINGS = (
    Wrong(
        package="app-arch/bzip2",
        path="usr/lib/libbz2.so.1",
        expected="1.0.8",
        actual="1.0.6",
        remedy="run compatlayer install",
        location=Location("sets/a.yaml", 3, "packages[0]"),
        holders=("a", "b"),
    ),
    Odd(path="evil\x1b[2J|<b>", expected="a file", actual="a link"),
)


def test_text_says_what_where_and_what_to_do_and_counts_at_the_end() -> None:
    assert render(FINDINGS) == (
        "error: app-arch/bzip2: expected 1.0.8, found 1.0.6 [test-report-wrong]\n"
        "  at: sets/a.yaml:3: packages[0]\n"
        "  path: usr/lib/libbz2.so.1\n"
        "  remedy: run compatlayer install\n"
        "warning: evil\\x1b[2J|<b>: expected a file, found a link [test-report-odd]\n"
        "1 error, 1 warning\n"
    )


def test_a_long_finding_is_folded_to_80_columns() -> None:
    long = Odd(package="app-arch/bzip2", expected="one thing " * 20, actual="another", remedy="do this " * 20)
    lines = render([long]).splitlines()
    assert len(lines) > 5
    assert max(map(len, lines)) <= 80


def test_colour_changes_nothing_but_colour() -> None:
    coloured = render(FINDINGS, paint=Paint(colour=True))
    assert coloured.startswith("\x1b[1;31merror:\x1b[0m app-arch")
    assert coloured.replace("\x1b[1;31m", "").replace("\x1b[33m", "").replace("\x1b[0m", "") == render(FINDINGS)


def test_json_carries_every_field_and_those_of_the_kind_alone() -> None:
    document = json.loads(render(FINDINGS, "json"))
    by_check = {"test": {"error": 1, "warning": 1, "note": 0}}
    assert document["summary"] == {"error": 1, "warning": 1, "note": 0, "checks": by_check}
    assert document["findings"][0] == {
        "id": "test-report-wrong",
        "check": "test",
        "severity": "error",
        "description": "app-arch/bzip2: expected 1.0.8, found 1.0.6",
        "package": "app-arch/bzip2",
        "path": "usr/lib/libbz2.so.1",
        "expected": "1.0.8",
        "actual": "1.0.6",
        "remedy": "run compatlayer install",
        "location": {"file": "sets/a.yaml", "line": 3, "path": "packages[0]"},
        "details": {"holders": ["a", "b"]},
    }


def test_markdown_lets_no_name_break_its_table_or_become_markup() -> None:
    table = render(FINDINGS, "markdown").splitlines()
    assert table[0] == "**1 error, 1 warning**"
    assert table[-1] == (r"| warning | evil\\x1b\[2J\|&#60;b>: expected a file, found a link |  | `test-report-odd` |")


@pytest.mark.parametrize("name", RENDERERS)
def test_nothing_found_is_said_in_every_format(name: str) -> None:
    said = render([], name)
    assert said.endswith("\n")
    assert "no findings" in said or json.loads(said)["findings"] == []
