from __future__ import annotations

import shutil
import sys

import pytest

from tests.integration.roles import portage
from tests.integration.roles.bench import Bench, Variables

pytestmark = [pytest.mark.integration, pytest.mark.real]
TASK = "Nothing of the packages that were replaced is left behind"


def variables(bench: Bench, **more: object) -> Variables:
    return {
        "update_prefix": str(bench.prefix),
        "update_env_update": portage.program("env-update"),
        "update_environment": portage.environment(bench),
    } | {f"update_{name}": value for name, value in more.items()}


@pytest.fixture
def prefix(bench: Bench) -> Bench:
    portage.prepare(bench)
    bench.write("etc/env.d/00own", 'PATH="/own/bin"\nLDPATH="/own/lib"\n')
    return bench


def test_the_environment_agrees_with_env_d_again(prefix: Bench) -> None:
    first, second = prefix.converge("update", variables(prefix), variables(prefix))
    assert (first.changed, second.changed) == ([TASK], [])
    assert "/own/bin" in (prefix.prefix / "etc/profile.env").read_text()
    assert "/own/lib" in (prefix.prefix / "etc/ld.so.conf").read_text()

    (prefix.prefix / "etc/env.d/00own").write_text('PATH="/other/bin"\n')
    third, fourth = prefix.converge("update", variables(prefix), variables(prefix))
    assert (third.changed, fourth.changed) == ([TASK], [])
    assert "etc/profile.env" in third.results[1]["refreshed"]
    text = (prefix.prefix / "etc/profile.env").read_text()
    assert "/other/bin" in text
    assert "/own/bin" not in text


def test_half_merged_packages_leave_the_database_and_whole_ones_stay(prefix: Bench) -> None:
    prefix.write("var/db/pkg/app-misc/-MERGING-half-1/CONTENTS", "obj /x\n")
    prefix.write("var/db/pkg/app-misc/whole-1/CONTENTS", "")
    first, second = prefix.converge("update", variables(prefix), variables(prefix))
    assert first.results[1]["removed"] == ["app-misc/half-1"]
    assert (first.changed, second.changed) == ([TASK], [])
    assert {path.name for path in (prefix.prefix / "var/db/pkg/app-misc").iterdir()} == {"whole-1"}


def undecided(bench: Bench) -> None:
    bench.write("etc/tool/rc", "changed in the layer\n")
    bench.write("etc/tool/._cfg0000_rc", "older\n")
    bench.write("etc/tool/._cfg0001_rc", "newest\n")


def test_undecided_configuration_files_are_refused_by_name_and_kept(prefix: Bench) -> None:
    undecided(prefix)
    prefix.write("var/db/pkg/app-misc/-MERGING-half-1/CONTENTS", "")
    before = prefix.files()
    error = prefix.refusal("update", variables(prefix))
    assert error.fact == f"role update, task '{TASK}' failed"
    assert error.cause == (
        "configuration files wait for a decision, since what they replace was changed in the layer:\n"
        "etc/tool/._cfg0000_rc\n"
        "etc/tool/._cfg0001_rc\n"
        "take each one over or delete it inside the layer, then run again"
    )
    assert prefix.files() == before


@pytest.mark.parametrize(("decision", "text"), [("new", "newest\n"), ("old", "changed in the layer\n")])
def test_a_decision_that_is_made_beforehand_is_carried_out(prefix: Bench, decision: str, text: str) -> None:
    undecided(prefix)
    other = variables(prefix, config_files=decision, config_directories=["etc/tool"])
    first, second = prefix.converge("update", other, other)
    assert (first.changed, second.changed) == ([TASK], [])
    assert first.results[1]["decided"] == ["etc/tool/rc"]
    assert {name: content for name, content in prefix.files().items() if name.startswith("etc/tool/")} == {"etc/tool/rc": text}


def test_files_in_other_directories_are_not_looked_at(prefix: Bench) -> None:
    undecided(prefix)
    (ran,) = prefix.converge("update", variables(prefix, config_directories=["etc/env.d", "no-such"]))
    assert ran.results[1]["decided"] == []


def test_check_mode_says_what_it_would_do_and_does_none_of_it(prefix: Bench) -> None:
    undecided(prefix)
    prefix.write("var/db/pkg/app-misc/-MERGING-half-1/CONTENTS", "")
    before = prefix.files()
    (ran,) = prefix.converge("update", variables(prefix, config_files="new"), check_mode=True)
    assert (ran.results[1]["removed"], ran.results[1]["decided"]) == (["app-misc/half-1"], ["etc/tool/rc"])
    assert prefix.files() == before


def test_env_updates_own_words_are_passed_on(prefix: Bench) -> None:
    broken = [sys.executable, "-c", "import sys; sys.exit('no profile is set')"]
    error = prefix.refusal("update", variables(prefix, env_update=broken))
    assert error.cause == "env-update ended with 1: no profile is set"


def test_a_decision_nobody_knows_is_refused(prefix: Bench) -> None:
    shutil.rmtree(prefix.prefix / "etc/env.d")
    error = prefix.refusal("update", variables(prefix, config_files="maybe"))
    assert error.cause == (
        "Validation of arguments failed:\nvalue of update_config_files must be one of: refuse, new, old, got: maybe"
    )
