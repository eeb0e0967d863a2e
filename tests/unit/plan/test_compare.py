from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compatlayer.gentoo.packages import Closure, InstalledPackage, Inventory, ResolvedPackage
from compatlayer.plan import Comparison, Verdict, compare, make_plan
from tests.package_values import closure, installed, inventory, wanted

LUA = "dev-lang/lua-5.4.4"


def one(want: ResolvedPackage, have: InstalledPackage, *others: ResolvedPackage) -> Comparison:
    return next(found for found in compare(closure(want, *others), inventory(have)) if found.wanted is want)


def test_a_package_as_resolved_is_present() -> None:
    want = wanted(LUA, "5.4/5.4.4", use="a b", iuse="a b c")
    assert one(want, installed(LUA, "5.4/5.4.4", use="b a", iuse="a b c")).verdict is Verdict.PRESENT


def test_a_package_that_is_not_there_is_missing() -> None:
    (found,) = compare(closure(wanted(LUA)), Inventory())
    assert (found.verdict, found.installed, found.name) == (Verdict.MISSING, None, "dev-lang/lua")


@pytest.mark.parametrize("version", ["5.4.3", "5.4.40", "5.4.4-r1", "5.4.4_rc1"])
def test_another_version_in_the_slot_is_the_wrong_version(version: str) -> None:
    assert one(wanted(LUA), installed(f"dev-lang/lua-{version}")).verdict is Verdict.WRONG_VERSION


def test_a_version_that_is_only_spelled_otherwise_is_present() -> None:
    assert one(wanted("a/b-1"), installed("a/b-1-r0")).verdict is Verdict.PRESENT


def test_another_sub_slot_is_the_wrong_slot() -> None:
    assert one(wanted(LUA, "5.4/2"), installed(LUA, "5.4/1")).verdict is Verdict.WRONG_SLOT


def test_the_same_version_in_another_slot_is_the_wrong_slot_and_not_an_extra_one() -> None:
    (found,) = compare(closure(wanted(LUA, "5.4")), inventory(installed(LUA, "0")))
    assert found.verdict is Verdict.WRONG_SLOT


def test_another_version_in_another_slot_is_the_wrong_slot_and_unneeded_by_itself() -> None:
    first, second = compare(closure(wanted(LUA, "5.4")), inventory(installed("dev-lang/lua-5.1.5", "5.1")))
    assert (first.verdict, second.verdict) == (Verdict.WRONG_SLOT, Verdict.UNNEEDED)


def test_a_second_slot_that_is_wanted_as_well_does_not_stand_for_the_first() -> None:
    old, new = wanted("dev-lang/lua-5.1.5", "5.1"), wanted(LUA, "5.4")
    found = compare(closure(old, new), inventory(installed("dev-lang/lua-5.1.5", "5.1")))
    assert [each.verdict for each in found] == [Verdict.PRESENT, Verdict.MISSING]


def test_another_repository_is_the_wrong_repository() -> None:
    assert one(wanted(LUA), installed(LUA, repository="gentoo")).verdict is Verdict.WRONG_REPOSITORY


def test_other_flags_are_wrong_use_and_listed_with_their_sign() -> None:
    found = one(wanted(LUA, use="a c", iuse="a b c"), installed(LUA, use="a b", iuse="a b c"))
    assert found.verdict is Verdict.WRONG_USE
    assert found.use_changes == ("+c", "-b")


def test_a_flag_that_came_or_went_switched_off_needs_no_rebuild() -> None:
    assert one(wanted(LUA, use="a", iuse="a new"), installed(LUA, use="a", iuse="a old")).verdict is Verdict.PRESENT


@pytest.mark.parametrize(
    "depends",
    [
        "dev-lang/lua:5.4/5.4.3=",
        ">=dev-lang/lua-5.1:5.4/5.4.3=[deprecated]",
        "app-misc/x dev-lang/lua:5.4/5.4.3=::tiny",
        "~dev-lang/lua-5.4.3:5.4/5.4.3=",
    ],
)
def test_a_package_built_against_another_sub_slot_is_to_be_rebuilt(depends: str) -> None:
    found = one(wanted("a/b-1"), installed("a/b-1", depends=depends), wanted(LUA, "5.4/5.4.4"))
    assert found.verdict is Verdict.REBUILD
    assert found.rebuild_for == ("dev-lang/lua:5.4/5.4.3 → 5.4/5.4.4",)


@pytest.mark.parametrize(
    "depends", ["dev-lang/lua:5.4/5.4.4=", "dev-lang/lua:5.4=", "dev-lang/lua:=", "host/libc:0/2=", "!dev-lang/lua:5.4/5.4.3"]
)
def test_a_package_built_against_what_is_resolved_or_provided_is_present(depends: str) -> None:
    assert one(wanted("a/b-1"), installed("a/b-1", depends=depends), wanted(LUA, "5.4/5.4.4")).verdict is Verdict.PRESENT


