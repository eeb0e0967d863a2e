"""Rendered sets say exactly what the declaration says, and nothing of anybody else is touched."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from compatlayer.declaration import sets
from compatlayer.declaration.findings import LeftoverSet, StaleSet, TodoReason, UnrenderedSet
from compatlayer.declaration.load import load
from compatlayer.errors import UsageError
from compatlayer.findings import registered
from tests.unit.declaration.example import Site, make_site

X86 = "example-2026.11-linux-x86_64"
ARM = "example-2026.11-linux-aarch64"
RENDERED = {ARM: "sys-cluster/lmod\n", X86: "sys-cluster/lmod\n=sys-fabric/opa-psm2-12.0.1::example\n"}
TARGETS = ("linux-x86_64", "linux-aarch64", "linux-riscv64", "macos-aarch64")


def test_each_set_and_target_is_one_file_of_atoms_in_declared_order(site: Site) -> None:
    assert dict(sets.render(load(site.file))) == RENDERED


def test_rendering_can_be_narrowed_to_versions_and_targets(site: Site) -> None:
    second = (
        '  "2026.12":\n    status: draft\n    engine: guest\n    sets: [sets/next.yaml]\n'
        "    overlays: [{name: example, path: overlay}]\n"
    )
    site.replace("layer.yaml", "mirrors:", second + "mirrors:")
    site.write("sets/next.yaml", "name: next\npackages: [{name: a/b, reason: c}]\n")
    layer = load(site.file)
    assert set(sets.render(layer)) == {X86, ARM, "next-linux-x86_64", "next-linux-aarch64"}
    assert set(sets.render(layer, versions=layer.versions[1:])) == {"next-linux-x86_64", "next-linux-aarch64"}
    assert set(sets.render(layer, targets=layer.targets[1:])) == {ARM, "next-linux-aarch64"}
    assert sets.render(layer, versions=[]) == {}


def test_a_set_that_is_empty_on_a_target_is_an_empty_file(site: Site) -> None:
    site.replace("sets/2026.11.yaml", "    reason: users", "    include_on: [linux-x86_64]\n    reason: users")
    assert sets.render(load(site.file))[ARM] == ""


@st.composite
def _packages(draw: st.DrawFn) -> list[dict[str, object]]:
    found = []
    for number in range(draw(st.integers(0, 6))):
        package: dict[str, object] = {"name": f"app-misc/p{number}", "reason": "a test"}
        if draw(st.booleans()):
            package["version"] = draw(st.sampled_from(["1", "12.0", "8.7.59-r1", "1.0_rc2"]))
        if draw(st.booleans()):
            package["overlay"] = draw(st.sampled_from(["example", "gentoo"]))
        kind = draw(st.sampled_from(["", "include_on", "exclude_on"]))
        if kind:
            # Not all of them: a package that is excluded everywhere is a mistake.
            package[kind] = draw(st.lists(st.sampled_from(TARGETS), min_size=1, max_size=3, unique=True))
        found.append(package)
    return found


@settings(max_examples=100, deadline=None)
@given(packages=_packages())
def test_a_package_is_in_a_set_exactly_when_its_lists_say_so(packages: list[dict[str, object]]) -> None:
    with tempfile.TemporaryDirectory(prefix="declaration-") as directory:
        site = make_site(Path(directory) / "site")
        site.replace("layer.yaml", "targets: [linux-x86_64, linux-aarch64]", f"targets: [{', '.join(TARGETS)}]")
        site.write("sets/2026.11.yaml", yaml.safe_dump({"name": "s", "packages": packages}))
        rendered = sets.render(load(site.file))
    assert list(rendered) == sorted(f"s-{target}" for target in TARGETS)
    for target in TARGETS:
        expected = []
        for package in packages:
            # As EESSI's generator decides: not excluded, and included where there is such a list.
            if target in package.get("exclude_on", []) or target not in package.get("include_on", TARGETS):  # type: ignore[operator]
                continue
            atom = f"={package['name']}-{package['version']}" if "version" in package else package["name"]
            expected.append(f"{atom}::{package['overlay']}" if "overlay" in package else atom)
        assert rendered[f"s-{target}"] == "".join(f"{atom}\n" for atom in expected)


def test_rendering_twice_writes_once(site: Site) -> None:
    layer = load(site.file)
    first = sets.write_layer(layer)
    assert first == sets.Written((ARM, X86, "sets.conf"), (), 0)
    inodes = {path: path.stat().st_ino for path in (site.root / "overlay").rglob("*")}
    assert sets.write_layer(layer) == sets.Written((), (), 3)
    assert {path: path.stat().st_ino for path in (site.root / "overlay").rglob("*")} == inodes
    assert sets.stale(layer) == ()


def test_the_overlay_gets_a_sets_conf_that_names_it(site: Site) -> None:
    sets.write_layer(load(site.file))
    assert (site.root / "overlay/sets.conf").read_text() == (
        "# Written by `compatlayer sets render`: the sets of this layer, one for each target.\n"
        "[example sets]\n"
        "class = portage.sets.files.StaticFileSet\n"
        "multiset = true\n"
        "directory = ${repository:example}/metadata/sets\n"
        "world-candidate = true\n"
    )


def test_another_output_directory_gets_the_sets_alone(site: Site, tmp_path: Path) -> None:
    output = tmp_path / "out" / "sets"
    assert sets.write_layer(load(site.file), output).changed == (ARM, X86)
    assert {path.name: path.read_text() for path in output.iterdir()} == RENDERED
    assert not (site.root / "overlay/sets.conf").exists()
    assert [path.name for path in output.parent.iterdir()] == ["sets"]


def test_only_files_that_a_rendering_made_are_removed(site: Site) -> None:
    directory = site.root / "overlay/metadata/sets"
    kept = {
        "mine": "app-misc/foo\n",
        "mine-linux-x86_64": "# by hand\napp-misc/foo\n",
        "no-newline-linux-x86_64": "app-misc/foo",
        "a-linux-sparc": "app-misc/foo\n",
        "set-of-sets-linux-x86_64": "@system\n",
    }
    for name, text in kept.items():
        site.write(f"overlay/metadata/sets/{name}", text)
    (directory / "link-linux-x86_64").symlink_to("mine")
    (directory / "directory-linux-x86_64").mkdir()
    site.write("overlay/metadata/sets/old-linux-riscv64", "app-misc/foo\n=app-misc/bar-1-r1::x\n")
    site.write("overlay/metadata/sets/old-linux-x86_64", "")
    layer = load(site.file)
    leftovers = [finding for finding in sets.stale(layer) if isinstance(finding, LeftoverSet)]
    assert [finding.location.file for finding in leftovers if finding.location] == [
        "overlay/metadata/sets/old-linux-riscv64",
        "overlay/metadata/sets/old-linux-x86_64",
    ]
    assert sets.write_layer(layer).removed == ("old-linux-riscv64", "old-linux-x86_64")
    assert {path.name for path in directory.iterdir()} == {*kept, *RENDERED, "link-linux-x86_64", "directory-linux-x86_64"}
    for name, text in kept.items():
        assert (directory / name).read_text() == text


def test_a_narrowed_rendering_removes_nothing(site: Site) -> None:
    layer = load(site.file)
    sets.write_layer(layer)
    directory = sets.default_directory(layer)
    narrowed = sets.render(layer, targets=layer.targets[:1])
    assert sets.write(directory, narrowed, remove_leftovers=False).removed == ()
    assert {path.name for path in directory.iterdir()} == set(RENDERED)


def test_every_way_of_being_out_of_date_is_found(site: Site) -> None:
    layer = load(site.file)
    sets.write_layer(layer)
    site.write(f"overlay/metadata/sets/{X86}", "sys-cluster/lmod\n=sys-fabric/opa-psm2-12.0.0::example\n")
    site.write(f"overlay/metadata/sets/{ARM}", "")
    site.write("overlay/metadata/sets/gone-linux-aarch64", "a/b\n")
    (site.root / "overlay/sets.conf").unlink()
    before = site.snapshot()
    findings = sets.stale(layer)
    assert site.snapshot() == before
    assert [(type(finding), finding.description) for finding in findings] == [
        (StaleSet, f"overlay/metadata/sets/{ARM}: expected 'sys-cluster/lmod' in line 1, found nothing"),
        (
            StaleSet,
            f"overlay/metadata/sets/{X86}: expected '=sys-fabric/opa-psm2-12.0.1::example' in line 2, "
            "found '=sys-fabric/opa-psm2-12.0.0::example'",
        ),
        (LeftoverSet, "overlay/metadata/sets/gone-linux-aarch64: expected no such set, found a rendered file"),
        (UnrenderedSet, "overlay/sets.conf: expected a rendered file, found none"),
    ]
    assert {finding.remedy for finding in findings} == {"compatlayer sets render"}
    sets.write_layer(layer)
    assert sets.stale(layer) == ()


@pytest.mark.parametrize(
    ("present", "text"),
    [
        ("sys-cluster/lmod\nextra/one\n", "expected 1 lines, found 'extra/one'"),
        ("sys-cluster/lmod", "expected other line ends, found the same lines"),
        ("sys-cluster/lmod\r\n", "expected other line ends, found the same lines"),
    ],
)
def test_what_differs_is_named(site: Site, present: str, text: str) -> None:
    layer = load(site.file)
    sets.write_layer(layer)
    site.write(f"overlay/metadata/sets/{ARM}", present)
    (finding,) = sets.stale(layer)
    assert finding.description == f"overlay/metadata/sets/{ARM}: {text}"


def test_a_layer_without_a_local_overlay_has_no_place_for_sets(site: Site) -> None:
    site.replace("layer.yaml", "    overlays:\n      - {name: example, path: overlay}\n", "")
    site.replace("sets/2026.11.yaml", "overlay: example", "overlay: gentoo")
    layer = load(site.file)
    assert sets.stale(layer) == ()
    with pytest.raises(UsageError) as raised:
        sets.write_layer(layer)
    assert str(raised.value) == (
        "no overlay of this layer is a directory beside layer.yaml, so there is no place for rendered sets\n"
        "  hint: name one: --output DIR"
    )


def test_a_place_that_cannot_be_written_is_an_error(site: Site) -> None:
    site.write("overlay/metadata", "a file in the way\n")
    with pytest.raises(UsageError) as raised:
        sets.write_layer(load(site.file))
    directory = site.root / "overlay/metadata/sets"
    assert str(raised.value).startswith(f"{directory} cannot be written: ")
    assert (site.root / "overlay/metadata").read_text() == "a file in the way\n"


@pytest.mark.parametrize("reason", ["TODO", "todo", "TODO.", "TODO:"])
def test_a_reason_still_to_be_written_loads_and_is_found(site: Site, reason: str) -> None:
    site.replace("sets/2026.11.yaml", "Omni-Path exists on x86_64 clusters only", f'"{reason}"')
    layer = load(site.file)
    assert dict(sets.render(layer)) == RENDERED
    (finding,) = sets.todo_reasons(layer)
    assert isinstance(finding, TodoReason)
    assert finding.description == f"sys-fabric/opa-psm2: expected a reason, found '{reason}'"
    assert str(finding.location) == "sets/2026.11.yaml:5: packages[1]"


def test_a_reason_that_speaks_of_todo_is_a_reason(site: Site) -> None:
    site.replace("sets/2026.11.yaml", "Omni-Path exists on x86_64 clusters only", "TODO lists are kept with it")
    assert sets.todo_reasons(load(site.file)) == ()


def test_the_findings_are_known_and_explained() -> None:
    for identifier in ("stale-set", "unrendered-set", "leftover-set", "todo-reason"):
        assert len(registered()[identifier].explanation()) > 80
