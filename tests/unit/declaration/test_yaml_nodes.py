"""libyaml reads what PyYAML's own parser reads: the quick way through a file and the careful one may not disagree."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yaml.nodes import CollectionNode, Node

from compatlayer.declaration import yaml_nodes

PIECES = (
    "key: ", "other: ", "- ", "text", "12.0", "on", "2026-11-28", "\n", "\n  ", "\n    ", "[", "]", "{", "}", ", ", ": ", "? ", "&a ", "*a",
    "'", '"', "\\n", "\\u00e9", "|\n", ">-\n", "# said\n", "!!str ", "---\n", "...\n", "%YAML 1.1\n", "\t", "é", "\u2028", "\x85", "~", "",
)  # fmt: skip


def described(node: Node) -> object:
    """Everything that the reader makes of a node: its tag, its line, its text or its children."""
    if isinstance(node, CollectionNode):
        children = [described(one) for pair in node.value for one in (pair if isinstance(pair, tuple) else (pair,))]
        return node.tag, node.start_mark.line, children
    # Where a value that is not there would be, each parser says in its own way: before or after the line's end.
    return node.tag, node.start_mark.line if node.value else None, node.value


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
@example("a: [b, c: d]\ne: 'f\n\n  g'\n")
@example("a: &a [1]\nb: *a\n")
@settings(max_examples=2000, deadline=None)
def test_both_parsers_see_the_same(text: str) -> None:
    quickly = yaml_nodes._composed_quickly(text)
    if quickly is None:
        return
    assert described(quickly) == described(yaml_nodes._NodeReader(text).get_single_node())


def test_libyaml_is_what_reads_here() -> None:
    assert yaml_nodes._composed_quickly("a: 1\n") is not None


@pytest.mark.parametrize(
    "text",
    ["a: " + "[" * 30 + "]" * 30, "a: &a 1\nb: [" + "*a, " * 201 + "]\n", "[" * 100_000],
    ids=["depth", "aliases", "much depth"],
)
def test_what_is_beyond_a_limit_is_left_to_the_careful_parser(text: str) -> None:
    assert yaml_nodes._composed_quickly(text) is None
    assert any("more than" in one.fact or "nested" in one.fact for one in yaml_nodes.parse(text.encode(), "layer.yaml").mistakes)


def test_without_libyaml_the_same_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"packages:\n  - name: app-misc/one\n    reason: 'because'\n"
    quick = yaml_nodes.parse(text, "set.yaml")
    monkeypatch.setattr(yaml_nodes, "_HAS_LIBYAML", False)
    careful = yaml_nodes.parse(text, "set.yaml")
    assert (quick.data, quick.lines, quick.mistakes) == (careful.data, careful.lines, careful.mistakes)
    assert yaml.__with_libyaml__
