"""What every verb promises about its output: colours, pipes, width, formats, errors. Planning is enough to see them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from compatlayer.__main__ import main
from compatlayer.cli import context
from compatlayer.cli.main import compatlayer as program
from tests.tiny_layer import SOURCE, TinyLayer, tiny_layer

pytestmark = [pytest.mark.integration, pytest.mark.real]


@pytest.fixture(scope="module")
def layer() -> Iterator[TinyLayer]:
    with tiny_layer() as layer:
        names = [f"app-misc/package-with-a-name-that-is-rather-long-{letter}" for letter in "abcdefgh"]
        for name in names:
            layer.package(f"{name}-1.2.3_p20261120-r1")
        layer.declare(*names)
        (layer.root / "set.yaml").write_text(
            (layer.root / "set.yaml").read_text().replace("a test needs it", "a reason that goes on " + "and on " * 30)
        )
        yield layer


def on_a_terminal(layer: TinyLayer, *arguments: str, **environment: str) -> str:
    """What a command line writes to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        layer.command(*arguments),
        cwd=SOURCE,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", **environment},
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                block = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not block:
                break
            said += block
        process.wait(timeout=60)
    os.close(ours)
    return said.decode()


def test_a_terminal_gets_colours_unless_it_asks_for_none(layer: TinyLayer) -> None:
    assert "\x1b[" in on_a_terminal(layer, "plan")
    assert "\x1b" not in on_a_terminal(layer, "plan", NO_COLOR="1")
    assert "\x1b" not in layer.run("plan").out


def test_plans_fit_eighty_columns(layer: TinyLayer) -> None:
    lines = layer.run("plan", environment={"COLUMNS": "80"}).out.splitlines()
    assert len(lines) > 16
    assert max(map(len, lines)) <= 80


def test_a_reader_that_has_had_enough_is_no_error(layer: TinyLayer) -> None:
    command = " ".join(f"'{word}'" for word in layer.command("plan"))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -c 1; {command} | true"],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "i", "")


def test_json_is_one_document_and_an_error_is_one_too(layer: TinyLayer) -> None:
    document = layer.run("--format", "json", "plan").document
    assert document["summary"]["install"] == 8
    failed = layer.run("--format", "json", "--layer-version", "1999", "plan", code=2)
    assert failed.out == ""
    assert json.loads(failed.err)["error"]["fact"] == "layer.yaml declares no version '1999'"


# What a verb needs to be called at all.
ARGUMENTS = {
    "init": ["new"],
    "diff": ["1", "2"],
    "rollback": ["1"],
    "mirror export": ["file"],
    "mirror import": [__file__],
    "stage drop": ["--yes"],
}


def verbs() -> list[str]:
    """Every verb, groups replaced by what is in them."""
    here = click.Context(program)
    found = []
    for name in program.list_commands(here):
        command = program.get_command(here, name)
        found += [f"{name} {inner}" for inner in command.commands] if isinstance(command, click.Group) else [name]
    return found


@pytest.mark.parametrize("verb", verbs())
def test_an_unknown_format_is_refused_before_anything_is_done(
    layer: TinyLayer, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(context, "_settings", context.Settings())
    monkeypatch.chdir(layer.root)
    before = sorted(layer.directory.rglob("*"))
    assert main([*verb.split(), *ARGUMENTS.get(verb, []), "--format", "bogus"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: unknown format 'bogus'\n  known here: text, json")
    assert sorted(layer.directory.rglob("*")) == before


@pytest.mark.parametrize("verb", ["check", "plan", "schema", "sets render", "stage list", "verify --list"])
def test_json_is_one_document_for_every_verb(layer: TinyLayer, verb: str, tmp_path: Path) -> None:
    where = ["--output", str(tmp_path)] if verb == "sets render" else []
    assert isinstance(layer.run("--format", "json", *verb.split(), *where, code=None).document, dict | list)


def test_a_command_line_that_cannot_be_read_is_an_error_like_any_other(layer: TinyLayer) -> None:
    assert layer.run("plan", "extra", code=2).err == (
        "error: got unexpected extra argument (extra)\n  hint: see compatlayer plan --help\n"
    )
    failed = layer.run("--format", "json", "install", "--jobs", "none", code=2)
    assert failed.out == ""
    assert json.loads(failed.err)["error"]["kind"] == "UsageError"


def test_global_options_stand_before_or_after_the_verb_and_the_later_wins(layer: TinyLayer) -> None:
    assert layer.run("plan", "--format", "json").document["summary"]["install"] == 8
    assert layer.run("--format", "text", "plan", "--format", "json").document["summary"]["install"] == 8


def test_unknown_formats_verbs_and_targets_say_what_was_meant(layer: TinyLayer) -> None:
    assert "did you mean --format json?" in layer.run("--format", "jsn", "plan", code=2).err
    assert "error: no such command 'instal'. Did you mean 'install'?" in layer.run("instal", code=2).err
    assert "lists no target 'linux-vax'" in layer.run("--target", "linux-vax", "plan", code=2).err
    assert "exclude each other" in layer.run("--all-targets", "--target", "x", "plan", code=2).err
    assert "one target at a time" in layer.run("--all-targets", "install", code=2).err


def test_planning_changes_nothing_but_the_resolvers_root(layer: TinyLayer) -> None:
    layer.run("plan")
    assert {path.name for path in layer.state.iterdir()} == {"resolve"}


def test_without_a_layer_the_error_names_the_file(layer: TinyLayer) -> None:
    failed = subprocess.run(
        [*layer.command()[:3], "--layer", str(layer.directory / "nowhere.yaml"), "plan"],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: ")
    assert "nowhere.yaml" in failed.stderr
