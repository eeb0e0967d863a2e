"""Every mistake is reported with its file, line, key and way out, word for word; nothing is ever written."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from compatlayer.declaration.load import find, load
from compatlayer.errors import DeclarationError, UsageError
from tests.unit.declaration.example import LAYER, SET, Site

MISTAKES = yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text())
SETS = "sets/2026.11.yaml"


def said(site: Site) -> str:
    """What loading says; and it leaves every byte and mode as it was."""
    before = site.snapshot()
    with pytest.raises(DeclarationError) as raised:
        load(site.file)
    assert site.snapshot() == before
    assert raised.value.exit_code == 2
    return str(raised.value)


@pytest.mark.parametrize("case", MISTAKES, ids=lambda case: case["mistake"])
def test_a_mistake_is_told_with_its_place_and_way_out(site: Site, case: dict[str, Any]) -> None:
    load(site.file)
    if "content" in case:
        site.write(case["file"], case["content"])
    else:
        site.replace(case["file"], case["replace"], case["with"])
    assert said(site) == case["says"].rstrip("\n")


def test_no_two_cases_test_the_same() -> None:
    names = [case["mistake"] for case in MISTAKES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"name: x\nreason: \xff\n", f"{SETS}:2: is not UTF-8: byte 0xff at offset 16\n  hint: save the file as UTF-8"),
        (b"\xff\xfen\x00", f"{SETS}:1: is not UTF-8: byte 0xff at offset 0\n  hint: save the file as UTF-8"),
        (
            b"name: x\npackages: []\n" + b"#" * 2**20,
            f"{SETS}: is larger than 1048576 bytes\n  hint: split it into several sets",
        ),
        (
            b"name: &n x\npackages: [" + b", ".join([b"*n"] * 201) + b"]\n",
            f"{SETS}:2: uses more than 200 aliases",
        ),
        (b"name: x\npackages: " + b"[" * 500_000, f"{SETS}:2: is nested more than 20 levels deep"),
    ],
    ids=["a byte", "UTF-16", "a mebibyte", "aliases", "brackets"],
)
def test_a_file_beyond_the_limits_is_refused(site: Site, content: bytes, text: str) -> None:
    site.write(SETS, content)
    assert said(site) == text


def test_a_byte_order_mark_is_no_mistake(site: Site) -> None:
    site.write("layer.yaml", b"\xef\xbb\xbf" + LAYER.encode())
    assert load(site.file).name == "example"


def test_all_mistakes_of_all_files_come_at_once_in_file_and_line_order(site: Site) -> None:
    site.replace("layer.yaml", "status: live", "status: liv")
    site.replace("layer.yaml", "sets: [sets/2026.11.yaml]", "sets: [sets/2026.11.yaml, sets/a.yaml, sets/b.yaml]")
    site.replace("layer.yaml", "jobs: 64", "jobs: many")
    site.replace(SETS, "include_on: [linux-x86_64]", "include_on: [linux-aarch46]")
    site.replace(SETS, "    reason: users load software through environment modules\n", "")
    site.write("sets/a.yaml", "packages: [\n")
    assert said(site) == (
        "layer.yaml:6: versions[\"2026.11\"].status: unknown status 'liv'\n"
        "  hint: did you mean 'live'?\n"
        "layer.yaml:8: versions[\"2026.11\"].sets: no such file 'sets/b.yaml'\n"
        "  hint: did you mean 'sets/a.yaml'?\n"
        "layer.yaml:28: builders.linux-aarch64.jobs: expected a whole number, found the text 'many'\n"
        "  hint: write it without quotes, leading zeros or fractions\n"
        "sets/2026.11.yaml:3: packages[0]: missing key 'reason'\n"
        "  hint: reason: why the layer holds it; `TODO` loads, and `check` reports it\n"
        "sets/2026.11.yaml:7: packages[1].include_on: unknown target 'linux-aarch46'\n"
        "  hint: did you mean 'linux-aarch64'?\n"
        "sets/a.yaml:2: is not YAML: expected the node content, but found '<stream end>'"
    )


def test_a_mistake_says_the_line_of_the_item_in_a_list_over_lines(site: Site) -> None:
    site.replace(SETS, "include_on: [linux-x86_64]", "include_on:\n      - linux-x86_64\n      # far away\n      - linux-aarch46")
    assert said(site).startswith("sets/2026.11.yaml:11: packages[1].include_on: unknown target 'linux-aarch46'\n")


def test_a_package_in_two_sets_of_a_version_is_a_duplicate(site: Site) -> None:
    site.replace("layer.yaml", "sets: [sets/2026.11.yaml]", "sets: [sets/2026.11.yaml, sets/more.yaml]")
    site.write(
        "sets/more.yaml",
        "name: more\npackages:\n"
        "  - {name: sys-fabric/opa-psm2, exclude_on: [linux-x86_64], reason: another one}\n"
        "  - {name: sys-cluster/lmod, version: '8.7', include_on: [linux-aarch64], reason: once more}\n",
    )
    assert said(site) == (
        "sets/more.yaml:4: packages[1].name: duplicate package 'sys-cluster/lmod', "
        "already declared at sets/2026.11.yaml:3 for linux-aarch64\n"
        "  hint: keep one, or give them include_on lists that do not overlap"
    )


def test_two_versions_of_a_package_on_different_targets_are_no_mistake(site: Site) -> None:
    site.write(
        SETS,
        "name: x\npackages:\n"
        "  - {name: a/b, version: '1', include_on: [linux-x86_64], reason: y}\n"
        "  - {name: a/b, version: '2', exclude_on: [linux-x86_64], reason: y}\n",
    )
    (package_set,) = load(site.file).versions[0].sets
    assert [package.atom for package in package_set.for_target("linux-x86_64")] == ["=a/b-1"]
    assert [package.atom for package in package_set.for_target("linux-aarch64")] == ["=a/b-2"]


def test_two_set_files_may_not_share_a_name(site: Site) -> None:
    site.replace("layer.yaml", "sets: [sets/2026.11.yaml]", "sets: [sets/2026.11.yaml, sets/more.yaml]")
    site.write("sets/more.yaml", "name: example-2026.11\npackages: []\n")
    assert said(site) == (
        "sets/more.yaml:1: name: duplicate set name 'example-2026.11', already used by sets/2026.11.yaml\n"
        "  hint: sets are files named after it: choose another"
    )


def test_versions_may_share_a_set_but_each_must_declare_its_overlay(site: Site) -> None:
    second = (
        '  "2026.12":\n    status: draft\n    engine: guest\n    sets: [sets/2026.11.yaml]\n'
        "    overlays: [{name: other, path: overlay}]\n"
    )
    site.replace("layer.yaml", "mirrors:", second + "mirrors:")
    assert said(site) == (
        "sets/2026.11.yaml:7: packages[1].overlay: version 2026.12 declares no repository 'example'\n"
        "  hint: known repositories: other"
    )
    site.replace("layer.yaml", "{name: other, path: overlay}", "{name: example, path: overlay}")
    first, other = load(site.file).versions
    assert first.sets == other.sets


@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        ("/", "part 2026.11/linux-x86_64 would hide the host's own '/'\n  hint: choose a directory that only the layer uses"),
        (
            "/usr",
            "part 2026.11/linux-x86_64 would hide the host's own '/usr'\n  hint: choose a directory that only the layer uses",
        ),
        (
            "/proc/{version}/{os}/{arch}",
            "part 2026.11/linux-x86_64 would lie in '/proc', which holds no files\n  hint: choose another directory",
        ),
    ],
)
def test_a_prefix_may_not_hide_the_host(site: Site, prefix: str, text: str) -> None:
    site.write(
        "layer.yaml",
        f"name: x\ntargets: [linux-x86_64]\nprefix: {prefix}\nversions:\n"
        '  "2026.11": {status: live, engine: guest, sets: [sets/x.yaml], overlays: [{name: o, path: overlay}]}\n',
    )
    site.write("sets/x.yaml", "name: x\npackages: []\n")
    assert said(site) == f"layer.yaml:3: prefix: {text}"


def test_the_longest_prefix_leaves_room_for_an_interpreter_and_its_argument(site: Site) -> None:
    fixed = len("/cvmfs/software.example.org/versions/2026.11//linux/aarch64")
    site.replace("layer.yaml", "/compat/", f"/{'c' * (200 - fixed)}/")
    layer = load(site.file)
    longest = max((layer.part(layer.versions[0], target).prefix for target in layer.targets), key=lambda path: len(str(path)))
    assert len(str(longest)) == 200
    # Linux reads 256 bytes with the newline (BINPRM_BUF_SIZE).
    assert len(f"#!{longest}/usr/lib/python-exec/python3.11/python3 -I\n") <= 256
    site.replace("layer.yaml", "org/versions/{version}/c", "org/versions/x{version}/c")
    assert said(site) == (
        "layer.yaml:3: prefix: too long: 201 bytes for part 2026.11/linux-aarch64, at most 200\n"
        "  hint: Linux reads 256 bytes of a script's #! line, and the interpreter lies below the prefix"
    )


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: path.mkdir(), "is a directory, expected a YAML file"),
        (os.mkfifo, "is not a regular file, expected a YAML file"),
        (lambda path: path.symlink_to(path.name), "cannot be read: Too many levels of symbolic links"),
    ],
    ids=["a directory", "a pipe", "a circle of links"],
)
def test_a_set_that_is_no_file_is_a_mistake(site: Site, make: Any, text: str) -> None:
    (site.root / SETS).unlink()
    make(site.root / SETS)
    assert said(site) == f"sets/2026.11.yaml: {text}"


def test_a_layer_that_is_not_there_is_a_mistake(site: Site) -> None:
    site.file.unlink()
    assert said(site) == "layer.yaml: cannot be read: No such file or directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_a_mistake(site: Site) -> None:
    (site.root / SETS).chmod(0)
    with pytest.raises(DeclarationError) as raised:
        load(site.file)
    assert str(raised.value) == "sets/2026.11.yaml: cannot be read: Permission denied"


def test_a_tag_runs_nothing(site: Site) -> None:
    site.write(SETS, f"name: !!python/object/apply:os.system ['touch {site.root}/pwned']\npackages: []\n")
    assert "unsupported tag '!!python/object/apply:os.system'" in said(site)
    assert not (site.root / "pwned").exists()


def test_the_layer_is_found_here_or_above(site: Site) -> None:
    below = site.root / "config" / "common"
    below.mkdir(parents=True)
    assert find(site.root) == site.file
    assert find(below) == site.file


def test_without_a_layer_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        find(tmp_path)
    assert str(raised.value) == (
        f"no layer.yaml in {tmp_path} or above\n  hint: compatlayer init DIR makes a layer; --layer FILE names one elsewhere"
    )


def test_the_model_is_imported_without_pydantic_and_yaml() -> None:
    code = "import sys, compatlayer.declaration.model; print(sorted({'pydantic', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_loading_a_layer_of_three_hundred_packages_takes_less_than_a_second(site: Site) -> None:
    packages = "".join(
        f'  - name: app-misc/package{number}\n    version: "1.{number}"\n'
        f"    include_on: [linux-x86_64]\n    reason: needed by {number}\n"
        for number in range(300)
    )
    site.write(SETS, SET + packages)
    # In a process of its own, imports included: that is what a person waits for.
    code = "import sys, pathlib; from compatlayer.declaration.load import load; load(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", f"import time; a = time.process_time(); exec({code!r}); print(time.process_time() - a)"]
    done = subprocess.run([*command, str(site.file)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1


def test_thousands_of_versions_and_packages_are_checked_in_seconds(site: Site) -> None:
    entry = "{status: draft, engine: guest, sets: [sets/x.yaml], overlays: [{name: o, path: overlay}]}"
    versions = "".join(f"  v{number}: {entry}\n" for number in range(1000))
    site.write("layer.yaml", f"name: x\ntargets: [linux-x86_64]\nprefix: /x/{{version}}\nversions:\n{versions}")
    site.write("sets/x.yaml", "name: x\npackages:\n" + "  - {name: a/b, include_on: [zzz], reason: c}\n" * 1000)
    started = time.process_time()
    assert said(site).count("unknown target 'zzz'") == 1000
    assert time.process_time() - started < 20
