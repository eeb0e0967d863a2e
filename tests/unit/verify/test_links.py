from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from compatlayer.declaration.model import HostLink
from compatlayer.verify.reading.resolver import Resolver, Where, within
from tests.tiny_prefix import HOME, Link, TinyPrefix, sound


@pytest.fixture
def prefix(tmp_path: Path) -> TinyPrefix:
    return sound(tmp_path / "prefix")


def said(prefix: TinyPrefix, **fields: object) -> list[tuple[str, str]]:
    return [(finding.identifier, finding.description) for finding in prefix.findings("links", **fields)]


TARGETS = {
    "data": None,
    "../tool/data": None,
    f"{HOME}/usr/share/tool/data": None,
    f"{HOME}/usr/share/../bin/sh": None,
    "../../../../x86_64/usr/bin/tool": None,  # out of the prefix and in again
    "/proc/self/mounts": None,
    "/dev/null": None,
    "gone": "link-dangling",
    "data/below-a-file": "link-dangling",
    f"{HOME}/etc/passwd": "link-dangling",
    "/etc/passwd": "link-outside",
    "../../../../../../../../../../etc/passwd": "link-outside",
    f"{HOME}2/usr": "link-outside",
    "/device": "link-outside",
    "link": "link-loop",
    "$(EXAMPLE_HOSTS:-/etc/hosts)": None,
    "/etc/$(EXAMPLE_A:-a)$(EXAMPLE_B:-)": None,
    "$(EXAMPLE_HOSTS)": "link-variant",
    "$(1BAD:-x)": "link-variant",
    "$(EXAMPLE": "link-variant",
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_link_is_followed_as_in_a_prefix_at_home(prefix: TinyPrefix, target: str) -> None:
    prefix.package("a/link-1", {"usr/share/tool/link": Link(target)})
    expected = TARGETS[target]
    assert [one for one, _ in said(prefix)] == ([expected] if expected else [])


def test_declared_host_links_are_understood_and_so_is_a_way_through_them(prefix: TinyPrefix) -> None:
    declared = (HostLink(PurePosixPath("/etc/passwd")), HostLink(PurePosixPath("/etc/hosts"), "$(HOSTS:-/etc/hosts)"))
    (prefix.tree / "etc/passwd").symlink_to("/etc/passwd")
    (prefix.tree / "etc/hosts").symlink_to("$(HOSTS:-/etc/hosts)")
    prefix.package("a/link-1", {"usr/share/users": Link(f"{HOME}/etc/passwd"), "usr/share/hosts": Link("../../etc/hosts")})
    assert said(prefix, host_links=declared) == []
    assert [one for one, _ in said(prefix)] == ["link-outside", "link-outside"], "undeclared, both lead out"


def test_a_declared_link_that_leads_elsewhere_is_found(prefix: TinyPrefix) -> None:
    (prefix.tree / "etc/passwd").write_text("root\n")
    (prefix.tree / "etc/group").symlink_to("/etc/gshadow")
    declared = (HostLink(PurePosixPath("/etc/passwd")), HostLink(PurePosixPath("/etc/group")))
    assert said(prefix, host_links=declared) == [
        ("link-not-as-declared", "etc/group: leads to /etc/gshadow, declared is /etc/group"),
        ("link-not-as-declared", "etc/passwd: is no link, declared is /etc/passwd"),
    ]


def test_the_descriptions_say_what_is_missing_and_whose_it_is(prefix: TinyPrefix) -> None:
    prefix.package("a/link-1", {"usr/share/link": Link(f"{HOME}/usr/lib/gone/x")})
    assert said(prefix) == [
        ("link-dangling", f"usr/share/link: leads to {HOME}/usr/lib/gone/x, and usr/lib is not there (a/link-1)")
    ]


def test_links_that_multiply_end_soon(tmp_path: Path) -> None:
    # Each name goes through the one before twice: 2 to the 60th steps for whoever counts per link and not per path.
    (tmp_path / "d0").mkdir()
    for number in range(1, 60):
        (tmp_path / f"d{number}").symlink_to(f"d{number - 1}/../d{number - 1}")
    with Resolver(tmp_path, HOME) as resolver:
        assert resolver.follow("d59").where is Where.LOOP
        assert resolver.follow("d5").where is Where.INSIDE


def test_forty_links_are_followed_and_one_more_is_a_loop_as_in_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "l0").write_text("x")
    for number in range(1, 42):
        (tmp_path / f"l{number}").symlink_to(f"l{number - 1}")
    with Resolver(tmp_path, HOME) as resolver:
        assert resolver.follow("l40").where is Where.INSIDE
        assert resolver.follow("l41").where is Where.LOOP
    assert (tmp_path / "l40").read_text() == "x"
    with pytest.raises(OSError, match="symbolic links"):
        (tmp_path / "l41").read_text()


