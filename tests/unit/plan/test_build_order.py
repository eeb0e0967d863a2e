from __future__ import annotations

from compatlayer.converge.record import longest_chains_first
from compatlayer.gentoo.packages import Closure, Need, Parent
from tests.package_values import closure, declares, wanted


def order(found: Closure) -> list[str]:
    return [package.id.name for package in longest_chains_first(found)]


def needed_by(*cpvs: str, need: Need = Need.RUNTIME) -> tuple[Parent, ...]:
    return tuple(Parent(cpv, "an/atom", need) for cpv in cpvs)


def test_what_most_packages_wait_for_one_after_the_other_comes_first() -> None:
    found = closure(
        wanted("a/alone-1"),
        wanted("a/wide-1", parents=needed_by("a/x-1", "a/y-1")),
        wanted("a/x-1"),
        wanted("a/y-1"),
        wanted("a/ncurses-1", parents=(declares("a/ncurses-1"), *needed_by("a/readline-1", need=Need.BUILD))),
        wanted("a/readline-1", parents=needed_by("a/bash-1")),
        wanted("a/bash-1"),
    )
    assert order(found) == ["ncurses", "wide", "readline", "alone", "x", "y", "bash"]


def test_what_is_needed_only_afterwards_does_not_wait() -> None:
    found = closure(wanted("a/first-1"), wanted("a/late-1", parents=needed_by("a/first-1", need=Need.POST)))
    assert order(found) == ["first", "late"]


def test_packages_that_need_each_other_stay_in_portages_order() -> None:
    found = closure(
        wanted("a/egg-1", parents=needed_by("a/hen-1")),
        wanted("a/hen-1", parents=needed_by("a/egg-1", "a/farm-1")),
        wanted("a/farm-1"),
    )
    assert order(found) == ["egg", "hen", "farm"]
