from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from compatlayer.findings import Severity
from compatlayer.tree.manifest import Manifest
from compatlayer.tree.store import ManifestStore
from compatlayer.verify.reading import Kind, Record, memory
from compatlayer.verify.reading.expected import ExpectedPaths
from compatlayer.verify.reading.protection import protection_of
from tests.tiny_prefix import HOME, MTIME_S, Link, TinyPrefix, sound

DATA = "usr/share/tool/data"


@pytest.fixture
def prefix(tmp_path: Path) -> TinyPrefix:
    return sound(tmp_path / "prefix")


def said(prefix: TinyPrefix, **fields: object) -> list[tuple[str, str]]:
    return [(finding.identifier, finding.description) for finding in prefix.findings("integrity", **fields)]


def test_changed_content_is_found_though_size_and_time_are_as_they_were(prefix: TinyPrefix) -> None:
    prefix.change(DATA, b"DATA of the tool\n")
    assert (prefix.tree / DATA).stat().st_mtime == MTIME_S
    recorded, found = (hashlib.md5(content).hexdigest() for content in (b"data of the tool\n", b"DATA of the tool\n"))
    assert said(prefix) == [("file-changed", f"{DATA}: expected MD5 {recorded}, found MD5 {found} (app-misc/tool-1.9)")]


def test_names_with_spaces_arrows_and_umlauts_are_taken_apart_from_the_end(prefix: TinyPrefix) -> None:
    names = ["usr/share/tool/a name with  spaces", "usr/share/tool/grüße", "usr/share/tool/arrow -> here"]
    for name in names:
        (prefix.tree / name).unlink()
    assert sorted(finding.path for finding in prefix.findings("integrity")) == sorted(names)


def test_a_link_is_compared_as_written_and_never_followed(prefix: TinyPrefix) -> None:
    place = prefix.tree / "usr/share/tool/null"
    place.unlink()
    place.symlink_to("/dev/zero")
    assert said(prefix) == [
        (
            "link-changed",
            "usr/share/tool/null: expected a link to /dev/null, found a link to /dev/zero (app-misc/tool-1.9)",
        )
    ]


def test_a_touched_file_is_a_note_one_for_each_package(prefix: TinyPrefix) -> None:
    for name in (DATA, "usr/share/tool/empty", "usr/share/tool-1.10/data"):
        os.utime(prefix.tree / name, (1, MTIME_S + 1))
    found = prefix.findings("integrity")
    assert [(one.package, one.severity, getattr(one, "paths", ())) for one in found] == [
        ("app-misc/tool-1.9", Severity.NOTE, (DATA, "usr/share/tool/empty")),
        ("app-misc/tool-1.10", Severity.NOTE, ("usr/share/tool-1.10/data",)),
    ]


def test_a_tree_without_times_is_not_said_to_be_touched(prefix: TinyPrefix) -> None:
    os.utime(prefix.tree / DATA, (0, 0))
    assert said(prefix) == []


def test_findings_come_in_version_order_those_without_a_package_last(prefix: TinyPrefix) -> None:
    for name in (DATA, "usr/share/tool-1.10/data", "usr/bin/bash"):
        (prefix.tree / name).unlink()
    (prefix.tree / "a-stray").write_text("")
    assert [finding.package for finding in prefix.findings("integrity")] == [
        "app-misc/tool-1.9",
        "app-misc/tool-1.10",
        "app-shells/bash-5.2",
        "",
    ]


def test_a_missing_directory_is_reported_with_all_that_was_in_it(prefix: TinyPrefix) -> None:
    (prefix.tree / "usr/share/tool-1.10/data").unlink()
    (prefix.tree / "usr/share/tool-1.10").rmdir()
    assert [(one.identifier, one.path) for one in prefix.findings("integrity")] == [
        ("file-missing", "usr/share/tool-1.10"),
        ("file-missing", "usr/share/tool-1.10/data"),
    ]


