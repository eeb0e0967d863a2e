"""The host's programs are asked once, and again when one is another file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compatlayer.engine import program_versions


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which programs are asked, in order; every one says that it is 1.2.3."""
    calls: list[str] = []

    def said(name: str, identity: str) -> str:
        calls.append(name)
        return "1.2.3"

    monkeypatch.setattr(program_versions, "_said", said)
    return calls


def program(directory: Path, name: str) -> str:
    (directory / name).write_text("#!/bin/sh\n")
    return str(directory / name)


def test_what_was_said_is_remembered(tmp_path: Path, asked: list[str]) -> None:
    places, memory = {"one": program(tmp_path, "one"), "two": program(tmp_path, "two")}, tmp_path / "state/programs.json"
    assert program_versions.of(places, memory) == {"one": "1.2.3", "two": "1.2.3"}
    assert sorted(asked) == ["one", "two"]
    assert program_versions.of(places, memory) == {"one": "1.2.3", "two": "1.2.3"}
    assert len(asked) == 2


def test_a_program_that_was_replaced_is_asked_again_and_no_other(tmp_path: Path, asked: list[str]) -> None:
    places, memory = {"one": program(tmp_path, "one"), "two": program(tmp_path, "two")}, tmp_path / "programs.json"
    program_versions.of(places, memory)
    Path(places["one"]).unlink()
    program(tmp_path, "one")
    asked.clear()
    program_versions.of(places, memory)
    assert asked == ["one"]
    assert len(json.loads(memory.read_text())) == 2, "what it was before is forgotten"


def test_two_engines_do_not_make_each_other_forget(tmp_path: Path, asked: list[str]) -> None:
    one, other, memory = {"one": program(tmp_path, "one")}, {"other": program(tmp_path, "other")}, tmp_path / "programs.json"
    program_versions.of(one, memory)
    program_versions.of(other, memory)
    asked.clear()
    program_versions.of({**one, **other}, memory)
    assert asked == []


@pytest.mark.parametrize("content", ["", "[", "[]", '{"one": 1}', "\udcff"])
def test_a_damaged_memory_costs_time_only(tmp_path: Path, asked: list[str], content: str) -> None:
    places, memory = {"one": program(tmp_path, "one")}, tmp_path / "programs.json"
    memory.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert program_versions.of(places, memory) == {"one": "1.2.3"}
    assert asked == ["one"]
    assert program_versions.of(places, memory) == {"one": "1.2.3"}
    assert asked == ["one"]


def test_a_memory_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert program_versions.of({"one": program(tmp_path, "one")}, tmp_path / "file/programs.json") == {"one": "1.2.3"}


def test_a_program_that_does_not_say_is_asked_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_versions, "_said", lambda name, identity: "0")
    memory = tmp_path / "programs.json"
    program_versions.of({"one": program(tmp_path, "one")}, memory)
    assert json.loads(memory.read_text()) == {}
