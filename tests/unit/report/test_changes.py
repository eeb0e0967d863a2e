from __future__ import annotations

import json

from compatlayer.report.changes import render
from compatlayer.report.text import Paint
from compatlayer.tree.entries import Kind
from compatlayer.tree.rows import Change, Row

ROWS = (
    Row(Change.ADDED, "usr/bin/lua", Kind.SYMLINK, 0, 0),
    Row(Change.ADDED, "usr/bin/lua\x1b[2J5.4", Kind.FILE, 1536, 0),
    Row(Change.DELETED, "usr/bin/luac", Kind.FILE, 512, 512),
    Row(Change.ADDED, "usr/empty", Kind.DIRECTORY, 0, 0),
    Row(Change.CHANGED, "usr/lib/a|b", Kind.FILE, 2048, 1024),
    Row(Change.REPLACED, "usr/new", Kind.DIRECTORY, 0, 0),
)


def test_text_says_what_happens_to_each_path_and_sums_up() -> None:
    assert render(ROWS) == (
        "+ usr/bin/lua  link\n"
        "+ usr/bin/lua\\x1b[2J5.4  1.5 KiB\n"
        "- usr/bin/luac  512 B\n"
        "+ usr/empty/\n"
        "~ usr/lib/a|b  1.0 KiB → 2.0 KiB\n"
        "! usr/new/  with nothing of what was in it\n"
        "3 paths added, 1 changed, 1 replaced, 1 deleted, +2.0 KiB\n"
    )


def test_colour_changes_no_words() -> None:
    coloured = render(ROWS, paint=Paint(colour=True))
    for code in ("\x1b[32m", "\x1b[33m", "\x1b[1;31m", "\x1b[2m", "\x1b[0m"):
        assert code in coloured
        coloured = coloured.replace(code, "")
    assert coloured == render(ROWS)


def test_json_leaves_nothing_out() -> None:
    document = json.loads(render(ROWS, "json"))
    assert [row["path"] for row in document["changes"]] == [row.path for row in ROWS]
    assert document["changes"][4] == {
        "change": "changed",
        "path": "usr/lib/a|b",
        "kind": "file",
        "size_bytes": 2048,
        "size_before_bytes": 1024,
    }
    assert document["summary"] == {"added": 3, "changed": 1, "replaced": 1, "deleted": 1}
    assert document["growth_bytes"] == 1536 - 512 + 1024


def test_a_path_cannot_break_the_markdown_table() -> None:
    assert r"| changed | usr/lib/a\|b | file | 1.0 KiB → 2.0 KiB |" in render(ROWS, "markdown").splitlines()


def test_a_layer_that_shrinks_and_one_that_stays_are_said_so() -> None:
    assert render(ROWS[2:3]).splitlines()[-1] == "1 path deleted, -512 B"
    assert render(()) == "no changes\n"
