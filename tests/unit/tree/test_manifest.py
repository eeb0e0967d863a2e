"""Two trees are equal exactly when their roots are, and a manifest that was altered does not load."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compatlayer.errors import StageError
from compatlayer.tree.apply import apply
from compatlayer.tree.changes import ChangeList, Put, read_overlay, read_plain
from compatlayer.tree.entries import Entry, Kind, scan
from compatlayer.tree.manifest import Manifest, update
from compatlayer.tree.rows import Change, rows
from tests.unit.tree.trees import Dir, File, Link, over, trees, write

SMALL = Dir({"bin": Dir({"tool": File(b"tool", 0o755)}), "link": Link("bin/tool"), "empty": Dir(), "a\udcff": File(b"x")})


@pytest.fixture
def small(tmp_path: Path) -> Path:
    write(SMALL, tmp_path / "small")
    return tmp_path / "small"


@settings(max_examples=120, deadline=None)
@given(lower=trees(upper=False), upper=trees(upper=True))
def test_updating_a_manifest_equals_applying_the_changes_and_scanning(lower: Dir, upper: Dir) -> None:
    with _scratch() as directory:
        for name, tree in (("lower", lower), ("upper", upper), ("copy", lower), ("expected", over(lower, upper))):
            write(tree, directory / name)
        expected = Manifest.of_tree(directory / "expected")
        changes = read_overlay(directory / "upper")
        assert update(Manifest.of_tree(directory / "lower"), changes, directory / "upper") == expected
        apply(changes, directory / "upper", directory / "copy")
        assert list(Manifest.of_tree(directory / "copy").differences(expected)) == []
        # And the rows that a person reads name each difference, and nothing else.
        before = Manifest.of_tree(directory / "lower")
        different = {(old or new).path: (old, new) for old, new in before.differences(expected)}  # type: ignore[union-attr]
        found = rows(changes, directory / "upper", directory / "lower")
        assert {row.path for row in found if row.change is not Change.REPLACED} <= different.keys()
        assert {path for path, (_, new) in different.items() if new is not None} <= {row.path for row in found}
        gone = {row.path for row in found if row.change is Change.DELETED or row.change is Change.REPLACED}
        for path, (_, new) in different.items():
            if new is None:
                assert any(path == top or path.startswith(f"{top}/") for top in gone)


@settings(max_examples=60, deadline=None)
@given(before=trees(upper=False), after=trees(upper=False))
def test_a_plain_change_list_replaces_whatever_was_there(before: Dir, after: Dir) -> None:
    with _scratch() as directory:
        write(before, directory / "before")
        write(after, directory / "after")
        changes = read_plain(directory / "after")
        expected = Manifest.of_tree(directory / "after")
        assert update(Manifest.of_tree(directory / "before"), changes, directory / "after") == expected
        apply(changes, directory / "after", directory / "before")
        assert Manifest.of_tree(directory / "before") == expected


@settings(max_examples=60, deadline=None)
@given(one=trees(upper=False), other=trees(upper=False))
def test_roots_are_equal_exactly_when_trees_are(one: Dir, other: Dir) -> None:
    with _scratch() as directory:
        write(one, directory / "one")
        write(other, directory / "other")
        first, second = Manifest.of_tree(directory / "one"), Manifest.of_tree(directory / "other")
        assert (first.root == second.root) == (one == other) == (list(first) == list(second))
        assert Manifest.from_bytes(first.to_bytes()).to_bytes() == first.to_bytes()
        assert (list(first.differences(second)) == []) == (first == second)


@settings(max_examples=60, deadline=None)
@given(tree=trees(upper=False))
def test_entries_come_in_canonical_order_and_all_of_them(tree: Dir) -> None:
    with _scratch() as directory:
        write(tree, directory / "tree")
        entries = list(scan(directory / "tree"))
        keys = [tuple(os.fsencode(part) for part in Path(entry.path).parts) for entry in entries]
        assert keys == sorted(keys)
        found = {str(path.relative_to(directory / "tree")) for path in (directory / "tree").rglob("*")}
        assert {entry.path for entry in entries} == found | {"."}
        assert len(Manifest.of(entries)) == len(entries)


def test_the_root_can_be_computed_from_the_documented_format_alone(small: Path) -> None:
    def digest(path: Path) -> str:
        record: dict[str, object]
        if path.is_symlink():
            record = {"kind": "symlink", "target": os.readlink(path)}
        elif path.is_dir():
            record = {"kind": "directory", "mode": f"{path.stat().st_mode & 0o7777:04o}"}
        else:
            content = path.read_bytes()
            record = {"kind": "file", "mode": f"{path.stat().st_mode & 0o7777:04o}"}
            record |= {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
        lines = ["compatlayer-tree-1", json.dumps(record, separators=(",", ":"), sort_keys=True)]
        if path.is_dir() and not path.is_symlink():
            below = sorted(path.iterdir(), key=lambda child: os.fsencode(child.name))
            lines += [json.dumps([child.name, digest(child)], separators=(",", ":")) for child in below]
        return hashlib.sha256("\n".join([*lines, ""]).encode("ascii")).hexdigest()

    assert Manifest.of_tree(small).root == digest(small)


def test_what_counts_changes_the_root(small: Path) -> None:
    roots = [Manifest.of_tree(small).root]

    def changed() -> None:
        roots.append(Manifest.of_tree(small).root)

    (small / "bin/tool").chmod(0o4755)
    changed()
    (small / "bin/tool").write_bytes(b"Tool")
    changed()
    (small / "bin").chmod(0o700)
    changed()
    os.setxattr(small / "bin", "user.name", b"value")
    changed()
    (small / "link").unlink()
    (small / "link").symlink_to("bin/tool2")
    changed()
    (small / "empty").rename(small / "emptier")
    changed()
    small.chmod(0o711)
    changed()
    assert len(set(roots)) == len(roots)


def test_what_belongs_to_storage_or_builder_does_not_change_the_root(small: Path) -> None:
    root = Manifest.of_tree(small).root
    os.utime(small / "bin/tool", (0, 0))
    os.setxattr(small / "bin", "user.overlay.opaque", b"y")
    os.setxattr(small / "bin/tool", "user.ostreemeta", b"x")
    os.link(small / "bin/tool", small / "other")
    (small / "bin/tool").unlink()
    shutil.copy(small / "other", small / "bin/tool")
    (small / "other").unlink()
    assert Manifest.of_tree(small).root == root


@pytest.mark.root
def test_the_owner_does_not_change_the_root(small: Path) -> None:
    root = Manifest.of_tree(small).root
    os.chown(small / "bin", 12345, 12345)
    assert Manifest.of_tree(small).root == root


@pytest.mark.root
def test_capabilities_of_a_file_are_kept(small: Path, tmp_path: Path) -> None:
    before = Manifest.of_tree(small)
    capability = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw=ep, version 2
    os.setxattr(small / "bin/tool", "security.capability", capability)
    after = Manifest.of_tree(small)
    assert after != before
    assert after.get("bin/tool").xattrs == (("security.capability", capability),)  # type: ignore[union-attr]
    (tmp_path / "copy").mkdir()
    apply(read_plain(small), small, tmp_path / "copy")
    assert Manifest.of_tree(tmp_path / "copy") == after


def test_a_manifest_altered_in_any_byte_does_not_load(small: Path) -> None:
    content = Manifest.of_tree(small).to_bytes()
    for position in range(len(content)):
        for bit in (0x01, 0x20):
            altered = bytearray(content)
            altered[position] ^= bit
            with pytest.raises(StageError, match="is damaged"):
                Manifest.from_bytes(bytes(altered), "the manifest")


@pytest.mark.parametrize("cut", [0, 1, 100, -1, -2])
def test_a_manifest_cut_short_or_added_to_does_not_load(small: Path, cut: int) -> None:
    content = Manifest.of_tree(small).to_bytes()
    for altered in (content[:cut], content + b"\n", content + content.splitlines(keepends=True)[-1], b"\n" + content):
        with pytest.raises(StageError, match="is damaged"):
            Manifest.from_bytes(altered)


def test_an_equivalent_spelling_of_a_name_does_not_load(tmp_path: Path) -> None:
    write(Dir({"new\tline": File()}), tmp_path / "tree")
    content = Manifest.of_tree(tmp_path / "tree").to_bytes()
    assert b"new\\tline" in content
    for spelling in (b"new\tline", b"new\\u0009line", b"n\\u0065w\\tline"):
        with pytest.raises(StageError, match="is damaged"):
            Manifest.from_bytes(content.replace(b"new\\tline", spelling))


def test_a_stored_manifest_is_read_back_and_names_its_file_when_damaged(small: Path, tmp_path: Path) -> None:
    manifest, file = Manifest.of_tree(small), tmp_path / "manifest"
    manifest.write(file)
    assert list(Manifest.read(file)) == list(manifest)
    file.write_bytes(file.read_bytes().replace(b"0755", b"0777"))
    with pytest.raises(StageError) as caught:
        Manifest.read(file)
    assert str(caught.value).startswith(f"{file} is damaged\n")
    with pytest.raises(StageError, match="cannot be read"):
        Manifest.read(tmp_path / "nothing")


@pytest.mark.parametrize(
    "paths",
    [
        ["a"],
        [".", "b", "a"],
        [".", "a", "a"],
        [".", "a/b"],
        [".", "file/below"],
        [".", "../a"],
        [".", "/a"],
        [".", "a//b"],
        ["."] * 2,
        [],
    ],
)
def test_entries_that_make_no_tree_are_refused(paths: list[str]) -> None:
    entries = [Entry(path, Kind.FILE if path == "file" else Kind.DIRECTORY, 0o755) for path in paths]
    with pytest.raises(StageError):
        Manifest.of(entries)


def test_update_leaves_the_old_manifest_as_it_was(small: Path, tmp_path: Path) -> None:
    write(Dir({"bin": Dir({"new": File(b"new")})}), tmp_path / "upper")
    before = Manifest.of_tree(small)
    entries = list(before)
    after = update(before, read_overlay(tmp_path / "upper"), tmp_path / "upper")
    assert list(before) == entries
    assert [new.path for old, new in before.differences(after) if new and not old] == ["bin/new"]
    assert before.digest("empty") == after.digest("empty")
    assert before.get("nothing/there") is None


def test_update_refuses_changes_that_do_not_fit(small: Path, tmp_path: Path) -> None:
    write(Dir({"x": File()}), tmp_path / "upper")
    missing = ChangeList((Put(".", Kind.DIRECTORY, 0o755), Put("gone", Kind.FILE, 0o644)))
    with pytest.raises(StageError, match="gone cannot be read"):
        update(Manifest.of_tree(small), missing, tmp_path / "upper")


def test_scanning_follows_no_link_and_refuses_what_no_layer_holds(small: Path, tmp_path: Path) -> None:
    (small / "out").symlink_to(tmp_path)
    assert Manifest.of_tree(small).get("out") == Entry("out", Kind.SYMLINK, target=str(tmp_path))
    os.mkfifo(small / "pipe")
    with pytest.raises(StageError, match=r"^pipe is a fifo"):
        Manifest.of_tree(small)


def test_a_tree_that_is_too_deep_is_refused_and_not_a_crash(tmp_path: Path) -> None:
    deep = tmp_path / "tree"
    deep.joinpath(*["d"] * 300).mkdir(parents=True)
    with pytest.raises(StageError, match="more than 250 directories deep"):
        Manifest.of_tree(deep)


@given(st.text(alphabet=st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1))
def test_any_name_survives_the_file_format(name: str) -> None:
    if name in (".", ".."):
        return
    manifest = Manifest.of([Entry(".", Kind.DIRECTORY, 0o755), Entry(name, Kind.FILE, 0o644, 0, "0" * 64)])
    assert [entry.path for entry in Manifest.from_bytes(manifest.to_bytes())] == [".", name]


class _scratch:  # noqa: N801 (reads as a function)
    """A directory for one example, removed afterwards also where directories forbid it."""

    def __enter__(self) -> Path:
        self._directory = Path(tempfile.mkdtemp(prefix="compatlayer-tree-"))
        return self._directory

    def __exit__(self, *_: object) -> None:
        for directory, _, _ in os.walk(self._directory):
            Path(directory).chmod(0o700)
        shutil.rmtree(self._directory)
