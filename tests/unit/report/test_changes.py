from __future__ import annotations

import json

from compatlayer.report.changes import render
from compatlayer.report.text import Paint
from compatlayer.tree.changes import ChangeList, Put
from compatlayer.tree.entries import Kind

CHANGES = ChangeList(
    puts=(
        Put(".", Kind.DIRECTORY, 0o755),
        Put("usr", Kind.DIRECTORY, 0o755),
        Put("usr/bin", Kind.DIRECTORY, 0o755),
        Put("usr/bin/lua", Kind.SYMLINK, 0),
        Put("usr/bin/lua\x1b[2J5.4", Kind.FILE, 0o755, 1536),
        Put("usr/empty", Kind.DIRECTORY, 0o700),
        Put("usr/new", Kind.DIRECTORY, 0o755),
        Put("usr/new/file", Kind.FILE, 0o4755, 10),
    ),
    deletes=("usr/bin/luac", "usr/lib/old"),
    opaque=("usr/new",),
)


def test_text_lists_what_changes_in_order_and_sums_up() -> None:
    assert render(CHANGES) == (
        "+ usr/bin/lua  link\n"
        "+ usr/bin/lua\\x1b[2J5.4  0755 1.5 KiB\n"
        "- usr/bin/luac\n"
        "+ usr/empty/  0700\n"
        "- usr/lib/old\n"
        "! usr/new/  0755, replaces what was there\n"
        "+ usr/new/file  4755 10 B\n"
        "2 files (1.5 KiB), 1 link, 2 directories set; 2 paths deleted\n"
    )


def test_colour_changes_neither_order_nor_words() -> None:
    coloured = render(CHANGES, paint=Paint(colour=True))
    for code in ("\x1b[32m", "\x1b[33m", "\x1b[1;31m", "\x1b[0m"):
        assert code in coloured
        coloured = coloured.replace(code, "")
    assert coloured == render(CHANGES)


def test_json_leaves_nothing_out() -> None:
    document = json.loads(render(CHANGES, "json"))
    assert [put["path"] for put in document["puts"]] == [put.path for put in CHANGES.puts]
    assert document["puts"][-1] == {"path": "usr/new/file", "kind": "file", "mode": "4755", "size_bytes": 10}
    assert document["deletes"] == ["usr/bin/luac", "usr/lib/old"]
    assert document["opaque"] == ["usr/new"]
    assert document["size_bytes"] == 1546


def test_no_changes_are_said_so() -> None:
    assert render(ChangeList()) == "no changes\n"