def test_a_package_with_another_setting_compiled_in_is_to_be_rebuilt() -> None:
    now = wanted("sys-libs/glibc-2", compiled_in="trusted_dirs=/b")
    found = one(now, installed("sys-libs/glibc-2", compiled_in="trusted_dirs=/a"))
    assert found.verdict is Verdict.WRONG_SETTING
    assert one(now, installed("sys-libs/glibc-2")).verdict is Verdict.WRONG_SETTING
    assert one(now, installed("sys-libs/glibc-2", compiled_in="trusted_dirs=/b")).verdict is Verdict.PRESENT


def test_what_is_compiled_in_is_of_no_interest_where_nothing_is_wanted() -> None:
    assert one(wanted("a/b-1"), installed("a/b-1", compiled_in="trusted_dirs=/a")).verdict is Verdict.PRESENT


def test_a_dependency_whose_slot_went_away_is_a_rebuild() -> None:
    found = one(wanted("a/b-1"), installed("a/b-1", depends="dev-lang/lua:5.1/5.1="), wanted(LUA, "5.4/5.4.4"))
    assert found.rebuild_for == ("dev-lang/lua:5.1/5.1 → 5.4/5.4.4",)


def test_one_of_two_slots_is_enough_to_stay_as_built() -> None:
    lua51 = wanted("dev-lang/lua-5.1.5", "5.1/5.1")
    found = one(wanted("a/b-1"), installed("a/b-1", depends="dev-lang/lua:5.1/5.1="), wanted(LUA, "5.4/5.4.4"), lua51)
    assert found.verdict is Verdict.PRESENT


def test_the_version_is_named_before_flags_and_repository() -> None:
    found = one(wanted(LUA, use="a"), installed("dev-lang/lua-5.4.3", repository="other"))
    assert found.verdict is Verdict.WRONG_VERSION
    assert found.use_changes == ("+a",)


def test_what_nothing_wants_is_unneeded_and_comes_last() -> None:
    found = compare(closure(wanted("z/z-1")), inventory(installed("a/a-1"), installed("z/z-1")))
    assert [(each.name, each.verdict) for each in found] == [("z/z", Verdict.PRESENT), ("a/a", Verdict.UNNEEDED)]


cpvs = st.builds("{}/{}-{}".format, st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from(["1", "1.20", "1.2", "2-r1"]))
slots = st.sampled_from(["0", "0/1", "1"])
uses = st.sampled_from(["", "f", "f g"])


def possible(packages: list) -> list:
    """No two in one slot, and no version twice: var/db/pkg has one directory for each version."""
    by_key = {package.key: package for package in packages}
    return list({package.id: package for package in by_key.values()}.values())


@given(
    st.lists(st.builds(lambda cpv, slot, use: wanted(cpv, slot, use=use), cpvs, slots, uses)).map(possible),
    st.lists(st.builds(lambda cpv, slot, use: installed(cpv, slot, use=use), cpvs, slots, uses)).map(possible),
)
def test_carrying_out_the_plan_leaves_nothing_but_unneeded_packages(
    wants: list[ResolvedPackage], have: list[InstalledPackage]
) -> None:
    resolved = Closure(tuple(wants))
    plan = make_plan(resolved, inventory(*have), [])
    after = {package.key: package for package in have}
    for action in plan:
        if action.kind.builds:
            package = action.comparison.wanted
            assert package is not None
            # Portage replaces what has the same slot, and the very same version wherever it is.
            after = {key: there for key, there in after.items() if there.id != package.id}
            after[package.key] = installed(package.id.cpv, f"{package.slot}/{package.subslot}", use=" ".join(package.use))
    again = compare(resolved, inventory(*after.values()))
    assert {found.verdict for found in again} <= {Verdict.PRESENT, Verdict.UNNEEDED}
    assert make_plan(resolved, inventory(*after.values()), []).is_empty


@given(st.lists(st.builds(wanted, cpvs, slots)).map(possible), st.lists(st.builds(installed, cpvs, slots)).map(possible))
def test_every_package_of_both_sides_is_judged(wants: list[ResolvedPackage], have: list[InstalledPackage]) -> None:
    found = compare(Closure(tuple(wants)), inventory(*have))
    assert [each.wanted for each in found if each.wanted] == wants
    judged = {each.installed.key for each in found if each.installed}
    assert judged == {package.key for package in have} | judged
    assert all((each.wanted or each.installed) is not None for each in found)
