from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from compatlayer.takeover.describe import Entry, NewSet, Source, scalar

TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc", "Cn"]), min_size=1)


@given(TEXT, st.booleans())
def test_any_text_comes_back_from_yaml_as_it_was(text: str, flow: bool) -> None:
    written = scalar(text, flow=flow)
    assert yaml.safe_load(f"[{written}, end]" if flow else f"key: {written}") == ([text, "end"] if flow else {"key": text})


def test_plain_words_are_not_quoted() -> None:
    assert scalar("sys-cluster/lmod") == "sys-cluster/lmod"
    assert scalar("/cvmfs/x.org/{version}") == "/cvmfs/x.org/{version}"
    assert [scalar(text) for text in ("12.0", "yes", "2026-11-01", "null")] == ['"12.0"', '"yes"', '"2026-11-01"', '"null"']


def test_a_set_reads_back_in_order_with_its_comments_in_place() -> None:
    text = NewSet(
        "s-1", (Entry("a/b", "1.10", "o", ("linux-x86_64",), (), "why: because"), "a note", Entry("c/d")), "About."
    ).text()
    assert yaml.safe_load(text) == {
        "name": "s-1",
        "packages": [
            {"name": "a/b", "version": "1.10", "overlay": "o", "include_on": ["linux-x86_64"], "reason": "why: because"},
            {"name": "c/d", "reason": "TODO"},
        ],
    }
    assert text.splitlines()[0] == "# About."
    assert text.index("a/b") < text.index("# a note") < text.index("c/d")


def test_a_set_without_packages_is_an_empty_list() -> None:
    assert yaml.safe_load(NewSet("s", ("nothing here",)).text()) == {"name": "s", "packages": []}


def test_a_source_says_only_what_it_has() -> None:
    assert Source("x", path="overlay").text() == "{name: x, path: overlay}"
    url = Source("x", url="https://e.org/a,b.git", commit="0" * 40).text()
    assert yaml.safe_load(url) == {"name": "x", "url": "https://e.org/a,b.git", "commit": "0" * 40}
