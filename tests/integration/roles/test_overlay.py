from __future__ import annotations

import pytest

from tests.integration.roles.bench import Bench

pytestmark = pytest.mark.integration


def repository(bench: Bench, place: str, name: str) -> dict[str, str]:
    bench.write(f"{place}/profiles/repo_name", f"{name}\n")
    return {"name": name, "location": str(bench.prefix / place)}


def test_the_declared_repositories_pass_in_their_order(bench: Bench) -> None:
    one = {"overlay_repositories": [repository(bench, "a", "first")]}
    two = {"overlay_repositories": [repository(bench, "a", "first"), repository(bench, "b", "second")]}
    before = bench.files()
    assert [ran.changed for ran in bench.converge("overlay", one, one, two, two)] == [[], [], [], []]
    assert bench.files() == before


def test_another_repository_in_the_place_of_the_declared_one_is_refused(bench: Bench) -> None:
    right, wrong = repository(bench, "a", "first"), repository(bench, "b", "stranger")
    error = bench.refusal("overlay", {"overlay_repositories": [right, {**wrong, "name": "second"}]})
    assert error.fact == "role overlay, task 'Refuse a repository that is not the declared one' failed"
    assert error.cause == (
        f"the ebuild repositories at {bench.prefix}/a, {bench.prefix}/b call themselves first, stranger, "
        "declared are first, second"
    )


def test_a_repository_that_is_not_there_is_named(bench: Bench) -> None:
    error = bench.refusal("overlay", {"overlay_repositories": [{"name": "first", "location": str(bench.prefix / "gone")}]})
    assert f"{bench.prefix}/gone/profiles/repo_name': File not found" in str(error)


def test_a_repository_without_a_location_is_a_mistake_of_the_caller(bench: Bench) -> None:
    error = bench.refusal("overlay", {"overlay_repositories": [{"name": "first"}]})
    assert "missing required arguments: location found in overlay_repositories" in str(error)
