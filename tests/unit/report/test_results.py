from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from compatlayer.binaries.choose import Choice, Refusal
from compatlayer.binaries.entry import Entry
from compatlayer.binaries.provide import Provision
from compatlayer.declaration.model import TARGETS, Part
from compatlayer.gentoo.packages import Closure, InstalledPackage, Inventory, Need, PackageId, Parent, ResolvedPackage
from compatlayer.install import Result
from compatlayer.plan import Plan, make_plan
from compatlayer.playbook import Outcome
from compatlayer.report.results import render
from tests.binary_values import key

LUA = PackageId("dev-lang", "lua", "5.4.6")
PLAN = make_plan(
    Closure((ResolvedPackage(LUA, "0", "0", "example", (), (), (Parent("@example", "dev-lang/lua", Need.RUNTIME),)),)),
    Inventory((InstalledPackage(PackageId("dev-lang", "old", "1"), "0", "0", "example", "8", (), (), None, None),)),
    [],
)


def result(plan: Plan, outcome: Outcome | None) -> Result:
    part = Part("example", "2026.11", TARGETS["linux-x86_64"], PurePosixPath("/cvmfs/example.org/compat"))
    return Result(part, plan, outcome, 1, 65.2, Path("/state/stages/a"), Path("/state/runs/1") if outcome else None)


def test_an_install_says_what_it_built_and_what_stays_though_nothing_needs_it() -> None:
    assert render(result(PLAN, Outcome())) == (
        "installed  dev-lang/lua 5.4.6\n"
        "kept, not needed  dev-lang/old 1\n"
        "2026.11/linux-x86_64: 1 package built, 1 package installed as declared (1:05)\n"
    )


def test_an_install_with_nothing_to_do_says_so() -> None:
    said = render(result(Plan(()), None))
    assert said == "2026.11/linux-x86_64: nothing to do, 1 package installed as declared (1:05)\n"


def test_json_of_an_install_has_its_actions_and_its_places() -> None:
    document = json.loads(render(result(PLAN, Outcome(changed_tasks=["role : task"])), "json"))
    assert document["skipped"] is False
    assert document["changed"] == ["role : task"]
    assert document["run"] == "/state/runs/1"
    assert [action["action"] for action in document["actions"]] == ["install", "keep"]


STORED = Entry(key("dev-lang/lua-5.4.6", "7" * 64), "a" * 64, 7)


def provided(choice: Choice, *, merged: bool) -> Result:
    outcome = Outcome(packages=[{"cpv": "dev-lang/lua-5.4.6", "binary": merged}])
    part = Part("example", "2026.11", TARGETS["linux-x86_64"], PurePosixPath("/cvmfs/example.org/compat"))
    provision = Provision([choice], [Refusal("", "there", "no index")], ["a/b-1"], {"a/c-1": "because"})
    return Result(part, PLAN, outcome, 1, 65.2, Path("/state/stages/a"), Path("/state/runs/1"), provision=provision)


def test_an_install_says_which_packages_came_from_where() -> None:
    taken = provided(Choice("dev-lang/lua-5.4.6", STORED, "bins", ""), merged=True)
    assert render(taken) == (
        "installed  dev-lang/lua 5.4.6\n"
        "           binary package from bins\n"
        "kept, not needed  dev-lang/old 1\n"
        "2026.11/linux-x86_64: 1 package from binary packages, 0 built, 1 package installed as declared (1:05)\n"
    )
    assert json.loads(render(taken, "json"))["binaries"] == {
        "packages": [
            {
                "package": "dev-lang/lua-5.4.6",
                "origin": "binary",
                "store": "bins",
                "key": "7" * 64,
                "tested": False,
                "because": None,
            }
        ],
        "refused": [{"package": None, "store": "there", "reason": "no index"}],
        "stored": ["a/b-1"],
        "not_stored": [{"package": "a/c-1", "reason": "because"}],
    }


def test_an_install_says_why_a_package_was_built() -> None:
    built = provided(Choice("dev-lang/lua-5.4.6", None, "", "none is stored"), merged=False)
    assert "           built: none is stored\n" in render(built)


def test_a_binary_package_that_portage_left_lying_is_not_said_to_be_merged() -> None:
    left = provided(Choice("dev-lang/lua-5.4.6", STORED, "bins", ""), merged=False)
    assert "           built: Portage did not take it\n" in render(left)
    (package,) = json.loads(render(left, "json"))["binaries"]["packages"]
    assert (package["origin"], package["store"]) == ("source", None)
