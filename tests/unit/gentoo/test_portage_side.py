"""The worker's half may run under a Gentoo Prefix's own, older Python, next to a Portage that is GPL-2.0-only."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from compatlayer.gentoo import client

FILES = [client.SCRIPT, *sorted(client.SCRIPT.with_name("portage_side").glob("*.py"))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_workers_side_is_written_for_python_3_9(file: Path) -> None:
    tree = ast.parse(file.read_text(), feature_version=(3, 9))
    # `X | Y`, `list[str] | None` and the like are fine in annotations, which are never evaluated.
    assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body) or len(tree.body) == 1
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_workers_side_knows_the_standard_library_and_portage_only(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            assert name.partition(".")[0] in {"portage", "_emerge", *sys.stdlib_module_names}, f"{file.name} imports {name}"
