from __future__ import annotations

from compatlayer.gentoo.packages import Inventory, Need, Parent
from compatlayer.plan import Kind, make_plan
from tests.package_values import closure, declared, installed, inventory, wanted

LMOD = declared("sys-cluster/lmod", line=14, reason="users load software through environment modules")


def needs(cpv: str, need: Need = Need.RUNTIME) -> Parent:
    return Parent(cpv, "any/atom", need)


MAKE = wanted("dev-build/make-4.4", parents=(needs("dev-lang/lua-5.4.4", Need.BUILD),))
LUA = wanted(
    "dev-lang/lua-5.4.4", "5.4/5.4.4", use="deprecated", parents=(needs("dev-lua/luaposix-36"), needs("sys-cluster/lmod-8.7"))
)
POSIX = wanted("dev-lua/luaposix-36", parents=(needs("sys-cluster/lmod-8.7"),))
TOP = wanted("sys-cluster/lmod-8.7")
CLOSURE = closure(MAKE, LUA, POSIX, TOP)


def test_an_empty_prefix_gets_everything_in_build_order_each_with_its_reason() -> None:
    plan = make_plan(CLOSURE, Inventory(), [LMOD])
    assert [action.description for action in plan] == [
        "install dev-build/make 4.4: needed by dev-lang/lua-5.4.4 (build)",
        "install dev-lang/lua 5.4.4: needed by sys-cluster/lmod-8.7 (runtime) and 1 more",
        "install dev-lua/luaposix 36: needed by sys-cluster/lmod-8.7 (runtime)",
        "install sys-cluster/lmod 8.7: declared in sets/tiny.yaml:14: users load software through environment modules",
    ]
    assert plan.install_atoms == (
        "=dev-build/make-4.4:0::tiny",
        "=dev-lang/lua-5.4.4:5.4::tiny",
        "=dev-lua/luaposix-36:0::tiny",
        "=sys-cluster/lmod-8.7:0::tiny",
    )
    assert not plan.is_empty


def test_a_prefix_as_declared_needs_nothing() -> None:
    there = inventory(
        installed("dev-build/make-4.4"),
        installed("dev-lang/lua-5.4.4", "5.4/5.4.4", use="deprecated"),
        installed("dev-lua/luaposix-36", depends="dev-lang/lua:5.4/5.4.4="),
        installed("sys-cluster/lmod-8.7"),
    )
    plan = make_plan(CLOSURE, there, [LMOD])
    assert (plan.actions, plan.is_empty, plan.install_atoms) == ((), True, ())


def test_each_difference_is_told_old_to_new() -> None:
    there = inventory(
        installed("dev-build/make-4.5"),
        installed("dev-lang/lua-5.4.3", "5.4/5.4.3", use="readline", repository="gentoo"),
        installed("dev-lua/luaposix-36", depends="dev-lang/lua:5.4/5.4.3="),
        installed("sys-cluster/lmod-8.7", repository="gentoo"),
    )
    plan = make_plan(CLOSURE, there, [LMOD])
    assert [(action.kind, action.comparison.name, action.change) for action in plan] == [
        (Kind.DOWNGRADE, "dev-build/make", "4.5 → 4.4"),
        (Kind.UPGRADE, "dev-lang/lua", "5.4.3 → 5.4.4 ::gentoo → ::tiny +deprecated -readline"),
        (Kind.REBUILD, "dev-lua/luaposix", "36"),
        (Kind.REBUILD, "sys-cluster/lmod", "8.7 ::gentoo → ::tiny"),
    ]
    assert plan.actions[2].reason == (
        "built against dev-lang/lua:5.4/5.4.3 → 5.4/5.4.4; needed by sys-cluster/lmod-8.7 (runtime)"
    )


def test_flags_alone_are_a_rebuild() -> None:
    (action,) = make_plan(closure(LUA), inventory(installed("dev-lang/lua-5.4.4", "5.4/5.4.4", iuse="deprecated")), [])
    assert (action.kind, action.change) == (Kind.REBUILD, "5.4.4 +deprecated")


def test_a_changed_sub_slot_alone_is_a_rebuild() -> None:
    (action,) = make_plan(closure(LUA), inventory(installed("dev-lang/lua-5.4.4", "5.4/1", use="deprecated")), [])
    assert (action.kind, action.change) == (Kind.REBUILD, "5.4.4 slot 5.4/1 → 5.4/5.4.4")


def test_another_slot_is_an_install_that_says_so() -> None:
    install, keep = make_plan(closure(LUA), inventory(installed("dev-lang/lua-5.1.5", "5.1")), [])
    assert (install.kind, install.change) == (Kind.INSTALL, "5.4.4")
    assert install.reason.startswith("slot 5.1 is installed, slot 5.4 is wanted; needed by ")
    assert (keep.kind, keep.atom) == (Kind.KEEP, "=dev-lang/lua-5.1.5:5.1")


def test_what_nothing_needs_is_kept_unless_removing_is_asked_for() -> None:
    there = inventory(installed("app-misc/old-1"), installed("sys-cluster/lmod-8.7"))
    kept = make_plan(closure(TOP), there, [LMOD])
    assert [action.description for action in kept] == ["keep app-misc/old 1: neither declared nor needed by anything that is"]
    assert kept.is_empty
    assert kept.remove_atoms == ()
    removed = make_plan(closure(TOP), there, [LMOD], remove_unneeded=True)
    assert not removed.is_empty
    assert removed.remove_atoms == ("=app-misc/old-1:0",)
    assert removed.install_atoms == ()


def test_a_declared_atom_with_version_and_overlay_finds_its_line() -> None:
    entry = declared("sys-cluster/lmod", version="8.7", overlay="tiny", line=3, reason="pinned")
    top = wanted("sys-cluster/lmod-8.7", parents=(Parent("@tiny", "=sys-cluster/lmod-8.7::tiny", Need.RUNTIME),))
    (action,) = make_plan(closure(top), Inventory(), [declared("other/one"), entry])
    assert action.reason == "declared in sets/tiny.yaml:3: pinned"


def test_a_runtime_need_is_named_before_a_build_need() -> None:
    zlib = wanted("sys-libs/zlib-1", parents=(needs("a/a-1", Need.BUILD), needs("b/b-1", Need.POST), needs("c/c-1")))
    (action,) = make_plan(closure(zlib), Inventory(), [])
    assert action.reason == "needed by c/c-1 (runtime) and 2 more"


def test_a_set_is_named_where_the_line_is_not_known() -> None:
    (action,) = make_plan(closure(TOP), Inventory(), [])
    assert action.reason == "declared in @tiny"
