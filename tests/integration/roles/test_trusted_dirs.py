from __future__ import annotations

import os

import pytest

from tests.integration.roles.bench import Bench, Variables

pytestmark = pytest.mark.integration
TASK = "The directories that the loader trusts are there"


def variables(bench: Bench, paths: list[str], **more: object) -> Variables:
    return {"trusted_dirs_prefix": str(bench.prefix), "trusted_dirs_paths": paths} | more


def test_directories_are_made_readable_for_everybody_and_kept(bench: Bench) -> None:
    previous = os.umask(0o077)
    try:
        first, second = bench.converge("trusted_dirs", *[variables(bench, ["lib/override", "lib/nvidia"])] * 2)
    finally:
        os.umask(previous)
    assert (first.changed, second.changed) == ([TASK], [])
    assert bench.files() == {"lib": "/", "lib/nvidia": "/", "lib/override": "/"}
    assert {path.stat().st_mode & 0o777 for path in bench.prefix.rglob("*")} == {0o755}


def test_what_is_there_is_left_alone(bench: Bench) -> None:
    bench.write("lib/override/libsite.so", "a site's own")
    bench.link("lib/nvidia", "$(EXAMPLE_NVIDIA:-/opt/nvidia)")
    before = bench.files()
    (ran,) = bench.converge("trusted_dirs", variables(bench, ["lib/override", "lib/nvidia"]))
    assert (ran.changed, bench.files()) == ([], before)


def test_only_empty_directories_of_the_past_leave(bench: Bench) -> None:
    bench.write("lib/override/libsite.so", "a site's own")
    (bench.prefix / "lib/old").mkdir()
    gone = variables(bench, [], trusted_dirs_former=["lib/override", "lib/old", "lib/never"])
    first, second = bench.converge("trusted_dirs", gone, gone)
    assert (first.changed, second.changed) == ([TASK], [])
    assert bench.files() == {"lib": "/", "lib/override": "/", "lib/override/libsite.so": "a site's own"}


def test_a_file_in_the_place_of_a_directory_is_refused_and_kept(bench: Bench) -> None:
    bench.write("lib/override", "x\n")
    error = bench.refusal("trusted_dirs", variables(bench, ["lib/nvidia", "lib/override"]))
    assert error.fact == f"role trusted_dirs, task '{TASK}' failed"
    assert error.cause == "lib/override is a file of the layer, and a directory is declared in its place"
    assert bench.files() == {"lib": "/", "lib/override": "x\n"}


def test_a_directory_outside_the_prefix_is_refused(bench: Bench) -> None:
    error = bench.refusal("trusted_dirs", variables(bench, ["/opt/site/lib"]))
    assert error.cause == "'/opt/site/lib' is not a path below the prefix"
