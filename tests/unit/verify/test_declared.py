from __future__ import annotations

from pathlib import Path

import pytest

from compatlayer.errors import Location
from compatlayer.findings import Finding, Severity
from compatlayer.gentoo.failures import Masked, MissingKeyword, NotAsAsked
from compatlayer.gentoo.packages import InstalledPackage, Inventory, Need, Parent
from compatlayer.plan import make_plan
from compatlayer.verify import declared as module
from compatlayer.verify.registry import Context, findings
from tests.package_values import closure, declared, installed, inventory, wanted

LUA = wanted(
    "dev-lang/lua-5.4.4",
    "5.4/5.4.4",
    use="readline",
    parents=(Parent("a/top-1", "dev-lang/lua:=", Need.RUNTIME),),
    compiled_in="modules=/a",
)
TOP = wanted("a/top-1")
CLOSURE = closure(LUA, TOP)
ENTRY = declared("a/top", line=7, reason="users start it")
GOOD_LUA = installed("dev-lang/lua-5.4.4", "5.4/5.4.4", use="readline", compiled_in="modules=/a")
GOOD_TOP = installed("a/top-1", depends="dev-lang/lua:5.4/5.4.4=")


def found(*packages: InstalledPackage) -> list[Finding]:
    return list(findings(Context(Path("/nowhere"), inventory(*packages), CLOSURE, (ENTRY,)), ["declared"]))


def test_a_prefix_as_declared_has_no_findings() -> None:
    assert found(GOOD_LUA, GOOD_TOP) == []


FAULTS = {
    "package-missing": (
        [GOOD_TOP],
        "dev-lang/lua-5.4.4: expected installed, found not installed (needed by a/top-1 (runtime))",
    ),
    "package-wrong-version": (
        [installed("dev-lang/lua-5.4.40", "5.4/5.4.4", use="readline"), GOOD_TOP],
        "dev-lang/lua-5.4.4: expected 5.4.4, found 5.4.40 (needed by a/top-1 (runtime))",
    ),
    "package-wrong-slot": (
        [installed("dev-lang/lua-5.4.4", "5.3/5", use="readline"), GOOD_TOP],
        "dev-lang/lua-5.4.4: expected slot 5.4/5.4.4, found 5.4.4 in slot 5.3/5 (needed by a/top-1 (runtime))",
    ),
    "package-wrong-repository": (
        [installed("dev-lang/lua-5.4.4", "5.4/5.4.4", use="readline", repository="gentoo"), GOOD_TOP],
        "dev-lang/lua-5.4.4: expected from ::tiny, found from ::gentoo (needed by a/top-1 (runtime))",
    ),
    "package-wrong-use": (
        [installed("dev-lang/lua-5.4.4", "5.4/5.4.4", iuse="readline"), GOOD_TOP],
        "dev-lang/lua-5.4.4: expected USE +readline, found USE without any flag (needed by a/top-1 (runtime))",
    ),
    "package-stale-dependency": (
        [GOOD_LUA, installed("a/top-1", depends="dev-lang/lua:5.4/5.4.3=")],
        "a/top-1: expected built against what is resolved, found built against dev-lang/lua:5.4/5.4.3 → 5.4/5.4.4 "
        "(declared in sets/tiny.yaml:7: users start it)",
    ),
    "package-wrong-setting": (
        [installed("dev-lang/lua-5.4.4", "5.4/5.4.4", use="readline", compiled_in="modules=/b"), GOOD_TOP],
        "dev-lang/lua-5.4.4: expected modules=/a, found modules=/b (needed by a/top-1 (runtime))",
    ),
    "package-extra": (
        [GOOD_LUA, GOOD_TOP, installed("a/extra-1")],
        "a/extra-1 is installed, but neither declared nor needed by anything that is",
    ),
}


@pytest.mark.parametrize("identifier", FAULTS)
def test_each_planted_fault_is_found_and_nothing_else(identifier: str) -> None:
    packages, description = FAULTS[identifier]
    (finding,) = found(*packages)
    assert finding.identifier == identifier
    assert finding.description == description
    assert finding.remedy
    assert finding.severity is (Severity.WARNING if identifier == "package-extra" else Severity.ERROR)


def test_every_verdict_and_kind_of_this_check_has_its_planted_fault() -> None:
    kinds = {value.identifier for value in vars(module).values() if isinstance(value, type) and issubclass(value, Finding)} - {""}
    elsewhere = {"package-from-host", *REFUSED}
    assert kinds == set(FAULTS) | elsewhere


ATOM = "=a/extra-1:0::tiny"
REFUSED = {
    "package-ebuild-gone": NotAsAsked(atom=ATOM, aspect="version"),
    "package-masked": Masked(atom=ATOM),
    "package-no-keyword": MissingKeyword(atom=ATOM),
}


@pytest.mark.parametrize("identifier", REFUSED)
def test_what_could_not_be_installed_today_is_found_by_its_reason(identifier: str) -> None:
    there = inventory(GOOD_LUA, GOOD_TOP, installed("a/extra-1"))
    context = Context(Path("/nowhere"), there, CLOSURE, (ENTRY,), refused={"a/extra-1": REFUSED[identifier]})
    (finding,) = [one for one in findings(context, ["declared"]) if one.identifier != "package-extra"]
    assert finding.identifier == identifier
    assert finding.description == f"a/extra-1 is installed, but {REFUSED[identifier].fact}"


def test_each_kind_explains_itself_at_length() -> None:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Finding) and value.identifier:
            summary, _, rest = value.explanation().partition("\n\n")
            assert summary.endswith("."), value
            assert len(rest) > 100, value


def test_a_declared_package_is_found_at_its_line() -> None:
    (finding,) = found(GOOD_LUA)
    assert finding.location == Location("sets/tiny.yaml", 7)


@pytest.mark.parametrize("identifier", FAULTS)
def test_verify_and_plan_agree(identifier: str) -> None:
    packages, _ = FAULTS[identifier]
    plan = make_plan(CLOSURE, inventory(*packages), [ENTRY])
    named = {finding.package for finding in found(*packages)}
    assert {action.comparison.package.id.cpv for action in plan} == named


def test_findings_come_in_version_order_whatever_the_build_order() -> None:
    context = Context(
        Path("/nowhere"),
        Inventory(),
        closure(wanted("b/b-1.10", "1"), wanted("b/b-1.9", "2"), wanted("a/z-1")),
    )
    assert [finding.package for finding in findings(context, ["declared"])] == ["a/z-1", "b/b-1.9", "b/b-1.10"]


def test_a_declared_package_that_the_host_provides_is_said_out_loud() -> None:
    context = Context(Path("/nowhere"), inventory(GOOD_LUA, GOOD_TOP), closure(LUA, TOP, provided=("sys-devel/gcc-12",)))
    assert list(findings(context, ["declared"])) == []
    entry = declared("sys-devel/gcc", line=9)
    context = Context(Path("/nowhere"), context.inventory, context.closure, (ENTRY, entry))
    (finding,) = findings(context, ["declared"])
    assert (finding.identifier, finding.location) == ("package-from-host", Location("sets/tiny.yaml", 9))
    assert finding.description == "sys-devel/gcc is declared, but left to the host (package.provided has sys-devel/gcc-12)"
