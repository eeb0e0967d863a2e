"""Everything that real Portage refuses, with the exact words in which we pass it on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from compatlayer.gentoo.client import Worker
from compatlayer.gentoo.failures import (
    Blocked,
    Circular,
    Failure,
    LicenseNotAccepted,
    Masked,
    MissingKeyword,
    NoSuchPackage,
    NotAsAsked,
    RequiredUseViolated,
    ResolutionError,
    SlotConflict,
    Unusable,
    UseRequired,
)
from tests.ebuild_repository import TinyRepository, write_root

pytestmark = pytest.mark.integration


class Place:
    """A repository, a root, and a worker to ask."""

    def __init__(self, directory: Path, worker: Worker) -> None:
        self.tree = TinyRepository(directory / "tiny")
        self.root = directory / "root"
        self._worker = worker

    def refuse(self, atoms: Sequence[str], **root: object) -> ResolutionError:
        write_root(self.root, [self.tree], **root)  # type: ignore[arg-type]
        with pytest.raises(ResolutionError) as caught:
            self._worker.closure(self.root, {"tiny": atoms})
        return caught.value

    def refuse_one(self, atom: str, kind: type[Failure], **root: object) -> str:
        error = self.refuse([atom], **root)
        assert [type(failure) for failure in error.failures] == [kind]
        return str(error)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as started:
        yield started


@pytest.fixture
def place(tmp_path: Path, worker: Worker) -> Place:
    return Place(tmp_path, worker)


def test_no_such_package(place: Place) -> None:
    place.tree.ebuild("sys-cluster/lmod-8.7")
    assert place.refuse_one("sys-cluster/lmodd", NoSuchPackage) == (
        "no ebuild repository has a package for sys-cluster/lmodd\n  declared in @tiny\n  hint: did you mean sys-cluster/lmod?"
    )


def test_no_such_package_deep_down_comes_with_the_chain(place: Place) -> None:
    place.tree.ebuild("app-misc/middle-1", depend=">=dev-libs/nowhere-2")
    place.tree.ebuild("app-misc/top-1", rdepend="app-misc/middle")
    assert place.refuse_one("app-misc/top", NoSuchPackage) == (
        "no ebuild repository has a package for >=dev-libs/nowhere-2\n"
        "  required by app-misc/middle-1 (>=dev-libs/nowhere-2)\n"
        "  required by app-misc/top-1 (app-misc/middle)\n"
        "  declared in @tiny\n"
        "  hint: check the name, or add the overlay that has it"
    )


def test_no_such_version(place: Place) -> None:
    place.tree.ebuild("dev-lang/lua-5.4.10", slot="5.4")
    place.tree.ebuild("dev-lang/lua-5.4.9", slot="5.4")
    assert place.refuse_one("=dev-lang/lua-5.4.1", NotAsAsked) == (
        "no ebuild matches =dev-lang/lua-5.4.1: the package exists, but not in that version\n"
        "  there are dev-lang/lua-5.4.9:5.4::tiny, dev-lang/lua-5.4.10:5.4::tiny\n"
        "  declared in @tiny\n"
        "  hint: name a version that exists"
    )


def test_no_such_slot(place: Place) -> None:
    place.tree.ebuild("dev-lang/lua-5.4.4", slot="5.4")
    assert place.refuse_one("dev-lang/lua:5.1", NotAsAsked).startswith(
        "no ebuild matches dev-lang/lua:5.1: the package exists, but not in that slot\n  there are dev-lang/lua-5.4.4:5.4::tiny\n"
    )


def test_no_such_repository(place: Place) -> None:
    place.tree.ebuild("dev-lang/lua-5.4.4", slot="5.4")
    assert place.refuse_one("dev-lang/lua::other", NotAsAsked).startswith(
        "no ebuild matches dev-lang/lua::other: the package exists, but not in that repository\n"
    )


def test_masked_with_the_masks_comment_file_and_line(place: Place) -> None:
    place.tree.ebuild("app-misc/broken-1")
    place.tree.ebuild("app-misc/top-1", rdepend="app-misc/broken")
    mask = place.tree.mask("# Of another\nother/one\n\n# Eats data.\n# Goes in January.\n<app-misc/broken-2\n")
    assert place.refuse_one("app-misc/top", Masked) == (
        "every ebuild for app-misc/broken is masked\n"
        f"  app-misc/broken-1:0::tiny: masked by {mask}:6: Eats data.\n"
        "  Goes in January.\n"
        "  required by app-misc/top-1 (app-misc/broken)\n"
        "  declared in @tiny\n"
        "  hint: name another version, or unmask it in config/common/ (or config/<target>/) package.unmask "
        "once the mask's reason does not apply"
    )


def test_masked_by_the_layers_own_configuration(place: Place) -> None:
    place.tree.ebuild("app-misc/broken-1")
    text = place.refuse_one("app-misc/broken", Masked, files={"package.mask": "app-misc/broken\n"})
    assert f"masked by {place.root}/etc/portage/package.mask:1: without a comment" in text


def test_missing_keyword(place: Place) -> None:
    place.tree.ebuild("sys-fabric/opa-1", keywords="amd64 ~ppc64")
    assert place.refuse_one("sys-fabric/opa", MissingKeyword, arch="arm64") == (
        "no ebuild for sys-fabric/opa has a keyword for arm64\n"
        "  sys-fabric/opa-1:0::tiny: no keyword for arm64 (it has amd64 ~ppc64)\n"
        "  declared in @tiny\n"
        "  hint: accept the keyword it has in config/common/ (or config/<target>/) package.accept_keywords, "
        "or leave the target out with exclude_on"
    )


def test_a_package_without_any_keyword(place: Place) -> None:
    place.tree.ebuild("app-misc/live-9999", keywords="")
    assert "no keyword for amd64 (it has none at all)" in place.refuse_one("app-misc/live", MissingKeyword)


def test_license_not_accepted(place: Place) -> None:
    place.tree.ebuild("app-misc/secret-1", licenses="closed")
    assert place.refuse_one("app-misc/secret", LicenseNotAccepted) == (
        "no ebuild for app-misc/secret has an accepted licence\n"
        "  app-misc/secret-1:0::tiny: licence not accepted: closed\n"
        "  declared in @tiny\n"
        "  hint: accept the licence in config/common/ (or config/<target>/) package.license"
    )


def test_a_use_flag_that_a_dependency_asks_for(place: Place) -> None:
    place.tree.ebuild("dev-lang/lua-5.4.4", iuse="+deprecated readline")
    place.tree.ebuild("app-misc/top-1", rdepend="dev-lang/lua[readline,-deprecated]")
    assert place.refuse_one("app-misc/top", UseRequired) == (
        "dev-lang/lua[readline,-deprecated] needs other USE flags of dev-lang/lua-5.4.4: +readline -deprecated\n"
        "  required by app-misc/top-1 (dev-lang/lua[readline,-deprecated])\n"
        "  declared in @tiny\n"
        "  hint: add `dev-lang/lua readline -deprecated` to config/common/ (or config/<target>/) package.use"
    )


def test_a_use_flag_that_does_not_exist(place: Place) -> None:
    place.tree.ebuild("dev-lang/lua-5.4.4")
    place.tree.ebuild("app-misc/top-1", rdepend="dev-lang/lua[nope]")
    assert place.refuse_one("app-misc/top", UseRequired).startswith(
        "dev-lang/lua[nope] asks for USE flags that dev-lang/lua-5.4.4 does not have: nope\n"
    )


def test_required_use(place: Place) -> None:
    place.tree.ebuild("app-misc/choosy-1", iuse="a b c", required_use="^^ ( a b )")
    assert place.refuse_one("app-misc/choosy", RequiredUseViolated, files={"package.use": "app-misc/choosy a b\n"}) == (
        "the USE flags of app-misc/choosy-1 break its rule: ^^ ( a b )\n"
        "  switched on: a b\n"
        "  declared in @tiny\n"
        "  hint: set flags that keep the rule in config/common/ (or config/<target>/) package.use"
    )


def test_circular_with_the_chain(place: Place) -> None:
    place.tree.ebuild("app-misc/a-1", bdepend="app-misc/b")
    place.tree.ebuild("app-misc/b-1", depend=">=app-misc/c-1")
    place.tree.ebuild("app-misc/c-1", depend="app-misc/a")
    assert place.refuse_one("app-misc/b", Circular) == (
        "packages need each other: app-misc/a-1 → app-misc/b-1 → app-misc/c-1 → app-misc/a-1\n"
        "  app-misc/a-1 needs app-misc/b-1 (app-misc/b)\n"
        "  app-misc/b-1 needs app-misc/c-1 (>=app-misc/c-1)\n"
        "  app-misc/c-1 needs app-misc/a-1 (app-misc/a)\n"
        "  hint: switch off a USE flag that asks for one of them in config/common/ (or config/<target>/) package.use, "
        "or provide one from the host"
    )


def test_slot_conflict(place: Place) -> None:
    place.tree.ebuild("app-misc/lib-1")
    place.tree.ebuild("app-misc/lib-2")
    place.tree.ebuild("app-misc/old-1", rdepend="=app-misc/lib-1")
    error = place.refuse(["app-misc/old", "=app-misc/lib-2"])
    assert [type(failure) for failure in error.failures] == [SlotConflict]
    assert str(error) == (
        "app-misc/lib-1::tiny and app-misc/lib-2::tiny are both wanted, but slot app-misc/lib:0 holds only one\n"
        "  app-misc/lib-1 is required by app-misc/old-1 (=app-misc/lib-1)\n"
        "  app-misc/lib-2 is declared in @tiny\n"
        "  hint: let those that ask agree on one version"
    )
    places = {"=app-misc/lib-2": "set.yaml:7", "=app-misc/lib-1": "set.yaml:9"}
    assert str(error.located(places)) == str(error).replace("@tiny", "set.yaml:7"), "only declared atoms have a line"


def test_blocked(place: Place) -> None:
    place.tree.ebuild("app-misc/lib-2")
    place.tree.ebuild("app-misc/hater-1", rdepend="!!app-misc/lib")
    error = place.refuse(["app-misc/hater", "app-misc/lib"])
    assert [type(failure) for failure in error.failures] == [Blocked]
    assert str(error) == (
        "app-misc/hater-1 cannot be installed together with app-misc/lib-2 (!!app-misc/lib)\n  hint: leave one of them out"
    )


def test_an_invalid_atom(place: Place) -> None:
    place.tree.ebuild("app-misc/lib-2")
    assert place.refuse_one("app-misc/lib-2", Unusable) == "app-misc/lib-2: not a valid atom"


def test_several_declared_packages_are_refused_at_once(place: Place) -> None:
    place.tree.ebuild("app-misc/secret-1", licenses="closed")
    place.tree.ebuild("app-misc/fine-1")
    error = place.refuse(["app-misc/secret", "app-misc/fine", "app-misc/xyzzy", "=app-misc/fine-2"])
    assert {(failure.atom, type(failure)) for failure in error.failures} == {
        ("app-misc/secret", LicenseNotAccepted),
        ("app-misc/xyzzy", NoSuchPackage),
        ("=app-misc/fine-2", NotAsAsked),
    }


def test_portages_own_words_are_kept(place: Place) -> None:
    place.tree.ebuild("app-misc/secret-1", licenses="closed")
    text = place.refuse(["app-misc/secret"]).text
    assert "(masked by: closed license(s))" in text
    assert "\x1b[" not in text


def test_an_ebuild_that_bash_cannot_source_is_named(place: Place) -> None:
    place.tree.ebuild("app-misc/syntax-1", phases="\nsrc_install() {\n", cache=False)
    assert place.refuse_one("app-misc/syntax", Unusable) == "app-misc/syntax-1: Portage cannot read its ebuild"


def test_a_root_without_a_profile_is_a_configuration_that_cannot_be_used(place: Place) -> None:
    write_root(place.root, [place.tree])
    (place.root / "etc/portage/make.profile/parent").write_text("tiny:nothing\n")
    with pytest.raises(ResolutionError, match=r"^Portage cannot use its configuration: Parent '.*/profiles/nothing' not found"):
        place._worker.closure(place.root, ["a/b"])


def test_a_root_that_is_none_is_a_configuration_that_cannot_be_used(place: Place, tmp_path: Path) -> None:
    with pytest.raises(ResolutionError, match="has no etc/portage"):
        place._worker.closure(tmp_path / "nowhere", ["a/b"])


def test_after_a_refusal_the_worker_goes_on(place: Place) -> None:
    place.tree.ebuild("app-misc/fine-1")
    place.refuse(["app-misc/xyzzy"])
    assert len(place._worker.closure(place.root, ["app-misc/fine"]).packages) == 1
