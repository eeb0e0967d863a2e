"""Everything that goes into a build changes its key, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pytest

from compatlayer.binaries import key
from compatlayer.binaries.key import Key, Premises
from compatlayer.gentoo.packages import Need, Parent, ResolvedPackage
from tests.binary_values import PREMISES, ingredients
from tests.package_values import closure, wanted

CPV = "app-misc/one-1.0-r2"


def key_of(package: ResolvedPackage | None = None, premises: Premises = PREMISES, **fields: Any) -> Key:
    package = package or wanted(CPV, use="static", iuse="static test")
    return key.keys(closure(package), [ingredients(CPV, **fields)], premises)[CPV]


def configured(path: str, content: bytes = b"x") -> Premises:
    return replace(PREMISES, configuration={**PREMISES.configuration, PurePosixPath(path): content})


USUAL = key_of()

# What changes, and the parts that then differ.
CHANGES: dict[str, tuple[Key, set[str]]] = {
    "slot": (key_of(wanted(CPV, "1", use="static", iuse="static test")), {"package"}),
    "sub-slot": (key_of(wanted(CPV, "0/2", use="static", iuse="static test")), {"package"}),
    "repository": (key_of(wanted(CPV, repository="other", use="static", iuse="static test")), {"package"}),
    "a flag off": (key_of(wanted(CPV, iuse="static test")), {"USE static"}),
    "a flag on": (key_of(wanted(CPV, use="static test", iuse="static test")), {"USE test"}),
    "an implicit flag": (key_of(use=("elibc_musl",)), {"USE elibc_glibc", "USE elibc_musl"}),
    "ebuild": (key_of(ebuild="d" * 64), {"ebuild"}),
    "eclass": (key_of(eclasses={"toolchain": "d" * 64}), {"eclass toolchain"}),
    "one more eclass": (key_of(eclasses={"toolchain": "c" * 64, "more": "d" * 64}), {"eclass more"}),
    "a file of the package": (key_of(files={"a.patch": "d" * 64}), {"file a.patch"}),
    "a source file": (key_of(sources={"a-1.tar.gz": "SHA512:01 size:7"}), {"source a-1.tar.gz"}),
    "the profile's bashrc": (key_of(hooks={"00 profile.bashrc": "d" * 64}), {"hook 00 profile.bashrc"}),
    "CFLAGS": (key_of(settings={"CFLAGS": "-O3"}), {"setting CFLAGS"}),
    "a setting": (key_of(settings={"CFLAGS": "-O2", "EXTRA_ECONF": "--x"}), {"setting EXTRA_ECONF"}),
    "FEATURES of the layer": (key_of(features=("sandbox", "strict", "nostrip")), {"FEATURES nostrip"}),
    "tests": (key_of(features=("strict", "test")), {"FEATURES test"}),
    "FEATURES of the engine": (
        key_of(premises=replace(PREMISES, features=("splitdebug",))),
        {"FEATURES sandbox", "FEATURES splitdebug"},
    ),
    "prefix": (key_of(premises=replace(PREMISES, prefix=PurePosixPath("/cvmfs/tiny.example.org/10"))), {"prefix"}),
    "target": (key_of(premises=replace(PREMISES, target="linux-aarch64 aarch64-unknown-linux-gnu")), {"target"}),
    "engine": (key_of(premises=replace(PREMISES, engine="standalone")), {"engine"}),
    "Portage": (key_of(premises=replace(PREMISES, portage="3.0.84")), {"Portage"}),
    "owner": (key_of(premises=replace(PREMISES, owner="user")), {"owner"}),
    "trusted directories": (key_of(premises=replace(PREMISES, trusted_directories=())), {"trusted directories"}),
    "a setting of the layer": (key_of(premises=replace(PREMISES, compiled_in={"app-misc/one": "nss=own"})), {"compiled in"}),
    "compiler": (key_of(premises=replace(PREMISES, toolchain={"gcc": "gcc (Tiny 12.2.0-15) 12.2.0"})), {"toolchain gcc"}),
    "wrapper": (
        key_of(premises=replace(PREMISES, toolchain={**PREMISES.toolchain, "wrapper": "0"})),
        {"toolchain wrapper"},
    ),
    "PATH": (
        key_of(premises=replace(PREMISES, environment={**PREMISES.environment, "PATH": "/bin"})),
        {"environment PATH"},
    ),
    "patches": (key_of(premises=configured("patches/app-misc/one/a.patch")), {"patch app-misc/one/a.patch"}),
    "patches of the version": (
        key_of(premises=configured("patches/app-misc/one-1.0/a.patch")),
        {"patch app-misc/one-1.0/a.patch"},
    ),
    "patches of the revision": (
        key_of(premises=configured("patches/app-misc/one-1.0-r2/a.patch")),
        {"patch app-misc/one-1.0-r2/a.patch"},
    ),
    "patches of the slot": (key_of(premises=configured("patches/app-misc/one:0/a.patch")), {"patch app-misc/one:0/a.patch"}),
    "a bashrc": (key_of(premises=configured("bashrc")), {"etc/portage/bashrc"}),
    "a package's bashrc": (key_of(premises=configured("env/app-misc/one")), {"etc/portage/env/app-misc/one"}),
    "a profile's bashrc of the layer": (
        key_of(premises=configured("profile/package.bashrc/10-common")),
        {"etc/portage/profile/package.bashrc/10-common"},
    ),
    "a saved configuration": (key_of(premises=configured("savedconfig/app-misc/one")), {"etc/portage/savedconfig/app-misc/one"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_goes_into_a_build_changes_its_key_and_is_named(change: str) -> None:
    changed, parts = CHANGES[change]
    assert changed.digest != USUAL.digest
    assert set(key.differing(USUAL.parts, changed.parts)) == parts


def test_every_change_gives_another_key() -> None:
    digests = [USUAL.digest, *(changed.digest for changed, _ in CHANGES.values())]
    assert len(set(digests)) == len(digests)


UNIMPORTANT: dict[str, Key] = {
    "how many jobs": key_of(settings={"CFLAGS": "-O2", "MAKEOPTS": "-j64"}),
    "who builds, and where": key_of(
        premises=replace(PREMISES, environment={**PREMISES.environment, "HOME": "/home/x", "DISTDIR": "/d", "MAKEOPTS": "-j9"})
    ),
    "features about procedure": key_of(features=("sandbox", "strict", "parallel-fetch", "buildpkg")),
    "features that the environment takes away": key_of(features=("strict", "sandbox", "news", "binpkg-logs")),
    "another package's setting": key_of(premises=replace(PREMISES, compiled_in={"app-misc/two": "nss=own"})),
    "the sets": key_of(premises=configured("sets/tiny", b"app-misc/one\n")),
    "what Portage has evaluated already": key_of(premises=configured("package.use/10-common", b"app-misc/two static\n")),
    "what the host provides": key_of(premises=configured("profile/package.provided/00-engine", b"sys-devel/gcc-12\n")),
    "patches of another package": key_of(premises=configured("patches/app-misc/one-2.0/a.patch")),
    "patches of a longer name": key_of(premises=configured("patches/app-misc/one-more/a.patch")),
    "the bashrc of another package": key_of(premises=configured("env/app-misc/two")),
    "a file for package.env": key_of(premises=configured("env/no-lto.conf")),
}


@pytest.mark.parametrize("change", UNIMPORTANT)
def test_what_does_not_reach_the_build_leaves_the_key_alone(change: str) -> None:
    # A bashrc of the engine's FEATURES above takes "sandbox" away, so these are equal and not only alike.
    assert UNIMPORTANT[change] == USUAL


def test_only_features_test_makes_a_package_tested() -> None:
    assert not USUAL.tested
    assert not key_of(wanted(CPV, use="static test", iuse="static test")).tested
    assert key_of(features=("strict", "test")).tested
    assert not key_of(features=("strict", "test"), premises=replace(PREMISES, features=("-test",))).tested


def needs(parent: str, need: Need = Need.BUILD) -> Parent:
    return Parent(parent, "", need)


def chain(**changed: str) -> dict[str, Key]:
    """top is built with middle, which runs with bottom; after is only needed once top is installed."""
    packages = [
        wanted("app-misc/bottom-1", parents=(needs("app-misc/middle-1", Need.RUNTIME),)),
        wanted("app-misc/middle-1", parents=(needs("app-misc/top-1"),)),
        wanted("app-misc/top-1"),
        wanted("app-misc/after-1", parents=(needs("app-misc/top-1", Need.POST),)),
    ]
    described = [ingredients(one.id.cpv, ebuild=changed.get(one.id.name, "e" * 64)) for one in packages]
    return key.keys(closure(*packages), described, PREMISES)


def test_a_change_below_changes_every_key_above_it_and_no_other() -> None:
    before, after = chain(), chain(bottom="d" * 64)
    changed = {cpv for cpv in before if before[cpv].digest != after[cpv].digest}
    assert changed == {"app-misc/bottom-1", "app-misc/middle-1", "app-misc/top-1"}
    assert key.differing(before["app-misc/top-1"].parts, after["app-misc/top-1"].parts) == ("dependency app-misc/middle-1",)


def test_what_is_only_needed_afterwards_does_not_count() -> None:
    assert chain()["app-misc/top-1"] == chain(after="d" * 64)["app-misc/top-1"]


def test_packages_that_need_each_other_have_keys_which_change_together() -> None:
    def both(ebuild: str) -> dict[str, Key]:
        packages = [
            wanted("app-misc/a-1", parents=(needs("app-misc/b-1", Need.RUNTIME),)),
            wanted("app-misc/b-1", parents=(needs("app-misc/a-1", Need.RUNTIME),)),
        ]
        described = [ingredients("app-misc/a-1", ebuild=ebuild), ingredients("app-misc/b-1")]
        return key.keys(closure(*packages), described, PREMISES)

    before, after = both("e" * 64), both("d" * 64)
    assert before["app-misc/a-1"].digest != before["app-misc/b-1"].digest
    assert all(before[cpv].digest != after[cpv].digest for cpv in before)


def test_a_key_does_not_depend_on_the_order_of_things() -> None:
    turned = key_of(
        eclasses={"b": "1" * 64, "a": "2" * 64}, settings={"B": "1", "A": "2"}, features=("strict", "sandbox"), use=("b", "a")
    )
    straight = key_of(
        eclasses={"a": "2" * 64, "b": "1" * 64}, settings={"A": "2", "B": "1"}, features=("sandbox", "strict"), use=("a", "b")
    )
    assert turned.digest == straight.digest
