from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compatlayer.gentoo import inventory
from compatlayer.gentoo.packages import InstalledPackage, PackageId, Unreadable
from tests.package_values import record


def test_everything_that_portage_recorded_is_read(tmp_path: Path) -> None:
    record(
        tmp_path,
        "dev-lang/lua-5.4.4-r1",
        SLOT="5.4/5.4.4",
        USE="amd64 elibc_glibc readline deprecated",
        IUSE="+deprecated readline  -test",
        BUILD_TIME="1700000000",
        SIZE="123456",
        RDEPEND=">=sys-libs/zlib-1:0/1=\n  app-misc/other",
        PDEPEND="app-misc/post",
        CL_COMPILED_IN="trusted_dirs=/a",
    )
    found = inventory.read(tmp_path)
    assert found.unreadable == ()
    assert found.packages == (
        InstalledPackage(
            id=PackageId("dev-lang", "lua", "5.4.4-r1"),
            slot="5.4",
            subslot="5.4.4",
            repository="tiny",
            eapi="8",
            use=("deprecated", "readline"),
            iuse=("deprecated", "readline", "test"),
            built_at_utc=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
            size_bytes=123456,
            depends=">=sys-libs/zlib-1:0/1= app-misc/other app-misc/post",
            compiled_in="trusted_dirs=/a",
        ),
    )


def test_packages_come_in_version_order_not_in_text_order(tmp_path: Path) -> None:
    for cpv in ("b/b-1.10", "b/b-1.9", "a/z-1", "b/a-2"):
        record(tmp_path, cpv, SLOT=cpv[-2:])
    assert [package.id.cpv for package in inventory.read(tmp_path)] == ["a/z-1", "b/a-2", "b/b-1.9", "b/b-1.10"]


def test_a_slot_without_sub_slot_is_its_own(tmp_path: Path) -> None:
    record(tmp_path, "a/b-1", SLOT="2")
    assert inventory.read(tmp_path).packages[0].subslot == "2"


def test_a_prefix_without_database_has_no_packages(tmp_path: Path) -> None:
    assert inventory.read(tmp_path / "nothing") == inventory.Inventory()


def test_an_interrupted_merge_is_reported_and_not_read_as_a_package(tmp_path: Path) -> None:
    record(tmp_path, "a/-MERGING-b-1")
    record(tmp_path, "a/c-1")
    found = inventory.read(tmp_path)
    assert [package.id.cpv for package in found] == ["a/c-1"]
    assert found.unreadable == (Unreadable("var/db/pkg/a/-MERGING-b-1", "left behind by an interrupted merge"),)


def test_hidden_files_of_portage_are_no_packages(tmp_path: Path) -> None:
    record(tmp_path, "a/c-1")
    (tmp_path / "var/db/pkg/.cache").mkdir()
    (tmp_path / "var/db/pkg/a/.c-1.portage_lockfile").touch()
    found = inventory.read(tmp_path)
    assert len(found) == 1
    assert found.unreadable == ()


def damage_missing_slot(entry: Path) -> str:
    (entry / "SLOT").unlink()
    return "SLOT is missing"


def damage_empty_slot(entry: Path) -> str:
    (entry / "SLOT").write_text("")
    return "SLOT is empty"


def damage_not_utf8(entry: Path) -> str:
    (entry / "USE").write_bytes(b"\xff\xfe")
    return "USE is not UTF-8 text"


def damage_binary(entry: Path) -> str:
    (entry / "IUSE").write_bytes(b"a\0b")
    return "IUSE holds binary data"


def damage_fifo(entry: Path) -> str:
    (entry / "EAPI").unlink()
    os.mkfifo(entry / "EAPI")
    return "EAPI is not a file"


def damage_directory(entry: Path) -> str:
    (entry / "RDEPEND").mkdir()
    return "RDEPEND is not a file"


def damage_symlink(entry: Path) -> str:
    (entry / "repository").unlink()
    (entry / "repository").symlink_to("/etc/passwd")
    return "repository: Too many levels of symbolic links"


def damage_size(entry: Path) -> str:
    (entry / "SIZE").write_text("many\n")
    return "SIZE is not a number: 'many'"


def damage_time(entry: Path) -> str:
    (entry / "BUILD_TIME").write_text("9" * 30)
    return "BUILD_TIME is out of range: '999999999999999999999999999999'"


