from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compatlayer.gentoo.packages import PackageId
from compatlayer.gentoo.versions import compare, parse_cpv, version_key

# Straight from the specification's rules, each pair ascending.
ASCENDING = [
    ("1", "1.0"),
    ("1.2", "1.20"),
    ("1.9", "1.10"),
    ("1.01", "1.1"),
    ("1.001", "1.01"),
    ("1.0", "1.01"),
    ("1.02", "1.1"),
    ("1", "1a"),
    ("1a", "1b"),
    ("1z", "1.1"),
    ("1_alpha", "1_beta"),
    ("1_beta", "1_pre"),
    ("1_pre", "1_rc"),
    ("1_rc", "1"),
    ("1", "1_p"),
    ("1_alpha1", "1_alpha2"),
    ("1_alpha", "1_alpha_p"),
    ("1_p_alpha", "1_p"),
    ("1", "1-r1"),
    ("1-r9", "1-r10"),
    ("0.9", "20240101"),
    ("9" * 30, "1" + "0" * 30),
]
EQUAL = [("1", "1-r0"), ("1_p", "1_p0"), ("1.010", "1.01"), ("1-r01", "1-r1"), ("01", "1")]


@pytest.mark.parametrize(("lower", "higher"), ASCENDING)
def test_versions_are_ordered_as_the_specification_says(lower: str, higher: str) -> None:
    assert (compare(lower, higher), compare(higher, lower)) == (-1, 1)


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_versions_that_differ_in_spelling_only_are_equal(left: str, right: str) -> None:
    assert compare(left, right) == 0


versions = st.from_regex(r"\A(0|[1-9][0-9]{0,2})(\.[0-9]{1,3}){0,3}[a-c]?(_(alpha|beta|pre|rc|p)[0-9]?){0,2}(-r[0-9]{1,2})?\Z")


@given(st.lists(versions, min_size=3, max_size=3))
def test_the_order_is_total_and_consistent(three: list[str]) -> None:
    low, middle, high = sorted(three, key=version_key)
    assert compare(low, middle) <= 0
    assert compare(middle, high) <= 0
    assert compare(low, high) <= 0
    assert compare(low, high) == -compare(high, low)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("dev-lang/lua-5.4.4-r1", ("dev-lang", "lua", "5.4.4-r1")),
        ("sys-libs/db-4.8.30", ("sys-libs", "db", "4.8.30")),
        ("media-libs/libpng-compat-1.2_p3", ("media-libs", "libpng-compat", "1.2_p3")),
        ("x11-misc/foo-1-bar-2", ("x11-misc", "foo-1-bar", "2")),
        ("dev-libs/gtk+-3.24", ("dev-libs", "gtk+", "3.24")),
    ],
)
def test_a_cpv_is_taken_apart_at_its_version(text: str, parts: tuple[str, str, str]) -> None:
    assert parse_cpv(text) == PackageId(*parts)
    assert parse_cpv(text).cpv == text


@pytest.mark.parametrize(
    "text", ["lua-5.4", "dev-lang/lua", "dev-lang/lua-", "dev-lang/foo-1-2", "a/b-1.x", "a/b-1\n", "", "a/b/c-1"]
)
def test_what_is_no_cpv_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not category/name-version"):
        parse_cpv(text)


@pytest.mark.parametrize("text", ["", "a", "1.", "1-r", "1_gamma", "1.a", "1 "])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a version"):
        version_key(text)
