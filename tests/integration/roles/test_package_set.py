from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ebuild_repository import INSTALL
from tests.integration.roles import portage
from tests.integration.roles.bench import Bench, Variables

pytestmark = [pytest.mark.integration, pytest.mark.real]
TASK = "The declared packages are installed"
# The installed file's second line says whether the flag was on.
FLAG = INSTALL + '\nsrc_prepare() { default; }\npkg_preinst() { use flag && touch "${ED}/usr/share/tiny/flag"; true; }\n'


def package(cpv: str, *use: str, **more: object) -> dict[str, object]:
    return {"cpv": cpv, "slot": "0", "repository": "tiny", "use": list(use), "iuse": ["flag"]} | more


def variables(bench: Bench, *packages: dict[str, object], **more: object) -> Variables:
    return {
        "package_set_prefix": str(bench.prefix),
        "package_set_emerge": portage.program("emerge"),
        "package_set_environment": portage.environment(bench),
        "package_set_names": ["tiny-set"],
        "package_set_packages": list(packages),
        "package_set_progress_file": str(bench.directory / "progress.jsonl"),
        "package_set_output_file": str(bench.directory / "emerge.out"),
    } | more


def installed(bench: Bench) -> set[str]:
    return {"/".join(path.parts[-2:]) for path in (bench.prefix / "var/db/pkg").glob("*/*")}


@pytest.fixture
def prefix(bench: Bench) -> Bench:
    repository = portage.prepare(bench)
    repository.ebuild("app-misc/one-1")
    repository.ebuild("app-misc/two-1", iuse="flag", phases=FLAG)
    repository.ebuild("app-misc/broken-1", phases='S=${WORKDIR}\nsrc_install() { die "cannot be built"; }\n')
    return bench


def test_a_set_is_built_in_one_run_registered_and_left_alone_afterwards(prefix: Bench) -> None:
    wanted = variables(prefix, package("app-misc/one-1"), package("app-misc/two-1"))
    first, second = prefix.converge("package_set", wanted, wanted)
    assert (first.changed, second.changed) == ([TASK], [])
    assert [(one["cpv"], one["action"]) for one in first.results[1]["packages"]] == [
        ("app-misc/one-1", "install"),
        ("app-misc/two-1", "install"),
    ]
    assert {one["action"] for one in second.results[1]["packages"]} == {"unchanged"}
    assert installed(prefix) == {"app-misc/one-1", "app-misc/two-1"}
    assert (prefix.prefix / "var/lib/portage/world_sets").read_text() == "@tiny-set\n"
    assert (prefix.directory / "emerge.out").read_text().count("$ ") == 1
    events = [json.loads(line) for line in (prefix.directory / "progress.jsonl").read_text().splitlines()]
    assert [event["package"] for event in events if event["event"] == "finished"] == ["app-misc/one-1", "app-misc/two-1"]


def test_a_flag_a_forced_rebuild_and_a_removal_are_carried_out(prefix: Bench) -> None:
    prefix.converge("package_set", variables(prefix, package("app-misc/one-1"), package("app-misc/two-1")))
    prefix.write("etc/portage/package.use", "app-misc/two flag\n")
    other = variables(
        prefix,
        package("app-misc/two-1", "flag"),
        package_set_absent=["app-misc/one-1"],
        package_set_options=["--jobs=2"],
    )
    first, second = prefix.converge("package_set", other, other)
    assert (first.changed, second.changed) == ([TASK], [])
    assert [(one["cpv"], one["action"], one["because"]) for one in first.results[1]["packages"]] == [
        ("app-misc/two-1", "rebuild", "USE +flag"),
        ("app-misc/one-1", "remove", "not needed"),
    ]
    assert installed(prefix) == {"app-misc/two-1"}
    assert (prefix.prefix / "usr/share/tiny/flag").exists()
    said = (prefix.directory / "emerge.out").read_text()
    assert "--jobs=2" in said
    assert "Waiting" not in said, "Portage waited for a person before it removed a package"

    forced = variables(prefix, package("app-misc/two-1", "flag", rebuild="lua has changed its slot"))
    (ran,) = prefix.converge("package_set", forced)
    assert ran.results[1]["packages"][0]["because"] == "lua has changed its slot"


def test_check_mode_names_what_it_would_build_and_builds_nothing(prefix: Bench) -> None:
    (ran,) = prefix.converge("package_set", variables(prefix, package("app-misc/one-1")), check_mode=True)
    assert ran.changed == [TASK]
    assert "app-misc/one-1: install" in ran.diffs
    assert installed(prefix) == set()
    assert not (prefix.directory / "emerge.out").exists()


def test_a_package_that_cannot_be_built_is_named_with_phase_and_log_and_the_others_stay(prefix: Bench) -> None:
    error = prefix.refusal("package_set", variables(prefix, package("app-misc/one-1"), package("app-misc/broken-1")))
    assert error.fact == f"role package_set, task '{TASK}': app-misc/broken-1 failed in phase install"
    assert " *   cannot be built" in str(error.cause)
    log = Path(str(error.cause).rpartition("log: ")[2])
    assert "cannot be built" in log.read_text()
    assert installed(prefix) == {"app-misc/one-1"}
    assert not (prefix.prefix / "var/lib/portage/world_sets").exists()


def test_a_prefix_alone_is_not_enough(bench: Bench) -> None:
    error = bench.refusal("package_set", {"package_set_prefix": str(bench.prefix), "package_set_options": "--jobs=2"})
    assert error.cause == (
        "Validation of arguments failed:\nmissing required arguments: "
        "package_set_emerge, package_set_names, package_set_output_file, package_set_progress_file"
    )
