from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest
import yaml

from compatlayer.converge import record as records
from compatlayer.converge.record import LOCALES, PROVENANCE, Former
from compatlayer.declaration.model import TARGETS, EngineName, HostLink, Part, Status, Version
from compatlayer.resources import resource
from compatlayer.selection import host_links, trusted_directories

PREFIX = PurePosixPath("/cvmfs/software.example.org/versions/1/compat")
PART = Part("example", "1", TARGETS["linux-x86_64"], PREFIX)


def roles_of(playbook: str) -> list[dict[str, object]]:
    (play,) = yaml.safe_load((resource("playbooks") / playbook).read_text())
    return list(play["roles"])


def test_an_update_is_an_install_that_clears_up_after_its_packages() -> None:
    update = roles_of("update.yml")
    assert [entry for entry in update if entry["role"] != "update"] == roles_of("install.yml")
    names = [entry["role"] for entry in update]
    assert names[names.index("package_set") + 1] == "update"


def test_every_role_is_in_a_playbook() -> None:
    roles = {path.parent.name for path in resource("roles").glob("*/tasks")}
    assert {entry["role"] for name in ("update.yml", "bootstrap.yml") for entry in roles_of(name)} == roles


def selection(**declared: object) -> SimpleNamespace:
    version = Version("1", Status.LIVE, EngineName.GUEST, (), None, (), **declared)  # type: ignore[arg-type]
    return SimpleNamespace(version=version, part=PART)


def test_a_plain_link_leads_to_the_same_path_of_the_host() -> None:
    links = (HostLink(PurePosixPath("/etc/passwd")), HostLink(PurePosixPath("/lib/gpu"), "$(GPU:-/opt/gpu)"))
    assert host_links(selection(host_links=links)) == {
        PurePosixPath("etc/passwd"): "/etc/passwd",
        PurePosixPath("lib/gpu"): "$(GPU:-/opt/gpu)",
    }


def test_only_trusted_directories_of_the_layer_that_are_no_links_are_made() -> None:
    chosen = selection(
        trusted_dirs=("{prefix}/lib/override", "/opt/site/lib", "{prefix}/lib/gpu", f"{PREFIX}/lib/plain"),
        host_links=(HostLink(PurePosixPath("/lib/gpu")),),
    )
    assert trusted_directories(chosen) == (PurePosixPath("lib/override"), PurePosixPath("lib/plain"))


@pytest.fixture
def trees(tmp_path: Path) -> list[Path]:
    """What a stage consists of: the directory that was written to, and the tree below it."""
    (tmp_path / "upper/etc").mkdir(parents=True)
    (tmp_path / "lower/etc").mkdir(parents=True)
    return [tmp_path / "upper", tmp_path / "lower"]


def entry(trees: list[Path], name: str) -> bytes:
    return records._entry(trees, PurePosixPath("etc", name))


def test_a_stages_entry_is_what_was_written_before_what_lies_below(trees: list[Path]) -> None:
    lower, upper = trees[1] / "etc", trees[0] / "etc"
    (lower / "below").write_text("x")
    (lower / "replaced").write_text("old")
    (upper / "replaced").symlink_to("/etc/passwd")
    (upper / "new").mkdir()
    assert {name: entry(trees, name) for name in ("below", "replaced", "new", "none")} == {
        "below": b"file:x",
        "replaced": b"link:/etc/passwd",
        "new": b"directory:",
        "none": b"absent:",
    }


def test_what_was_deleted_in_the_stage_is_absent_although_it_lies_below(trees: list[Path]) -> None:
    (trees[1] / "etc/hosts").write_text("x")
    os.mknod(trees[0] / "etc/hosts", stat.S_IFCHR | 0o600, os.makedev(0, 0))  # overlayfs's mark
    assert entry(trees, "hosts") == b"absent:"


def record(trees: list[Path], text: str) -> None:
    path = trees[0] / PROVENANCE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_the_roles_made_last_time_is_read_from_the_record(trees: list[Path]) -> None:
    record(trees, '{"host_links": [{"path": "etc/hosts", "target": "/etc/hosts"}], "trusted_dirs": ["lib/override"]}')
    former = records.former(trees)
    assert former.links == {PurePosixPath("etc/hosts"): "/etc/hosts"}
    assert former.directories == (PurePosixPath("lib/override"),)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"host_links": [1], "trusted_dirs": []}'])
def test_a_record_that_says_nothing_of_links_means_none(trees: list[Path], text: str) -> None:
    record(trees, text)
    assert records.former(trees) == Former({}, ())


def test_the_stamps_list_of_locales_spans_both_trees(trees: list[Path]) -> None:
    for tree, name in ((trees[0], "C.utf8"), (trees[1], "en_US.utf8")):
        (tree / LOCALES / name).mkdir(parents=True)
    assert records._names(trees, LOCALES) == ["C.utf8", "en_US.utf8"]
