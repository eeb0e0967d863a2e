"""Real Portage resolves tiny repositories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from compatlayer.gentoo import inventory
from compatlayer.gentoo.client import Worker
from compatlayer.gentoo.failures import ResolutionError
from compatlayer.gentoo.packages import Closure, Need, Parent
from compatlayer.plan import make_plan
from tests.ebuild_repository import INSTALL, TinyRepository, write_root

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as started:
        yield started


@pytest.fixture
def tree(tmp_path: Path) -> TinyRepository:
    """Lmod and what it needs, with an architecture that leaves one package out."""
    tree = TinyRepository(tmp_path / "tiny")
    tree.ebuild("dev-build/make-4.4")
    tree.ebuild("dev-lang/lua-5.4.4", slot="5.4/5.4.4", iuse="+deprecated readline", bdepend="dev-build/make")
    tree.ebuild("dev-lang/lua-5.4.6", slot="5.4/5.4.6", keywords="~amd64")
    tree.ebuild("dev-lua/luaposix-36", depend="dev-lang/lua:=", rdepend="dev-lang/lua:=")
    tree.ebuild(
        "sys-cluster/lmod-8.7",
        iuse="bash-only",
        rdepend="dev-lua/luaposix !bash-only? ( app-shells/tcsh )",
        pdepend="app-misc/post",
        restrict="mirror bash-only? ( test )",
    )
    tree.ebuild("app-shells/tcsh-6", keywords="amd64 arm64")
    tree.ebuild("app-misc/post-1", licenses="|| ( MIT closed )")
    return tree


def cpvs(closure: Closure) -> list[str]:
    return [package.id.cpv for package in closure]


def package(closure: Closure, name: str):
    return next(each for each in closure if each.id.cp == name)


def test_a_closure_holds_all_dependencies_in_build_order_with_the_reasons(
    worker: Worker, tree: TinyRepository, tmp_path: Path
) -> None:
    closure = worker.closure(write_root(tmp_path / "root", [tree]), {"tiny": ["sys-cluster/lmod"]})
    order = cpvs(closure)
    assert set(order) == {
        "app-misc/post-1",
        "app-shells/tcsh-6",
        "dev-build/make-4.4",
        "dev-lang/lua-5.4.4",
        "dev-lua/luaposix-36",
        "sys-cluster/lmod-8.7",
    }
    position = order.index
    assert position("dev-build/make-4.4") < position("dev-lang/lua-5.4.4") < position("dev-lua/luaposix-36")
    assert position("dev-lua/luaposix-36") < position("sys-cluster/lmod-8.7")
    lua = package(closure, "dev-lang/lua")
    assert (lua.slot, lua.subslot, lua.repository) == ("5.4", "5.4.4", "tiny")
    assert (lua.use, lua.iuse) == (("deprecated",), ("deprecated", "readline"))
    assert lua.parents == (Parent("dev-lua/luaposix-36", "dev-lang/lua:=", Need.RUNTIME),)
    assert package(closure, "dev-build/make").parents == (Parent("dev-lang/lua-5.4.4", "dev-build/make", Need.BUILD),)
    assert package(closure, "app-misc/post").parents == (Parent("sys-cluster/lmod-8.7", "app-misc/post", Need.POST),)
    lmod = package(closure, "sys-cluster/lmod")
    assert lmod.parents == (Parent("@tiny", "sys-cluster/lmod", Need.RUNTIME),)
    assert lmod.restrict == ("mirror",)
    assert package(closure, "app-misc/post").license == "|| ( MIT closed )"
    assert all(each.parents for each in closure)


def test_the_configuration_of_a_root_decides_flags_keywords_and_dependencies(
    worker: Worker, tree: TinyRepository, tmp_path: Path
) -> None:
    root = write_root(
        tmp_path / "root",
        [tree],
        files={
            "package.use": "sys-cluster/lmod bash-only\ndev-lang/lua readline -deprecated\n",
            "package.accept_keywords": "dev-lang/lua ~amd64\n",
        },
    )
    closure = worker.closure(root, ["sys-cluster/lmod"])
    assert "app-shells/tcsh-6" not in cpvs(closure)
    assert package(closure, "dev-lang/lua").id.version == "5.4.6"
    assert package(closure, "sys-cluster/lmod").restrict == ("mirror", "test")
    root = write_root(tmp_path / "other", [tree], files={"package.use": "dev-lang/lua readline -deprecated\n"})
    assert package(worker.closure(root, ["dev-lang/lua"]), "dev-lang/lua").use == ("readline",)


def test_one_worker_resolves_two_architectures_in_turn(worker: Worker, tree: TinyRepository, tmp_path: Path) -> None:
    tree.ebuild("app-misc/post-2", keywords="arm64")
    intel = write_root(tmp_path / "amd64", [tree], arch="amd64")
    arm = write_root(tmp_path / "arm64", [tree], arch="arm64")
    for _ in range(2):
        assert package(worker.closure(intel, ["sys-cluster/lmod"]), "app-misc/post").id.version == "1"
        assert package(worker.closure(arm, ["sys-cluster/lmod"]), "app-misc/post").id.version == "2"


def test_a_changed_tree_is_seen_by_the_same_worker(worker: Worker, tree: TinyRepository, tmp_path: Path) -> None:
    root = write_root(tmp_path / "root", [tree])
    assert package(worker.closure(root, ["dev-build/make"]), "dev-build/make").id.version == "4.4"
    tree.ebuild("dev-build/make-4.10")
    assert package(worker.closure(root, ["dev-build/make"]), "dev-build/make").id.version == "4.10"
    tree.remove("dev-build/make-4.10")
    assert package(worker.closure(root, ["dev-build/make"]), "dev-build/make").id.version == "4.4"


def test_an_overlay_wins_and_an_atom_can_choose_the_other(worker: Worker, tree: TinyRepository, tmp_path: Path) -> None:
    overlay = TinyRepository(tmp_path / "over", name="over", masters=("tiny",))
    overlay.ebuild("dev-build/make-4.4")
    root = write_root(tmp_path / "root", [tree, overlay])
    assert package(worker.closure(root, ["dev-build/make"]), "dev-build/make").repository == "over"
    assert package(worker.closure(root, ["dev-build/make::tiny"]), "dev-build/make").repository == "tiny"


def test_what_the_host_provides_is_not_built_but_told(worker: Worker, tree: TinyRepository, tmp_path: Path) -> None:
    root = write_root(tmp_path / "root", [tree], files={"profile/package.provided": "dev-build/make-4.3\nsys-devel/gcc-12\n"})
    closure = worker.closure(root, ["dev-lang/lua"])
    assert cpvs(closure) == ["dev-lang/lua-5.4.4"]
    assert closure.provided == ("dev-build/make-4.3",)
    declared = worker.closure(root, ["sys-devel/gcc", "app-misc/post"])
    assert cpvs(declared) == ["app-misc/post-1"]
    assert declared.provided == ("sys-devel/gcc-12",)


def test_several_sets_are_told_apart(worker: Worker, tree: TinyRepository, tmp_path: Path) -> None:
    root = write_root(tmp_path / "root", [tree])
    closure = worker.closure(root, {"one": ["dev-build/make"], "two": ["dev-build/make", "app-misc/post"]})
    assert [parent.cpv for parent in package(closure, "dev-build/make").parents] == ["@one", "@two"]
    assert [parent.cpv for parent in package(closure, "app-misc/post").parents] == ["@two"]


def test_the_same_question_has_the_same_answer(worker: Worker, tree: TinyRepository, tmp_path: Path) -> None:
    root = write_root(tmp_path / "root", [tree])
    first = worker.closure(root, ["sys-cluster/lmod"])
    with Worker() as another:
        assert another.closure(root, ["sys-cluster/lmod"]) == first
    assert worker.closure(root, ["sys-cluster/lmod"]) == first


def test_resolving_writes_nothing_outside_its_root(worker: Worker, tree: TinyRepository, tmp_path: Path) -> None:
    root = write_root(tmp_path / "root", [tree])
    before = {path: path.stat().st_mtime_ns for path in tree.path.rglob("*")}
    worker.closure(root, ["sys-cluster/lmod"])
    assert {path: path.stat().st_mtime_ns for path in tree.path.rglob("*")} == before
    assert sorted(os.listdir(tmp_path)) == ["root", "tiny"]


def test_odd_characters_in_paths_and_descriptions_survive(worker: Worker, tmp_path: Path) -> None:
    tree = TinyRepository(tmp_path / "grün ☃" / "tiny")
    tree.ebuild("app-misc/post-1")
    assert cpvs(worker.closure(write_root(tmp_path / "wurzel ☃", [tree]), ["app-misc/post"])) == ["app-misc/post-1"]


def test_without_a_cache_portage_sources_the_ebuild(worker: Worker, tmp_path: Path) -> None:
    tree = TinyRepository(tmp_path / "tiny")
    tree.ebuild("app-misc/cold-1", iuse="+warm", cache=False)
    closure = worker.closure(write_root(tmp_path / "root", [tree]), ["app-misc/cold"])
    assert package(closure, "app-misc/cold").use == ("warm",)


def test_from_declaration_to_plan(worker: Worker, tree: TinyRepository, tmp_path: Path) -> None:
    root = write_root(tmp_path / "root", [tree])
    plan = make_plan(worker.closure(root, ["dev-lang/lua"]), inventory.read(root), [])
    assert plan.install_atoms == ("=dev-build/make-4.4:0::tiny", "=dev-lang/lua-5.4.4:5.4::tiny")


def test_a_system_set_belongs_to_the_closure_even_where_it_needs_itself(
    worker: Worker, tree: TinyRepository, tmp_path: Path
) -> None:
    tree.write("profiles/amd64/packages", "*sys-libs/libc\n")
    tree.ebuild("sys-libs/libc-2", bdepend="sys-devel/compiler")
    tree.ebuild("sys-devel/compiler-1", depend="sys-libs/libc")
    tree.ebuild("app-misc/alone-1", bdepend="sys-devel/compiler")
    root = write_root(tmp_path / "root", [tree])
    closure = worker.closure(root, {"tiny": ["app-misc/alone"]}, system=True)
    assert cpvs(closure)[-1] == "app-misc/alone-1", "what stands outside of the circle comes behind it"
    assert set(cpvs(closure)) == {"sys-libs/libc-2", "sys-devel/compiler-1", "app-misc/alone-1"}
    assert Parent("@system", "sys-libs/libc", Need.RUNTIME) in package(closure, "sys-libs/libc").parents
    with pytest.raises(ResolutionError):
        worker.closure(root, {"tiny": ["app-misc/alone"]})
    tree.ebuild("app-misc/lost-1", rdepend="app-misc/nowhere")
    with pytest.raises(ResolutionError):
        worker.closure(root, {"tiny": ["app-misc/lost"]}, system=True)


@pytest.mark.parametrize(
    ("phases", "files", "profile_bashrc", "has_code"),
    [
        pytest.param("", {}, False, False, id="none"),
        pytest.param("pkg_pretend() { :; }\nsrc_test() { :; }\n", {}, False, False, id="phases of a build"),
        *(
            pytest.param(f"pkg_{phase}() {{ :; }}\n", {}, False, True, id=phase)
            for phase in ("setup", "preinst", "postinst", "prerm", "postrm")
        ),
        pytest.param("", {"bashrc": "pre_pkg_postinst() { :; }\n"}, False, True, id="a site's bashrc"),
        pytest.param("", {"env/app-misc/one": "pre_pkg_postinst() { :; }\n"}, False, True, id="a site's env file"),
        pytest.param("", {"profile/use.force": ""}, False, False, id="a site's profile"),
        pytest.param(
            "",
            {"profile/package.bashrc": "app-misc/one one.sh\n", "profile/bashrc/one.sh": "pre_pkg_postinst() { :; }\n"},
            False,
            True,
            id="a site's bashrc for a package",
        ),
        pytest.param("", {}, True, True, id="a profile's bashrc"),
    ],
)
def test_which_packages_run_code_when_they_are_merged(
    worker: Worker, tmp_path: Path, phases: str, files: dict[str, str], profile_bashrc: bool, has_code: bool
) -> None:
    tree = TinyRepository(tmp_path / "tiny")
    tree.ebuild("app-misc/one-1", phases=INSTALL + phases)
    if profile_bashrc:
        tree.write("profiles/amd64/profile.bashrc", "pre_pkg_postinst() { :; }\n")
    (found,) = worker.closure(write_root(tmp_path / "root", [tree], files=files), {"tiny": ["app-misc/one"]})
    assert found.merge_code is has_code
