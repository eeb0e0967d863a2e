"""Portage's own matching and ordering, and whether declared atoms can be had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compatlayer.declaration.model import (
    TARGETS,
    DeclaredPackage,
    EbuildRepository,
    EngineName,
    Layer,
    PackageSet,
    Status,
    Version,
)
from compatlayer.errors import Location
from compatlayer.gentoo.availability import unavailable
from compatlayer.gentoo.client import Worker
from compatlayer.gentoo.failures import Candidate, Masked, NoSuchPackage, NotAsAsked
from compatlayer.gentoo.versions import compare, parse_cpv
from tests.ebuild_repository import TinyRepository, write_root
from tests.package_values import declared, installed

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as started:
        yield started


def test_the_worker_says_which_portage_answers(worker: Worker) -> None:
    assert worker.versions.portage.startswith("3.")
    assert (worker.versions.global_config / "make.globals").is_file()


LUA = installed("dev-lang/lua-5.4.20", "5.4/5.4.20", use="a", iuse="a b")


@pytest.mark.parametrize(
    "atom",
    [
        "dev-lang/lua",
        "=dev-lang/lua-5.4.20",
        "=dev-lang/lua-5.4*",
        ">=dev-lang/lua-5.4.3",
        "~dev-lang/lua-5.4.20",
        "dev-lang/lua:5.4",
        "dev-lang/lua:5.4/5.4.20",
        "dev-lang/lua:=",
        "dev-lang/lua::tiny",
        "dev-lang/lua[a,-b]",
        "dev-lang/lua[c(-)?]",
        "dev-lang/lua[-c(-)]",
    ],
)
def test_an_atom_matches_as_portage_says(worker: Worker, atom: str) -> None:
    assert worker.match([atom], [LUA]) == {atom: (LUA,)}


@pytest.mark.parametrize(
    "atom",
    [
        "dev-lang/luajit",
        # What a search for the text "lua-5.4.2" would take for a match.
        "=dev-lang/lua-5.4.2",
        "=dev-lang/lua-5.4.2*",
        "<dev-lang/lua-5.4.3",
        "dev-lang/lua:5.1",
        "dev-lang/lua:5.4/5.4.2",
        "dev-lang/lua::gentoo",
        "dev-lang/lua[b]",
        "dev-lang/lua[c]",
        "dev-lang/lua[c(-)]",
    ],
)
def test_an_atom_does_not_match_what_only_looks_alike(worker: Worker, atom: str) -> None:
    # Portage's glob takes 5.4.2* for a prefix of parts, not of characters.
    assert worker.match([atom], [LUA]) == {atom: ()}


versions = st.from_regex(r"\A(0|[0-9]{1,3})(\.[0-9]{1,3}){0,3}[a-c]?(_(alpha|beta|pre|rc|p)[0-9]{0,2}){0,2}(-r[0-9]{1,2})?\Z")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(versions, versions), min_size=40, max_size=40))
def test_our_version_order_is_portages(worker: Worker, pairs: list[tuple[str, str]]) -> None:
    theirs = worker.compare_versions(pairs)
    assert [(each or 0) > 0 for each in theirs] == [compare(*pair) > 0 for pair in pairs]
    assert [(each or 0) < 0 for each in theirs] == [compare(*pair) < 0 for pair in pairs]


def test_what_is_no_version_is_none_for_portage_too(worker: Worker) -> None:
    assert worker.compare_versions([("1", "x")]) == [None]


def test_a_thousand_packages_are_matched_in_one_request(worker: Worker) -> None:
    many = [installed(f"cat/name{number}-1.{number}") for number in range(1500)]
    atoms = [f"=cat/name{number}-1.{number}" for number in range(1500)]
    found = worker.match(atoms, many)
    assert all(found[atom] == (package,) for atom, package in zip(atoms, many, strict=True))


def test_each_atom_has_its_best_ebuild_or_its_reason(worker: Worker, tmp_path: Path) -> None:
    tree = TinyRepository(tmp_path / "tiny")
    for version in ("1.9", "1.10", "1.11_rc1"):
        tree.ebuild(f"app-misc/many-{version}", keywords="~amd64" if "rc" in version else "amd64")
    tree.ebuild("app-misc/broken-1")
    tree.mask("# bad\napp-misc/broken\n")
    root = write_root(tmp_path / "root", [tree])
    atoms = ["app-misc/many", "<app-misc/many-1.10", "app-misc/many:2", "app-misc/broken", "app-misc/absent"]
    best, older, slot, masked, absent = worker.check_atoms(root, atoms).values()
    assert best == Candidate(parse_cpv("app-misc/many-1.10"), "0", "0", "tiny")
    assert isinstance(older, Candidate)
    assert older.id.version == "1.9"
    assert isinstance(slot, NotAsAsked)
    assert isinstance(masked, Masked)
    assert isinstance(absent, NoSuchPackage)


def layer_of(tmp_path: Path, *entries: DeclaredPackage) -> Layer:
    version = Version(
        name="1",
        status=Status.LIVE,
        engine=EngineName.GUEST,
        sets=(PackageSet("tiny", PurePosixPath("sets/tiny.yaml"), entries),),
        tree=EbuildRepository("tiny", PurePosixPath("tiny")),
        overlays=(),
    )
    return Layer(
        name="tiny",
        root=tmp_path,
        file=tmp_path / "layer.yaml",
        targets=(TARGETS["linux-x86_64"], TARGETS["linux-aarch64"]),
        prefix_template="/cvmfs/tiny.example.org/{version}/{os}/{arch}",
        versions=(version,),
    )


def complaints(
    worker: Worker, tmp_path: Path, tree: TinyRepository, *entries: DeclaredPackage
) -> list[tuple[str, str, int | None]]:
    layer = layer_of(tmp_path, *entries)
    roots = {
        layer.part(layer.versions[0], target): write_root(tmp_path / target.name, [tree], arch=target.keyword)
        for target in layer.targets
    }
    found = list(unavailable(layer, worker, roots))
    return [(finding.identifier, finding.description, (finding.location or Location("")).line) for finding in found]


@pytest.fixture
def tree(tmp_path: Path) -> TinyRepository:
    tree = TinyRepository(tmp_path / "tiny")
    tree.ebuild("app-misc/fine-1")
    tree.ebuild("app-misc/intel-1", keywords="amd64")
    tree.ebuild("app-misc/nobody-1", keywords="")
    tree.ebuild("app-misc/secret-1", licenses="closed")
    tree.ebuild("app-misc/hollow-1", rdepend="dev-libs/nowhere")
    tree.ebuild("app-misc/broken-1")
    tree.mask("# bad\napp-misc/broken\n")
    return tree


def test_packages_that_can_be_had_on_all_targets_raise_no_complaint(worker: Worker, tmp_path: Path, tree: TinyRepository) -> None:
    assert (
        complaints(worker, tmp_path, tree, declared("app-misc/fine"), declared("app-misc/intel", include_on=("linux-x86_64",)))
        == []
    )


def test_each_kind_of_complaint_stands_on_its_line_with_its_targets(worker: Worker, tmp_path: Path, tree: TinyRepository) -> None:
    both = "(on linux-x86_64, linux-aarch64)"
    assert complaints(
        worker,
        tmp_path,
        tree,
        declared("app-misc/hollow", line=1),
        declared("app-misc/nobody", line=2),
        declared("app-misc/intel", line=3),
        declared("app-misc/secret", line=4),
        declared("app-misc/fine", line=5, version="2"),
        declared("app-misc/fune", line=6),
        declared("app-misc/broken", line=7),
        declared("app-misc/fine", line=8, overlay="other"),
    ) == [
        ("atom-unresolvable", f"no ebuild repository has a package for dev-libs/nowhere {both}", 1),
        ("atom-no-keyword", f"no ebuild for app-misc/nobody has a keyword {both}", 2),
        ("atom-no-keyword", "no ebuild for app-misc/intel has a keyword for arm64 (on linux-aarch64)", 3),
        ("atom-license", f"no ebuild for app-misc/secret has an accepted licence {both}", 4),
        ("atom-no-such-version", f"no ebuild matches =app-misc/fine-2: the package exists, but not in that version {both}", 5),
        ("atom-unknown-package", f"no ebuild repository has a package for app-misc/fune {both}", 6),
        ("atom-masked", f"every ebuild for app-misc/broken is masked {both}", 7),
        (
            "atom-no-such-version",
            f"no ebuild matches app-misc/fine::other: the package exists, but not in that repository {both}",
            8,
        ),
    ]


def test_a_cycle_has_no_line_but_is_found(worker: Worker, tmp_path: Path, tree: TinyRepository) -> None:
    tree.ebuild("app-misc/hen-1", bdepend="app-misc/egg")
    tree.ebuild("app-misc/egg-1", bdepend="app-misc/hen")
    assert complaints(worker, tmp_path, tree, declared("app-misc/hen")) == [
        (
            "atom-unresolvable",
            "packages need each other: app-misc/egg-1 → app-misc/hen-1 → app-misc/egg-1 (on linux-x86_64, linux-aarch64)",
            None,
        )
    ]