def test_a_link_in_place_of_a_directory_leads_to_the_files_behind_it(prefix: TinyPrefix) -> None:
    # A merged /usr: CONTENTS says lib64/…, and lib64 is a link.
    prefix.package("sys-libs/lib-1", {"lib64/lib.so": b"library"})
    (prefix.tree / "usr/lib64").mkdir()
    (prefix.tree / "lib64/lib.so").rename(prefix.tree / "usr/lib64/lib.so")
    (prefix.tree / "lib64").rmdir()
    (prefix.tree / "lib64").symlink_to(f"{HOME}/usr/lib64")
    assert [one.identifier for one in prefix.findings("integrity")] == ["file-wrong-type"]
    prefix.change("usr/lib64/lib.so", b"LIBRARY")
    assert ("file-changed", "usr/lib64/lib.so") in [(one.identifier, one.path) for one in prefix.findings("integrity")]


def test_protected_configuration_is_a_note_and_what_is_masked_is_not_protected(prefix: TinyPrefix) -> None:
    prefix.package("app-misc/conf-1", {"etc/env.d/50conf": b"A=1\n", "usr/share/protected/conf": b"A=1\n"})
    for name in ("etc/env.d/50conf", "usr/share/protected/conf"):
        prefix.change(name, b"A=2\n")
    assert [(one.identifier, one.path) for one in prefix.findings("integrity")] == [
        ("file-changed", "etc/env.d/50conf"),
        ("configuration-changed", "usr/share/protected/conf"),
    ]


def test_protection_is_read_with_and_without_the_prefix(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/profile.env").write_text(
        f"export CONFIG_PROTECT='/usr/share/a {HOME}/usr/share/b'\nexport CONFIG_PROTECT_MASK=\"/usr/share/a/not\"\nexport OTHER='x'\n"
    )
    protection = protection_of(tmp_path, HOME)
    answers = {
        path: path in protection for path in ("etc/x", "usr/share/a/x", "usr/share/b/x", "usr/share/a/not/x", "usr/share/ab")
    }
    assert answers == {
        "etc/x": True,
        "usr/share/a/x": True,
        "usr/share/b/x": True,
        "usr/share/a/not/x": False,
        "usr/share/ab": False,
    }


def test_an_unowned_tree_is_one_finding_and_expected_things_are_none(prefix: TinyPrefix) -> None:
    for name in (
        "opt/made/by/hand",
        "opt/made/too",
        "usr/share/tool/__pycache__/a.cpython-311.pyc",
        "usr/lib64/locale/locale-archive",
    ):
        (prefix.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix.tree / name).write_text("x")
    (prefix.tree / "var/lib/stray").parent.mkdir()
    (prefix.tree / "var/lib/stray").write_text("x")
    assert said(prefix) == [
        ("files-unowned", "opt: no package owns any of the 2 files in it"),
        ("files-unowned", "var/lib: no package owns it"),
    ]


def test_expected_paths_are_exact_about_depth() -> None:
    expected = ExpectedPaths(["opt/declared"])
    inside = [
        "etc/a/b",
        "a/b/__pycache__/c.pyc",
        "usr/lib64/gconv/gconv-modules.cache",
        ".cvmfscatalog",
        "x/.cvmfscatalog",
        "opt/declared",
    ]
    outside = [
        "etcetera",
        "usr/lib64/x/gconv/gconv-modules.cache",
        "__pycache__/c.py",
        "x.cvmfscatalog",
        "opt/declared/not",
        "startprefix2",
    ]
    assert [path for path in inside if path not in expected] == []
    assert [path for path in outside if path in expected] == []


