"""A part is built twice, by two people on two hosts as it were: real Portage, real namespaces, tiny packages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compatlayer.tree.manifest import Manifest
from tests.tiny_layer import TINY_BINARIES, USER_ID, TinyLayer, tiny_layer

pytestmark = [pytest.mark.integration, pytest.mark.userns, pytest.mark.real]

# What packages do that remember their build: the file they install, what it holds, and the cause that has to be found.
ODD = {
    "time": ("$(date +%s%N)", "embedded time stamp"),
    "host": ("built on $(hostname) once", "host name"),
    "user": ("built by $(id -u)", "user name"),
    "path": ("built in ${WORKDIR}", "embedded build path"),
}


@pytest.fixture(
    params=[pytest.param(0, id="root", marks=pytest.mark.root), pytest.param(os.geteuid() or USER_ID, id="user")],
)
def layer(request: pytest.FixtureRequest) -> Iterator[TinyLayer]:
    with tiny_layer(request.param) as layer:
        layer.package("app-misc/needed-1", src_uri="mirror://tiny/needed.txt", distfiles={"needed.txt": b"source"})
        layer.package("app-misc/wanted-1", rdepend="app-misc/needed", phases=_installing("wanted", "$(umask) $(date +%Z)"))
        layer.write("upstream/needed.txt", "source")
        yield layer


def declare(layer: TinyLayer, *packages: str) -> None:
    layer.declare("app-misc/wanted", *packages, more=f"mirrors: {{tiny: ['{(layer.root / 'upstream').as_uri()}']}}\n")


def _installing(name: str, text: str) -> str:
    return f'src_install() {{\n\tinsinto /usr/share/tiny\n\tnewins - {name} <<< "{text}"\n}}\n'


def by_path(document: Any) -> dict[str, tuple[str, list[str], list[str]]]:
    return {one["path"]: (one["package"], one["aspects"], one["causes"]) for one in document["differences"]}


def test_two_builds_of_packages_that_remember_nothing_are_equal(layer: TinyLayer) -> None:
    declare(layer)
    layer.install()
    before = Manifest.of_tree(layer.upper)
    # The second build has no other source than the mirror.
    (layer.root / "upstream/needed.txt").unlink()
    done = layer.run("--format", "json", "rebuild", "--compare", "--offline").document
    assert (done["equal"], done["differences"]) == (True, [])
    assert done["first"]["root"] == done["second"]["root"] == before.root
    varied = {one["name"] for one in done["circumstances"] if one["varied"]}
    assert {"user id", "user", "host name", "time zone", "umask", "home", "state", "build directory", "jobs"} <= varied
    assert Manifest.of_tree(layer.upper) == before
    assert [path.name for path in (layer.state / "rebuild").iterdir()] == [f"{layer.stage.name}.lock"]
    assert layer.install().document["skipped"]


def test_each_file_that_remembers_its_build_is_named_with_its_package_and_cause(layer: TinyLayer) -> None:
    for name, (text, _) in ODD.items():
        layer.package(f"app-misc/{name}-1", phases=_installing(name, text))
    layer.package("app-misc/mask-1", phases='src_install() {\n\tdodir /usr/share\n\techo > "${ED}"/usr/share/mask\n}\n')
    declare(layer, *(f"app-misc/{name}" for name in (*ODD, "mask")))
    layer.install()
    done = layer.run("--format", "json", "rebuild", "--keep", code=4).document
    found = by_path(done)
    assert {path: one for path, one in found.items() if path.startswith("usr")} == {
        f"usr/share/tiny/{name}": (f"app-misc/{name}-1", ["content"], [cause]) for name, (_, cause) in ODD.items()
    }
    # Portage's records of these packages follow their files, and those of no other package differ.
    records = {path: one for path, one in found.items() if not path.startswith("usr")}
    assert {package for package, _, _ in records.values()} <= {f"app-misc/{name}-1" for name in ODD}
    assert {Path(path).name for path in records} <= {"CONTENTS", "SIZE"}
    assert {causes[0] for _, _, causes in records.values()} == {"package record"}
    kept = Path(done["run"])
    assert (kept / "second/usr/share/tiny/host").read_text() == "built on second-host.invalid once\n"
    assert (kept / "first/usr/share/tiny/host").read_text() != (kept / "second/usr/share/tiny/host").read_text()

    # The kept build can be looked at again, where its circumstances are not known.
    second = layer.state / "rebuild" / layer.stage.name / "stages" / layer.stage.name / "upper"
    again = layer.run("rebuild", "--compare-with", str(second), code=4)
    assert "usr/share/tiny/time\n    content: embedded time stamp\n" in again.out
    assert "usr/share/tiny/host\n    content: unknown\n" in again.out
    assert layer.run("rebuild", "--compare-with", str(layer.upper)).out.startswith(f"2026.11/{layer.stage.name[8:]}: equal, ")


def test_what_cannot_be_compared_is_refused_before_anything_is_built(layer: TinyLayer) -> None:
    declare(layer)
    assert f"there is no stage of 2026.11/{layer.stage.name[8:]} to compare with" in layer.run("rebuild", code=5).err
    layer.install()
    layer.package("app-misc/new-1")
    declare(layer, "app-misc/new")
    refused = layer.run("rebuild", code=5)
    assert "is not what is declared" in refused.err
    assert "app-misc/new" in refused.err
    assert not (layer.state / "rebuild").exists()
    assert "--compare-with builds nothing" in layer.run("rebuild", "--compare-with", str(layer.upper), "--keep", code=2).err


def test_the_second_build_never_deletes_what_is_not_its_own(layer: TinyLayer) -> None:
    declare(layer)
    layer.install()
    precious = layer.directory / "scratch" / layer.stage.name / "precious"
    precious.parent.mkdir(parents=True)
    precious.touch()
    for path in (precious, precious.parent, precious.parent.parent):
        os.chown(path, layer.user_id, layer.user_id)
    refused = layer.run("rebuild", "--scratch", str(layer.directory / "scratch"), code=5)
    assert "it was not made by a second build" in refused.err
    assert precious.exists()


def test_a_layer_from_binary_packages_is_bit_for_bit_the_one_that_was_built(layer: TinyLayer) -> None:
    layer.declare("app-misc/wanted", more=f"mirrors: {{tiny: ['{(layer.root / 'upstream').as_uri()}']}}\n{TINY_BINARIES}")
    layer.install()
    built = Manifest.of_tree(layer.upper)
    layer.run("stage", "drop", "--yes")
    taken = layer.install().document["binaries"]["packages"]
    assert {one["origin"] for one in taken} == {"binary"}
    assert Manifest.of_tree(layer.upper) == built
