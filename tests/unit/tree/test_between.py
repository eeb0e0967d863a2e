"""The change list between two manifests, and manifests that are stored directory by directory: any two trees will do."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings

from compatlayer.errors import StageError
from compatlayer.tree import beneath
from compatlayer.tree.apply import apply
from compatlayer.tree.between import between
from compatlayer.tree.changes import ChangeList
from compatlayer.tree.entries import Kind
from compatlayer.tree.manifest import Manifest
from compatlayer.tree.rows import Change, rows_between
from compatlayer.tree.store import ManifestStore
from tests.unit.tree.trees import Dir, File, Link, trees, write


@contextmanager
def scratch() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="compatlayer-between-"))
    try:
        yield directory
    finally:
        beneath.remove_tree(directory)


@settings(max_examples=60, deadline=None)
@given(before=trees(upper=False), after=trees(upper=False))
def test_applying_what_lies_between_two_trees_makes_the_second(before: Dir, after: Dir) -> None:
    with scratch() as directory:
        write(before, directory / "before")
        write(after, directory / "after")
        first, second = Manifest.of_tree(directory / "before"), Manifest.of_tree(directory / "after")
        changes = between(first, second)
        apply(changes, directory / "after", directory / "before")
        assert Manifest.of_tree(directory / "before").root == second.root
        assert between(second, second) == ChangeList()


@settings(max_examples=60, deadline=None)
@given(before=trees(upper=False), after=trees(upper=False))
def test_a_stored_manifest_is_the_one_that_was_saved(before: Dir, after: Dir) -> None:
    with scratch() as directory:
        write(before, directory / "before")
        write(after, directory / "after")
        first, second = Manifest.of_tree(directory / "before"), Manifest.of_tree(directory / "after")
        store = ManifestStore(directory / "manifests.db")
        store.save(first)
        store.save(second)
        store.close()
        again = ManifestStore(directory / "manifests.db")
        loaded = again.load(first.root), again.load(second.root)
        assert [list(one) for one in loaded] == [list(first), list(second)]
        assert list(loaded[0].differences(loaded[1])) == list(first.differences(second))
        assert between(*loaded) == between(first, second)
        with closing(ManifestStore(directory / "promoted.db")) as other:
            for manifest in loaded:
                other.save(manifest)
            assert [list(other.load(one.root)) for one in loaded] == [list(first), list(second)]
        again.keep_only([second.root])
        assert second.root in again
        assert (first.root in again) == (first.root == second.root or first.root in _directories(second))
        assert list(again.load(second.root)) == list(second)
        again.close()


def _directories(manifest: Manifest) -> set[str | None]:
    return {manifest.digest(entry.path) for entry in manifest if entry.kind is Kind.DIRECTORY}


def manifest(tree: Dir, directory: Path, name: str = "tree") -> Manifest:
    write(tree, directory / name)
    found = Manifest.of_tree(directory / name)
    shutil.rmtree(directory / name)
    return found


def test_every_altered_bit_of_a_stored_manifest_is_noticed(tmp_path: Path) -> None:
    whole = manifest(Dir({"a": File(b"1"), "b": Dir({"c": Link("a")})}), tmp_path)
    store = ManifestStore(tmp_path / "manifests.db")
    store.save(whole)
    connection = sqlite3.connect(tmp_path / "manifests.db", isolation_level=None)
    rows = connection.execute("SELECT digest, content FROM directory").fetchall()
    assert len(rows) == 2
    for digest, content in rows:
        for bit in range(0, len(content) * 8, 7):
            altered = bytearray(content)
            altered[bit // 8] ^= 1 << bit % 8
            connection.execute("UPDATE directory SET content = ? WHERE digest = ?", (bytes(altered), digest))
            with pytest.raises(StageError, match="is damaged"):
                list(store.load(whole.root))
        connection.execute("UPDATE directory SET content = ? WHERE digest = ?", (content, digest))
    assert list(store.load(whole.root)) == list(whole)
    connection.close()
    store.close()


def test_a_missing_row_and_a_file_that_is_no_database_are_told(tmp_path: Path) -> None:
    whole = manifest(Dir({"b": Dir({"c": Link("a")})}), tmp_path)
    store = ManifestStore(tmp_path / "manifests.db")
    with pytest.raises(StageError, match="does not know the manifest"):
        store.load(whole.root)
    store.save(whole)
    with sqlite3.connect(tmp_path / "manifests.db") as connection:
        connection.execute("DELETE FROM directory WHERE digest != ?", (bytes.fromhex(whole.root),))
    with pytest.raises(StageError, match="of a manifest is missing"):
        list(store.load(whole.root))
    store.close()
    (tmp_path / "other.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StageError, match="cannot be used"):
        ManifestStore(tmp_path / "other.db").load(whole.root)


def test_saving_a_successor_writes_only_what_is_new(tmp_path: Path) -> None:
    same = Dir({f"d{number}": Dir({"f": File(b"%d" % number)}) for number in range(50)})
    first = manifest(same, tmp_path)
    second = manifest(Dir({**same.below, "d7": Dir({"f": File(b"new")})}), tmp_path)
    store = ManifestStore(tmp_path / "manifests.db")
    store.save(first)
    with sqlite3.connect(tmp_path / "manifests.db") as connection:
        before = connection.execute("SELECT count(*) FROM directory").fetchone()[0]
        store.save(second)
        assert connection.execute("SELECT count(*) FROM directory").fetchone()[0] == before + 2
    store.close()


def test_rows_name_the_topmost_of_what_went_and_what_became_another_thing(tmp_path: Path) -> None:
    before = manifest(
        Dir({"a": Dir({"x": File(b"1"), "y": File(b"2")}), "b": File(b"1"), "c": Dir({"z": File(b"1")}), "d": File(b"1")}),
        tmp_path,
    )
    after = manifest(Dir({"b": File(b"12"), "c": File(b"now a file"), "e": Link("b"), "d": File(b"1")}), tmp_path)
    found = [(row.change, row.path, row.size_before_bytes, row.size_bytes) for row in rows_between(before, after)]
    assert found == [
        (Change.DELETED, "a", 0, 0),
        (Change.CHANGED, "b", 1, 2),
        (Change.REPLACED, "c", 0, 10),
        (Change.ADDED, "e", 0, 0),
    ]