CONTENTS_FAULTS = {
    "binary": (b"\x00\x01\x02\xff\n", ":2: it holds binary data"),
    "no kind": (b"what /x\n", ":2: it does not begin with dir, obj, sym, fif or dev"),
    "no digest": (f"obj {HOME}/usr/x 1\n".encode(), ":2: it is not a path, a digest and a time"),
    "digest": (f"obj {HOME}/usr/x 12 1\n".encode(), ":2: its digest is neither MD5 nor SHA-1"),
    "time": (f"obj {HOME}/usr/x {'0' * 32} soon\n".encode(), ":2: it is not a path, a digest and a time"),
    "long time": (f"obj {HOME}/usr/x {'0' * 32} {'1' * 5000}\n".encode(), ":2: it is not a path, a digest and a time"),
    "link": (f"sym {HOME}/usr/x 1\n".encode(), ":2: it is not a path, a target and a time"),
    "outside": (f"obj /etc/passwd {'0' * 32} 1\n".encode(), ":2: it names a path outside the prefix"),
    "dots": (f"obj {HOME}/usr/../../x {'0' * 32} 1\n".encode(), ":2: its path is not in normal form"),
    "neighbour": (f"obj {HOME}2/x {'0' * 32} 1\n".encode(), ":2: it names a path outside the prefix"),
    "unfinished": (f"obj {HOME}/usr/x {'0' * 32} 1".encode(), ":2: the file ends in the middle of a line"),
}


@pytest.mark.parametrize("name", CONTENTS_FAULTS)
def test_a_damaged_line_is_found_at_its_number_and_the_others_count(tmp_path: Path, name: str) -> None:
    line, end = CONTENTS_FAULTS[name]
    prefix = TinyPrefix(tmp_path / "prefix")
    contents = prefix.package("a/b-1", {"file": b"1"})
    contents.write_bytes(contents.read_bytes() + line)
    (damage,) = [one for one in prefix.findings("integrity") if one.identifier == "contents-damaged"]
    assert damage.description == f"var/db/pkg/a/b-1/CONTENTS{end}"
    prefix.change("file", b"2")
    assert "file-changed" in [one.identifier for one in prefix.findings("integrity")]


def test_many_damaged_lines_of_one_kind_are_one_finding(tmp_path: Path) -> None:
    prefix = TinyPrefix(tmp_path / "prefix")
    prefix.package("a/b-1", {"file": b"1"}).write_bytes(b"?\n" * 1000)
    damage, stray = prefix.findings("integrity")
    assert damage.actual == "it does not begin with dir, obj, sym, fif or dev (and 999 more lines)"
    assert stray.identifier == "files-unowned"


def test_records_of_all_kinds_come_back_as_written(prefix: TinyPrefix) -> None:
    context = prefix.context()
    records = context.begin().ownership.records("usr/share/tool")
    assert records["arrow -> here"] == [Record(Kind.FILE, "eccbc87e4b5ce2fe28308fd9f2a7baf3", MTIME_S, "app-misc/tool-1.9")]
    assert records["null"] == [Record(Kind.SYMLINK, "/dev/null", MTIME_S, "app-misc/tool-1.9")]


def test_a_manifest_tells_modes_and_what_nobody_owns(prefix: TinyPrefix) -> None:
    (prefix.tree / "var/cache/link").symlink_to("anything")
    manifest = Manifest.of_tree(prefix.tree)
    assert said(prefix, manifest=manifest) == []
    (prefix.tree / DATA).chmod(0o600)
    (prefix.tree / "var/cache/anything").unlink()
    (prefix.tree / "var/cache/link").unlink()
    (prefix.tree / "var/cache/link").symlink_to("something")
    assert said(prefix, manifest=manifest) == [
        ("mode-changed", f"{DATA}: expected mode 0644, found mode 0600 (app-misc/tool-1.9)"),
        ("manifest-differs", "var/cache/anything: expected what was published, found nothing"),
        ("manifest-differs", "var/cache/link: expected a link to anything, found a link to something"),
    ]


def test_a_stored_manifest_is_read_by_all_workers_and_tells_what_was_never_published(prefix: TinyPrefix, tmp_path: Path) -> None:
    store = ManifestStore(tmp_path / "manifests.sqlite")
    store.save(Manifest.of_tree(prefix.tree))
    manifest = store.load(Manifest.of_tree(prefix.tree).root)
    assert said(prefix, manifest=manifest) == []
    # CernVM-FS marks where its catalogs begin as it publishes.
    (prefix.tree / "var/cache/.cvmfscatalog").touch()
    (prefix.tree / "var/cache/new").mkdir()
    (prefix.tree / "var/cache/new/file").touch()
    os.utime(prefix.tree / DATA, (1, 1_790_000_000))
    assert said(prefix, manifest=manifest) == [
        ("manifest-differs", "var/cache/new: expected nothing, found something that was not published"),
    ], "of what was published no times are kept"


