from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compatlayer.errors import UsageError
from compatlayer.findings import Finding
from compatlayer.gentoo.packages import Inventory
from compatlayer.verify import registry
from compatlayer.verify.registry import Check, Context, all_checks, check, findings, select
from tests.package_values import closure, wanted

BARE = Context(Path("/nowhere"), Inventory())


def test_every_module_of_the_package_is_registered_or_is_no_check() -> None:
    folder = Path(registry.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "registry"}
    assert modules == set(registry.MODULES)
    assert {one.run.__module__.rpartition(".")[2] for one in all_checks().values()} == modules


def test_a_check_is_listed_with_its_summary() -> None:
    assert all_checks()["declared"].summary == "What is declared is installed as resolved, and nothing else is."


def test_without_a_declaration_checks_that_need_one_are_left_out_and_named() -> None:
    selected = select(BARE)
    assert [one.name for one in selected.left_out] == ["declared"]
    assert "declared" not in [one.name for one in selected.run]
    assert list(findings(BARE, ["declared"])) == []


def test_with_a_declaration_nothing_is_left_out() -> None:
    assert select(Context(Path("/nowhere"), Inventory(), closure(wanted("a/b-1")))).left_out == ()


def test_an_unknown_check_is_a_usage_error_with_a_suggestion() -> None:
    with pytest.raises(UsageError) as caught:
        select(BARE, ["declare"])
    assert str(caught.value) == "there is no check named 'declare'\n  hint: did you mean 'declared'?"


def test_a_check_joins_by_its_decorator_and_no_other_may_take_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_checks", dict(registry._checks))

    @check("extra-one")
    def mine(context: Context) -> Iterator[Finding]:
        """Look at nothing."""
        yield Finding(package="a/b-1", expected="x", actual="y")

    assert isinstance(all_checks()["extra-one"], Check)
    assert [finding.description for finding in findings(BARE, ["extra-one"])] == ["a/b-1: expected x, found y"]

    def other(context: Context) -> Iterator[Finding]:
        yield from ()

    other.__module__ = "compatlayer.verify.elsewhere"
    with pytest.raises(ValueError, match="check 'extra-one' is already taken"):
        check("extra-one")(other)
