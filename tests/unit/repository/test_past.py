"""Which tags are kept, and what a changelog says."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compatlayer import changelog, past
from compatlayer.changelog import Contents, FileCounts, Happened, PackageChange, Section
from compatlayer.gentoo.packages import InstalledPackage, Inventory, PackageId
from compatlayer.report import changelogs
from compatlayer.repository.base import Origin, Revision

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


def revision(number: int) -> Revision:
    return Revision(f"id{number}", number, (), BEGIN + timedelta(days=number), "m", f"root{number}", Origin("ops@host"))


def test_tags_beyond_what_is_advised_go_oldest_first_and_every_other_one_says_why_it_stays() -> None:
    tags = [(f"2026.11-linux-x86_64.{number}", revision(number), "2026.11/linux-x86_64") for number in range(1, 60)]
    tags.append(("golden", revision(2), "2026.11/linux-x86_64"))
    gone, kept = past.retention(tags, ["id1", "root5"])
    assert len(kept) == past.MOST_TAGS
    assert gone == tuple(f"2026.11-linux-x86_64.{number}" for number in (2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13))
    reasons = {one.tag.rpartition(".")[2]: one.reason for one in kept}
    assert (reasons["1"], reasons["5"], reasons["golden"]) == ("in use", "in use", "named by a person")
    assert reasons["59"] == "one of the last 3 of 2026.11/linux-x86_64"


def test_tags_that_receipts_name_go_after_all_others_and_before_there_are_too_many() -> None:
    tags = [(f"p.{number}", revision(number), "p") for number in range(1, 11)]
    gone, kept = past.retention(tags, ["id10"], {"id1", "id2"}, most=6)
    assert gone == ("p.3", "p.4", "p.5", "p.6")
    assert {one.tag: one.reason for one in kept}["p.1"] == "a receipt of production names it"
    assert past.retention(tags, ["id10"], {"id1", "id2"}, most=4)[0] == ("p.3", "p.4", "p.5", "p.6", "p.7", "p.1")


def test_one_file_is_no_files() -> None:
    def summary(files: FileCounts) -> str:
        return Section("t", "p", "2026-11-01T00:00:00Z", "me", None, None, (), (), (), files).summary

    assert (summary(FileCounts(added=1)), summary(FileCounts(1, 1))) == ("1 file", "2 files")


def test_few_tags_all_stay() -> None:
    tags = [(f"p.{number}", revision(number), "p") for number in range(1, 49)]
    gone, kept = past.retention(tags, [])
    assert (gone, len(kept)) == ((), 48)


def package(
    name: str, version: str, *, built: int = 1, use: tuple[str, ...] = (), slot: str = "0", depends: str = ""
) -> InstalledPackage:
    category, _, last = name.partition("/")
    built_at = datetime.fromtimestamp(built, UTC)
    return InstalledPackage(PackageId(category, last, version), slot, slot, "gentoo", "8", use, use, built_at, 1, depends)


def test_every_kind_of_change_is_told_apart() -> None:
    before = Inventory(
        (
            package("a/up", "1.9"), package("a/down", "2"), package("a/gone", "1"), package("a/use", "1", use=("ssl",)),
            package("a/again", "1"), package("a/same", "1"), package("a/dep", "1", depends="dev-lang/lua:5.4/5.4.4="),
            package("dev-lang/lua", "5.1", slot="5.1"),
        )
    )  # fmt: skip
    after = Inventory(
        (
            package("a/up", "1.10"), package("a/down", "1.10"), package("a/new", "1"), package("a/use", "1", use=("zlib",)),
            package("a/again", "1", built=2), package("a/same", "1"), package("a/dep", "1", depends="dev-lang/lua:5.4/5.4.6="),
            package("dev-lang/lua", "5.1", slot="5.1"), package("dev-lang/lua", "5.4", slot="5.4"),
        )
    )  # fmt: skip
    assert [(one.happened.value, one.description) for one in changelog.package_changes(before, after)] == [
        ("added", "a/new 1"),
        ("added", "dev-lang/lua:5.4 5.4"),
        ("removed", "a/gone 1"),
        ("upgraded", "a/up 1.9 → 1.10"),
        ("downgraded", "a/down 2 → 1.10"),
        ("rebuilt", "a/again 1 (built again)"),
        ("rebuilt", "a/dep 1 (now depends on dev-lang/lua:5.4/5.4.6=)"),
        ("rebuilt", "a/use 1 (USE +zlib -ssl)"),
    ]
    assert changelog.package_changes(after, after) == ()


def test_sonames_that_go_are_named() -> None:
    before, after = (
        Contents(Inventory(), frozenset(names)) for names in (("libz.so.1", "liba.so.2"), ("libz.so.1", "liba.so.3"))
    )
    assert changelog.soname_changes(before, after) == (("liba.so.3",), ("liba.so.2",))


def test_plugins_are_no_libraries() -> None:
    names = frozenset({"IBM1129.so", "ctype.so", "libtcl8.6.so", "ld-linux-x86-64.so.2"})
    expected = ("ld-linux-x86-64.so.2", "libtcl8.6.so")
    before, after = Contents(Inventory()), Contents(Inventory(), names)
    assert changelog.soname_changes(before, after) == (expected, ())
    assert changelog.soname_changes(after, before) == ((), expected)


def section(**values: object) -> Section:
    plain: dict[str, object] = {
        "title": "2026.11-linux-x86_64.4", "part": "2026.11/linux-x86_64", "date_utc": "2026-11-20T12:00:00Z", "operator": "ops@host",
        "commit": "0" * 40, "pull_request": "#12", "packages": (PackageChange(Happened.UPGRADED, "a/b", "0", "1", "2"),),
        "sonames_new": (), "sonames_gone": ("libx.so.1",), "files": FileCounts(1, 2, 3, -4), "advisories": ("GLSA-1 (CVE-2026-1)",),
    }  # fmt: skip
    return Section(**{**plain, **values})  # type: ignore[arg-type]


def test_a_section_survives_json() -> None:
    one = section(note="rolled back")
    assert Section.from_document(json.loads(json.dumps(one.to_document()))) == one


def test_markdown_is_as_keep_a_changelog_has_it() -> None:
    assert changelog.markdown("Changelog of x", [section()]) == (
        "# Changelog of x\n\n"
        "## 2026.11-linux-x86_64.4 - 2026-11-20\n\n"
        "2026.11/linux-x86_64; 2026-11-20T12:00:00Z, by ops@host, commit 000000000000, pull request #12\n\n"
        "### Upgraded\n\n- a/b 1 → 2\n\n### Security\n\n- GLSA-1 (CVE-2026-1)\n\n### Sonames gone\n\n- libx.so.1\n\n"
        "Files: 1 added, 2 changed, 3 removed, -4 bytes.\n"
    )


@given(st.text())
def test_no_text_breaks_out_of_its_line_in_markdown_or_on_a_terminal(text: str) -> None:
    one = section(note=text, operator=text, packages=(PackageChange(Happened.REBUILT, "a/b", "0", "1", "1", text),))
    rendered = changelog.markdown("x", [one])
    assert len(rendered.splitlines()) <= len(changelog.markdown("x", [section(note="n")]).splitlines())
    assert "<" not in rendered.replace("\\<", "")
    assert "\x1b" not in changelogs.render([one])


@pytest.mark.parametrize("name", ["text", "json", "markdown"])
def test_every_format_ends_with_a_newline(name: str) -> None:
    assert changelogs.render([section()], name).endswith("\n")