def test_a_file_in_two_chunks_and_more_is_digested_whole(tmp_path: Path) -> None:
    prefix = TinyPrefix(tmp_path / "prefix")
    chunk = 1 << 18
    prefix.package("a/b-1", {f"file{size}": b"x" * size for size in (chunk - 1, chunk, chunk + 1, 2 * chunk, 3 * chunk + 5)})
    assert said(prefix) == []
    place = prefix.tree / f"file{3 * chunk + 5}"
    prefix.change(place.name, b"x" * (3 * chunk + 4) + b"y")
    assert [one.path for one in prefix.findings("integrity")] == [place.name]


class TestQuick:
    """``--quick``: trusts what looks as it did, and only that."""

    @pytest.fixture
    def memory_of(self, prefix: TinyPrefix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(memory, "RACY_NS", -(10**18))
        prefix.settings["memory"] = tmp_path / "memory"
        assert prefix.findings("integrity") == []
        return tmp_path / "memory"

    def quick(self, prefix: TinyPrefix) -> tuple[list[str], int, int]:
        from dataclasses import replace

        from compatlayer.verify.registry import findings

        context = prefix.context(quick=True)
        reading = context.begin()
        found = [one.path for one in findings(replace(context, reading=reading), ["integrity"])]
        return found, reading.statistics.files_read, reading.statistics.files_trusted

    def test_nothing_is_read_again_where_nothing_changed(self, prefix: TinyPrefix, memory_of: Path) -> None:
        assert self.quick(prefix) == ([], 0, 11)

    def test_a_change_that_keeps_size_and_time_is_found(self, prefix: TinyPrefix, memory_of: Path) -> None:
        prefix.change(DATA, b"DATA of the tool\n")
        found, read, trusted = self.quick(prefix)
        assert (found, read, read + trusted) == ([DATA], 5, 11)
        assert self.quick(prefix)[0] == [DATA], "what was found is not trusted the next time"

    def test_another_record_of_the_same_file_is_found(self, prefix: TinyPrefix, memory_of: Path) -> None:
        contents = prefix.tree / "var/db/pkg/app-misc/tool-1.10/CONTENTS"
        digest = contents.read_text().split()[-2]
        contents.write_text(contents.read_text().replace(digest, "0" * 32))
        assert self.quick(prefix)[0] == ["usr/share/tool-1.10/data"]

    def test_what_is_missing_is_found(self, prefix: TinyPrefix, memory_of: Path) -> None:
        (prefix.tree / DATA).unlink()
        assert self.quick(prefix)[0] == [DATA]

    def test_a_damaged_memory_means_that_all_is_read(self, prefix: TinyPrefix, memory_of: Path) -> None:
        (file,) = memory_of.iterdir()
        file.write_bytes(file.read_bytes()[:-7])
        assert self.quick(prefix) == ([], 11, 0)

    def test_what_was_just_written_is_not_trusted(
        self, prefix: TinyPrefix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(memory, "RACY_NS", 3600 * 10**9)  # however long the machine takes to get here
        prefix.settings["memory"] = tmp_path / "memory"
        assert prefix.findings("integrity") == []
        assert self.quick(prefix) == ([], 11, 0)


def test_a_link_with_a_wide_target_has_its_whole_target_compared(tmp_path: Path) -> None:
    prefix = TinyPrefix(tmp_path / "prefix")
    prefix.package("a/b-1", {"link": Link("a -> b"), "a -> b": b"1"})
    assert [one.identifier for one in prefix.findings("integrity")] == ["file-missing", "files-unowned"], (
        "CONTENTS cannot express it: the last arrow divides, as in Portage"
    )
