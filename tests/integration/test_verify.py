"""The verdict on a stage, on what stands below it, on any prefix: real Portage resolves, nothing has to be built."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from compatlayer.declaration.model import Part
from compatlayer.stage import Stage, open_stage
from tests.elf_files import elf, put
from tests.package_values import record
from tests.tiny_layer import PREFIX, TARGET, Ended, TinyLayer, tiny_layer

pytestmark = [pytest.mark.integration, pytest.mark.real]

ONE = "app-misc/one-2"
FILE = "usr/share/one/data"


@pytest.fixture
def layer() -> Iterator[TinyLayer]:
    """A declared package in three versions, and a stage that holds the newest as it should."""
    with tiny_layer() as layer:
        for version in ("1", "2"):
            layer.package(f"app-misc/one-{version}")
        layer.declare("app-misc/one")
        hold(stage(layer).upper, ONE)
        yield layer


def stage(layer: TinyLayer, lower: Path | None = None) -> Stage:
    return open_stage(layer.state, Part("tiny", "2026.11", TARGET, PurePosixPath(PREFIX)), lower=lower)


def hold(tree: Path, cpv: str, path: str = FILE, content: bytes = b"data\n") -> None:
    """Put a package with one file into ``tree``, as if it had been merged."""
    import hashlib

    file = put(tree, path, content)
    lines = [f"dir {PREFIX}/{parent}" for parent in [*reversed(PurePosixPath(path).parents)][1:]]
    lines.append(f"obj {PREFIX}/{path} {hashlib.md5(content).hexdigest()} {int(file.stat().st_mtime)}")
    record(tree, cpv, EPREFIX=PREFIX, CONTENTS="\n".join(lines))


def verdict(layer: TinyLayer, *arguments: str, code: int = 0) -> Any:
    return layer.run("--format", "json", "verify", *arguments, code=code).document


def identifiers(document: Any) -> list[str]:
    return [one["id"] for one in document["findings"]]


def test_a_stage_as_declared_is_well_and_the_verdict_says_what_was_looked_at(layer: TinyLayer) -> None:
    document = verdict(layer)
    assert document["findings"] == []
    summary = document["summary"]
    assert (summary["error"], summary["packages"], summary["left_out"]) == (0, 1, {})
    assert summary["checks"].keys() >= {"declared", "integrity", "linkage", "scripts", "links", "catalog"}
    assert summary["files_read"] > 0 < summary["bytes_read"]
    assert document["layer"] == {
        "name": "tiny",
        "version": "2026.11",
        "target": TARGET.name,
        "prefix": PREFIX,
        "tree": str(layer.upper),
        "engine": "guest",
    }


def test_findings_of_several_checks_end_with_exit_code_4_and_their_place(layer: TinyLayer) -> None:
    (layer.upper / FILE).write_bytes(b"other data\n")
    put(layer.upper, "usr/bin/tool", elf(interpreter="/opt/ld.so", kind=2))
    document = verdict(layer, code=4)
    assert set(identifiers(document)) >= {"file-changed", "elf-interpreter-outside"}
    changed = next(one for one in document["findings"] if one["id"] == "file-changed")
    assert changed["location"] == {"file": "tiny/app-misc/one/one-2.ebuild", "line": 1, "path": ""}
    assert identifiers(verdict(layer, "--check", "linkage", code=4)) == ["elf-interpreter-outside"]


def test_a_missing_library_is_annotated_where_the_ebuild_says_what_it_needs(layer: TinyLayer) -> None:
    hold(layer.upper, "app-misc/two-1", "usr/bin/two", elf(interpreter="/lib64/ld.so", kind=2, needed=("libcurl.so.4",)))
    layer.package("app-misc/two-1", rdepend="app-misc/one")
    layer.declare("app-misc/one", "app-misc/two")
    ebuild = (layer.root / "tiny/app-misc/two/two-1.ebuild").read_text().splitlines()
    line = next(number for number, text in enumerate(ebuild, 1) if text.startswith("RDEPEND="))
    said = layer.run("--format", "github", "verify").out
    assert f"::warning file=tiny/app-misc/two/two-1.ebuild,line={line},title=library-left-to-host::" in said


def test_a_missing_package_is_annotated_on_its_line_of_the_set(layer: TinyLayer) -> None:
    layer.package("app-misc/absent-1")
    layer.declare("app-misc/one", "app-misc/absent")
    said = layer.run("--format", "github", "verify", code=4).out
    assert said.startswith("::error file=set.yaml,line=")
    assert "title=package-missing::app-misc/absent-1" in said


def refused(layer: TinyLayer, cpv: str, code: int = 4) -> dict[str, str]:
    hold(layer.upper, cpv, f"usr/share/{cpv}")
    found = verdict(layer, "--check", "declared", code=code)["findings"]
    return {one["id"]: one["actual"] for one in found if one["package"] == cpv}


def test_a_package_whose_ebuild_is_gone_is_named(layer: TinyLayer) -> None:
    found = refused(layer, "app-misc/one-0.5", code=0)
    assert "package-ebuild-gone" in found
    assert found.keys() <= {"package-ebuild-gone", "package-extra"}


def test_an_installed_package_that_is_masked_now_is_named(layer: TinyLayer) -> None:
    layer.config("package.mask", "=app-misc/one-1\n")
    assert "masked" in refused(layer, "app-misc/one-1")["package-masked"]


def test_an_installed_package_without_a_keyword_for_this_target_is_named(layer: TinyLayer) -> None:
    layer.package("app-misc/one-1.5", keywords="")
    assert "keyword" in refused(layer, "app-misc/one-1.5")["package-no-keyword"]


def test_what_can_be_installed_is_not_complained_about(layer: TinyLayer) -> None:
    layer.package("app-misc/extra-1")
    hold(layer.upper, "app-misc/extra-1", "usr/share/extra")
    assert identifiers(verdict(layer)) == ["package-extra"]


def test_any_prefix_is_verified_without_a_declaration_and_the_verdict_says_what_is_left_out(
    layer: TinyLayer, tmp_path: Path
) -> None:
    tree = tmp_path / "prefix"
    hold(tree, ONE)
    document = verdict(layer, str(tree))
    assert document["findings"] == []
    assert document["summary"]["left_out"] == {"declared": "there is no declaration of this prefix"}
    assert document["layer"] | {"tree": ""} == {
        "name": None, "version": None, "target": None, "prefix": PREFIX, "tree": "", "engine": None
    }  # fmt: skip
    (tree / FILE).unlink()
    said = layer.run("verify", str(tree), code=4).out
    assert "[file-missing]" in said
    assert said.splitlines()[-1] == "left out: declared, there is no declaration of this prefix"


def test_a_published_revision_is_held_against_its_manifest(layer: TinyLayer) -> None:
    layer.declare("app-misc/one", more="repositories: {test: {backend: ostree, path: repositories/test}}\n")
    put(layer.upper, "var/cache/made", b"by a program\n")
    layer.run("publish")
    assert verdict(layer, "--revision", "1")["findings"] == []
    (tree,) = (layer.root / "repositories/test/extensions/compatlayer/checkouts").iterdir()
    (tree / "var/cache/made").unlink()
    (tree / "var/cache/other").write_text("by nobody\n")
    (tree / FILE).chmod(0o755)
    document = verdict(layer, "--revision", "1", code=4)
    assert [(one["id"], one["path"]) for one in document["findings"]] == [
        ("mode-changed", FILE),
        ("manifest-differs", "var/cache/made"),
        ("manifest-differs", "var/cache/other"),
    ]


def test_a_directory_without_packages_and_an_unknown_check_get_no_verdict(layer: TinyLayer, tmp_path: Path) -> None:
    assert "is not a prefix" in layer.run("verify", str(tmp_path), code=2).err
    layer.run("stage", "drop", "--yes")
    assert "did you mean 'links'?" in layer.run("verify", "--check", "link", code=2).err


def test_a_path_that_is_no_directory_is_a_usage_error(layer: TinyLayer) -> None:
    ended = layer.run("verify", str(layer.root / "layer.yaml"), code=2)
    assert "is not a directory" in ended.err
    assert "exclude each other" in layer.run("verify", "--revision", "1", str(layer.root), code=2).err


@pytest.mark.userns
def test_a_stage_on_a_lower_tree_is_looked_at_as_a_whole(layer: TinyLayer, tmp_path: Path) -> None:
    lower = layer.directory / "lower"
    hold(lower, ONE)
    hold(lower, "app-misc/below-1", "usr/share/below")
    layer.package("app-misc/below-1")
    layer.declare("app-misc/one", "app-misc/below")
    layer.run("stage", "drop", "--yes")
    over = stage(layer, lower)
    assert verdict(layer)["findings"] == []
    put(over.upper, "usr/share/below", b"changed in the stage\n")
    (found,) = verdict(layer, code=4)["findings"]
    assert (found["id"], found["path"], found["package"]) == ("file-changed", "usr/share/below", "app-misc/below-1")
    (over.upper / "usr/share/below").unlink()
    assert verdict(layer)["findings"] == []


def run(layer: TinyLayer, *arguments: str, code: int = 0) -> Ended:
    return layer.run("verify", *arguments, code=code)


def test_a_baseline_lets_pass_what_is_known_and_names_what_has_gone(layer: TinyLayer, tmp_path: Path) -> None:
    baseline = str(layer.directory / "baseline.json")
    (layer.upper / FILE).write_bytes(b"other data\n")
    assert run(layer, code=4)
    written = run(layer, "--write-baseline", baseline)
    assert f"{baseline}: 1 findings accepted" in written.err
    assert "1 finding accepted by the baseline" in run(layer, "--baseline", baseline).out
    put(layer.upper, "usr/bin/tool", elf(interpreter="/opt/ld.so", kind=2))
    new = verdict(layer, "--baseline", baseline, code=4)
    assert "file-changed" not in identifiers(new)
    assert "elf-interpreter-outside" in identifiers(new)
    (layer.upper / "usr/bin/tool").unlink()
    (layer.upper / FILE).write_bytes(b"data\n")
    gone = verdict(layer, "--baseline", baseline)
    assert (gone["summary"]["gone"][0]["id"], gone["summary"]["accepted"]) == ("file-changed", 0)


def test_two_verdicts_on_one_stage_are_the_same_but_for_what_was_read(layer: TinyLayer) -> None:
    for number in range(300):
        put(layer.upper, f"usr/share/loose/{number % 7}/{number}", b"x")
    first, second = (verdict(layer, code=0) for _ in range(2))
    assert first["findings"]
    assert first["findings"] == second["findings"]


def test_sarif_and_junit_come_out_whole(layer: TinyLayer) -> None:
    (layer.upper / FILE).unlink()
    assert json.loads(layer.run("--format", "sarif", "verify", code=4).out)["version"] == "2.1.0"
    assert layer.run("--format", "junit", "verify", code=4).out.endswith("</testsuites>\n")
