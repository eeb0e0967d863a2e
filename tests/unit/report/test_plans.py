from __future__ import annotations

import json

from compatlayer.declaration.model import DeclaredPackage
from compatlayer.errors import Location
from compatlayer.gentoo.packages import Closure, InstalledPackage, Inventory, Need, PackageId, Parent, ResolvedPackage
from compatlayer.plan import Plan, make_plan
from compatlayer.report.plans import render
from compatlayer.report.text import Paint


def wanted(name: str, version: str, parent: Parent, *, use: tuple[str, ...] = ()) -> ResolvedPackage:
    return ResolvedPackage(PackageId("dev-lang", name, version), "0", "0", "example", use, ("x",), (parent,))


def installed(name: str, version: str) -> InstalledPackage:
    return InstalledPackage(PackageId("dev-lang", name, version), "0", "0", "example", "8", (), ("x",), None, None)


DECLARED = DeclaredPackage("dev-lang/lua", None, None, (), (), "Lmod | is written in it", Location("sets/a.yaml", 4))
PLAN = make_plan(
    Closure(
        (
            wanted("readline", "8.2", Parent("dev-lang/lua-5.4.6", "dev-lang/readline", Need.RUNTIME)),
            wanted("lua", "5.4.6", Parent("@example", "dev-lang/lua", Need.RUNTIME)),
        )
    ),
    Inventory((installed("lua", "5.4.4"), installed("old", "1"))),
    [DECLARED],
)


def test_text_says_what_is_done_and_why_and_sums_up() -> None:
    assert render(PLAN) == (
        "install    dev-lang/readline 8.2\n"
        "           needed by dev-lang/lua-5.4.6 (runtime)\n"
        "upgrade    dev-lang/lua 5.4.4 → 5.4.6\n"
        "           declared in sets/a.yaml:4: Lmod | is written in it\n"
        "keep       dev-lang/old 1\n"
        "           neither declared nor needed by anything that is\n"
        "1 package to install, 1 to upgrade, 1 no longer needed, kept\n"
    )


def test_colour_changes_nothing_but_colour() -> None:
    coloured = render(PLAN, paint=Paint(colour=True))
    for code in ("\x1b[32m", "\x1b[33m", "\x1b[2m", "\x1b[0m"):
        assert code in coloured
        coloured = coloured.replace(code, "")
    assert coloured == render(PLAN)


def test_json_names_both_sides_and_the_verdict() -> None:
    document = json.loads(render(PLAN, "json"))
    assert document["summary"] == {"install": 1, "upgrade": 1, "downgrade": 0, "rebuild": 0, "remove": 0, "keep": 1}
    assert document["actions"][1] == {
        "action": "upgrade",
        "package": "dev-lang/lua",
        "atom": "=dev-lang/lua-5.4.6:0::example",
        "change": "5.4.4 → 5.4.6",
        "reason": "declared in sets/a.yaml:4: Lmod | is written in it",
        "verdict": "wrong version",
        "wanted": "dev-lang/lua-5.4.6",
        "installed": "dev-lang/lua-5.4.4",
    }


def test_a_reason_cannot_break_the_markdown_table() -> None:
    line = render(PLAN, "markdown").splitlines()[5]
    assert line == r"| upgrade | dev-lang/lua | 5.4.4 → 5.4.6 | declared in sets/a.yaml:4: Lmod \| is written in it |"


def test_an_empty_plan_says_that_there_is_nothing_to_do() -> None:
    assert render(Plan(())) == "nothing to do\n"
    kept = make_plan(Closure(()), Inventory((installed("old", "1"),)), [])
    assert render(kept).splitlines()[-1] == "nothing to do; 1 package no longer needed, kept"