def damage_endless(entry: Path) -> str:
    with (entry / "PDEPEND").open("wb") as file:
        file.truncate(1 << 30)
    return "PDEPEND is 1073741824 bytes long"


DAMAGES = [value for name, value in sorted(globals().items()) if name.startswith("damage_")]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_named_with_its_reason_and_the_others_are_read(tmp_path: Path, damage) -> None:
    entry = record(tmp_path, "a/broken-1")
    record(tmp_path, "a/whole-1")
    reason = damage(entry)
    found = inventory.read(tmp_path)
    assert found.unreadable == (Unreadable("var/db/pkg/a/broken-1", reason),)
    assert [package.id.cpv for package in found] == ["a/whole-1"]


@pytest.mark.parametrize("name", ["noversion", "odd\nname-1", "spa ce-1"])
def test_a_name_that_is_none_is_reported(tmp_path: Path, name: str) -> None:
    (tmp_path / "var/db/pkg/a" / name).mkdir(parents=True)
    assert inventory.read(tmp_path).unreadable == (Unreadable(f"var/db/pkg/a/{name}", "its name is not category/name-version"),)


def test_a_name_that_is_not_utf8_is_reported(tmp_path: Path) -> None:
    category = tmp_path / "var/db/pkg/a"
    category.mkdir(parents=True)
    os.mkdir(os.fsencode(category) + b"/b\xff-1")
    (entry,) = inventory.read(tmp_path).unreadable
    assert entry.reason == "its name is not category/name-version"


def test_files_where_directories_belong_are_reported(tmp_path: Path) -> None:
    record(tmp_path, "a/b-1")
    (tmp_path / "var/db/pkg/file").touch()
    (tmp_path / "var/db/pkg/a/c-1").touch()
    (tmp_path / "var/db/pkg/loop").symlink_to("loop")
    assert inventory.read(tmp_path).unreadable == (
        Unreadable("var/db/pkg/a/c-1", "Not a directory"),
        Unreadable("var/db/pkg/file", "not a directory"),
        Unreadable("var/db/pkg/loop", "not a directory"),
    )


@pytest.mark.parametrize("link", ["var", "var/db", "var/db/pkg"])
def test_a_database_that_lies_outside_the_prefix_is_not_read(tmp_path: Path, link: str) -> None:
    record(tmp_path / "outside", "a/secret-1")
    place = tmp_path / "prefix" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "outside" / link)
    found = inventory.read(tmp_path / "prefix")
    assert len(found) == 0
    assert [(one.path, one.reason) for one in found.unreadable] == [("var/db/pkg", "it lies outside the prefix")]


def test_a_database_that_is_no_directory_is_one_complaint(tmp_path: Path) -> None:
    (tmp_path / "var/db").mkdir(parents=True)
    (tmp_path / "var/db/pkg").touch()
    assert inventory.read(tmp_path).unreadable == (Unreadable("var/db/pkg", "Not a directory"),)


@settings(max_examples=60)
@given(
    key=st.sampled_from(["SLOT", "USE", "IUSE", "EAPI", "repository", "BUILD_TIME", "SIZE", "RDEPEND"]),
    content=st.binary(max_size=60),
)
def test_no_content_whatever_makes_it_fail(tmp_path_factory: pytest.TempPathFactory, key: str, content: bytes) -> None:
    prefix = tmp_path_factory.mktemp("prefix")
    (record(prefix, "a/b-1") / key).write_bytes(content)
    found = inventory.read(prefix)
    assert len(found.packages) + len(found.unreadable) == 1


def test_an_inventory_survives_the_way_through_a_document(tmp_path: Path) -> None:
    record(tmp_path, "a/b-1", BUILD_TIME="1700000000", USE="x", IUSE="x y", SIZE="3")
    record(tmp_path, "a/c-1")
    (record(tmp_path, "a/d-1") / "SLOT").unlink()
    found = inventory.read(tmp_path)
    assert inventory.from_document(inventory.to_document(found)) == found


def test_another_process_can_read_it_where_only_that_one_sees_it(tmp_path: Path) -> None:
    record(tmp_path, "a/b-1", USE="x", IUSE="x y")
    done = subprocess.run(
        [sys.executable, "-m", "compatlayer.gentoo.inventory", tmp_path], check=True, capture_output=True, text=True
    )
    assert inventory.from_document(json.loads(done.stdout)) == inventory.read(tmp_path)