def test_within_is_about_whole_names() -> None:
    answers = {path: within(path, "/a/b") for path in ("/a/b", "/a/b/", "/a/b/c", "/a//b/./c", "/a/bc", "/a", "/")}
    assert answers == {"/a/b": "", "/a/b/": "", "/a/b/c": "c", "/a//b/./c": "c", "/a/bc": None, "/a": None, "/": None}


MODES = {
    ("usr/share/tool/data", 0o640): "mode-unreadable",
    ("usr/share/tool/data", 0o604): None,
    ("usr/share/tool", 0o750): "mode-unreadable",
    ("usr/share/tool", 0o754): "mode-unreadable",
    ("usr/share/tool/data", 0o666): "mode-world-writable",
    ("usr/share/tool", 0o777): "mode-world-writable",
    ("usr/share/tool", 0o1777): None,
    ("usr/bin/tool", 0o4755): "mode-setuid",
    ("usr/bin/tool", 0o2755): "mode-setuid",
    ("usr/share/tool", 0o2755): None,
    ("var/db/pkg/app-misc/tool-1.9/CONTENTS", 0o600): None,
}


@pytest.mark.parametrize(("path", "mode"), MODES)
def test_a_mode_is_judged_by_what_readers_of_a_layer_need(prefix: TinyPrefix, path: str, mode: int) -> None:
    (prefix.tree / path).chmod(mode)
    expected = MODES[path, mode]
    found = said(prefix)
    assert [one for one, _ in found] == ([expected] if expected else [])
    assert all(f"(mode {mode:04o})" in text for _, text in found)


def test_hard_links_within_a_package_and_shared_with_the_outside_are_none_across(prefix: TinyPrefix, tmp_path: Path) -> None:
    data = prefix.tree / "usr/share/tool/data"
    within_package = prefix.tree / "usr/share/tool/empty"
    within_package.unlink()
    os.link(data, within_package)
    assert said(prefix) == []
    other = prefix.tree / "usr/share/tool-1.10/data"
    other.unlink()
    os.link(data, other)
    ((identifier, text),) = said(prefix)
    assert identifier == "hard-link-across-packages"
    assert "app-misc/tool-1.10, app-misc/tool-1.9" in text
    os.link(data, tmp_path / "an object of a repository")
    assert said(prefix) == []


def test_names_that_differ_in_case_are_named_together(prefix: TinyPrefix) -> None:
    prefix.package("a/case-1", {"usr/share/tool/DATA": b"1", "usr/share/tool/Data": b"2", "usr/share/tool/GRÜßE": b"3"})
    assert said(prefix) == [
        ("name-case-collision", "usr/share/tool/DATA: differs only in case from Data, data (a/case-1)"),
        ("name-case-collision", "usr/share/tool/GRÜßE: differs only in case from grüße (a/case-1)"),
    ]


def test_special_files_are_named_by_kind(prefix: TinyPrefix) -> None:
    os.mkfifo(prefix.tree / "usr/share/pipe")
    assert said(prefix) == [("special-file", "usr/share/pipe: is a FIFO")]
