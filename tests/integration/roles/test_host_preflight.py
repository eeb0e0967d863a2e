from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from compatlayer.stage import View
from tests.integration.roles.bench import Bench

pytestmark = pytest.mark.integration
TASK = "role host_preflight, task 'Refuse a machine that cannot build' failed"


def variables(bench: Bench, **more: object) -> dict[str, object]:
    own = {"prefix": str(bench.prefix), "build_directory": str(bench.directory)} | more
    return {f"host_preflight_{name}": value for name, value in own.items()}


def test_a_machine_that_can_build_passes_and_nothing_is_changed(bench: Bench) -> None:
    default, again, other = bench.converge(
        "host_preflight", variables(bench), variables(bench), variables(bench, programs=["sh"], free_bytes=1)
    )
    assert (default.changed, again.changed, other.changed) == ([], [], [])
    assert bench.files() == {}


def test_check_mode_looks_as_well(bench: Bench) -> None:
    (ran,) = bench.converge("host_preflight", variables(bench), check_mode=True)
    assert (ran.results[-1]["missing"], ran.results[-1]["writable"]) == ([], True)


def test_a_build_directory_that_is_not_there_is_named(bench: Bench) -> None:
    error = bench.refusal("host_preflight", variables(bench, build_directory=str(bench.directory / "gone")))
    assert error.fact == TASK
    assert str(error.cause).startswith("the free space for builds cannot be measured: ")
    assert str(error.cause).endswith("/gone'")


def test_everything_that_is_missing_is_named_at_once(bench: Bench) -> None:
    bench.prefix.rmdir()
    error = bench.refusal("host_preflight", variables(bench, programs=["sh", "no-such", "nor-this"], free_bytes=2**62))
    assert error.fact == TASK
    assert error.cause is not None
    free = error.cause.partition("free bytes: ")[2].partition(" of")[0]
    assert int(free) > 0
    assert error.cause == (
        "this machine cannot build: missing programs: no-such, nor-this; "
        f"free bytes: {free} of {2**62}; prefix {bench.prefix} is not writable"
    )
    assert not bench.prefix.exists()


@pytest.mark.userns
def test_a_prefix_that_is_read_only_even_for_root_is_refused(bench: Bench) -> None:
    prefix = str(bench.prefix)
    bench.view = View(PurePosixPath(prefix), ("bwrap", "--dev-bind", "/", "/", "--ro-bind", prefix, prefix))
    error = bench.refusal("host_preflight", variables(bench))
    assert str(error.cause).endswith(f"; prefix {prefix} is not writable")


def test_a_value_of_the_wrong_type_is_named_before_anything_is_looked_at(bench: Bench) -> None:
    error = bench.refusal("host_preflight", variables(bench, free_bytes="plenty"))
    assert "host_preflight_free_bytes" in str(error)
    assert "plenty" in str(error)
