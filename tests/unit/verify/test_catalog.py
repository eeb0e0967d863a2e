from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compatlayer.tree.beneath import ROOT
from compatlayer.verify import catalog as module
from compatlayer.verify.catalog import catalogs, dirtab_lines
from tests.tiny_prefix import HOME, sound

NONE: frozenset[str] = frozenset()


def test_a_small_tree_is_one_catalog_with_nothing_to_cut() -> None:
    (one,) = catalogs({ROOT: 2, "usr": 10, "etc": 5}, NONE, 20)
    assert (one.path, one.entries, one.cuts) == (ROOT, 17, ())


def test_the_biggest_subtree_is_cut_first_and_no_more_than_needed() -> None:
    sizes = {ROOT: 2, "usr": 3, "usr/lib": 50, "usr/share": 70, "usr/bin": 20, "etc": 5}
    (one,) = catalogs(sizes, NONE, 100)
    assert (one.entries, one.cuts) == (150, ("usr/share",))


def test_an_existing_catalog_counts_for_itself() -> None:
    sizes = {ROOT: 2, "usr": 3, "usr/lib": 50, "usr/share": 150, "usr/share/a": 149}
    found = {one.path: (one.entries, one.cuts) for one in catalogs(sizes, frozenset({"usr/share"}), 200)}
    assert found == {ROOT: (55, ()), "usr/share": (299, ("usr/share/a",))}


def test_dirtab_lines_begin_at_the_repository_and_mean_the_directory_itself() -> None:
    assert dirtab_lines(HOME, ["usr/share", "usr/a[b]*"]) == (
        "/versions/1/compat/linux/x86_64/usr/share",
        r"/versions/1/compat/linux/x86_64/usr/a\[b\]\*",
    )
    assert dirtab_lines("/opt/prefix", ["usr"]) == ("/usr",)
    assert dirtab_lines("/cvmfs/repository", ["usr"]) == ("/usr",)


def test_the_finding_proposes_the_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 25)
    found = sound(tmp_path / "prefix").findings("catalog")
    assert [finding.identifier for finding in found] == ["catalog-too-large"]
    assert found[0].description.startswith("the prefix: ")
    assert found[0].remedy.startswith("add to .cvmfsdirtab:\n/versions/1/compat/linux/x86_64/")


@st.composite
def trees(draw: st.DrawFn) -> dict[str, int]:
    paths = [ROOT]
    for number in range(draw(st.integers(0, 25))):
        above = draw(st.sampled_from(paths))
        paths.append(f"d{number}" if above == ROOT else f"{above}/d{number}")
    return {path: draw(st.integers(0, 60)) for path in paths}


@given(trees(), st.data())
def test_after_the_cuts_no_catalog_is_too_large_but_for_single_directories(sizes: dict[str, int], data: st.DataObject) -> None:
    limit = 50
    roots = frozenset(data.draw(st.sets(st.sampled_from(sorted(sizes)))))
    found = catalogs(sizes, roots, limit)
    cuts = {cut for one in found for cut in one.cuts}
    starts = cuts | roots | {ROOT}
    # Counted the slow way: every directory belongs to the nearest start at or above it.
    entries = dict.fromkeys(starts, 0)
    for path, size in sizes.items():
        start = path
        while start not in starts:
            start = start.rpartition("/")[0] or ROOT
        entries[start] += size
    for start, count in entries.items():
        assert count <= limit or count == sizes[start], "only a directory's own names are beyond help"
    current = {one.path: one.entries for one in catalogs(sizes, roots, limit)}
    assert sum(current.values()) == sum(sizes.values())
    assert set(current) == roots | {ROOT}
