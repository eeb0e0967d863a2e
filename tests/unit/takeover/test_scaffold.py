from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
import yaml
from click.testing import CliRunner

from compatlayer import __version__
from compatlayer.cli.main import compatlayer
from compatlayer.declaration import sets
from compatlayer.declaration.load import load
from compatlayer.declaration.model import TARGETS
from compatlayer.errors import DeclarationError, UsageError
from compatlayer.takeover import scaffold


def fresh(directory: Path, targets: tuple[str, ...] = ("linux-x86_64",)) -> Path:
    layer = scaffold.fresh_layer(scaffold.layer_name(directory), targets)
    scaffold.write(directory, scaffold.files_of(layer, first_package=True))
    return directory


def test_a_new_layer_loads_and_its_sets_are_rendered(tmp_path: Path) -> None:
    layer = load(fresh(tmp_path / "site") / "layer.yaml")
    assert layer.name == "site"
    assert not sets.stale(layer)
    assert not sets.todo_reasons(layer)
    (version,) = layer.versions
    assert [package.name for one in version.sets for package in one.packages] == [scaffold.FIRST_PACKAGE]


@pytest.mark.parametrize("name", ["site", "my.layer", "layer-2026.11", "2026", "Ünïcode", "-x-"])
def test_any_directorys_name_gives_a_layer_that_loads(tmp_path: Path, name: str) -> None:
    layer = load(fresh(tmp_path / name) / "layer.yaml")
    assert (layer.root / "overlay/profiles/repo_name").read_text().strip() == layer.versions[0].overlays[0].name


def test_the_overlay_has_a_profile_for_every_target(tmp_path: Path) -> None:
    directory = fresh(tmp_path / "all", tuple(TARGETS))
    for target in TARGETS.values():
        defaults = (directory / "overlay/profiles" / target.os / target.arch / "make.defaults").read_text()
        assert f'ARCH="{target.keyword}"' in defaults
        assert f'CHOST="{target.chost}"' in defaults
    arches = (directory / "overlay/profiles/arch.list").read_text().split()
    assert arches == sorted(target.keyword for target in TARGETS.values())


@pytest.mark.parametrize("held", ["file", ".hidden"])
def test_a_directory_that_holds_something_is_refused_and_stays_as_it_is(tmp_path: Path, held: str) -> None:
    (tmp_path / held).write_text("mine")
    with pytest.raises(UsageError) as caught:
        fresh(tmp_path)
    assert str(caught.value) == f"{tmp_path} is not empty\n  it holds {held}\n  hint: name a directory that is empty or new"
    assert [path.name for path in tmp_path.iterdir()] == [held]


def test_a_new_git_repository_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert (fresh(tmp_path) / "layer.yaml").is_file()


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is not a directory"):
        fresh(tmp_path / "file")


@pytest.mark.parametrize("existed", [False, True])
def test_what_does_not_read_back_leaves_nothing(tmp_path: Path, existed: bool) -> None:
    directory = tmp_path / "site"
    if existed:
        directory.mkdir()
    files = scaffold.files_of(scaffold.fresh_layer("site", ["linux-x86_64"]))
    with pytest.raises(DeclarationError):
        scaffold.write(directory, {**files, PurePosixPath("layer.yaml"): b"name: [\n"})
    assert directory.exists() == existed
    assert not existed or not list(directory.iterdir())


def test_the_workflow_reads_only_and_calls_the_verbs(tmp_path: Path) -> None:
    text = (fresh(tmp_path / "site") / ".github/workflows/layer.yml").read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert "permissions" not in job
    assert [step["run"] for step in job["steps"] if "run" in step][1:] == ["compatlayer check", "compatlayer plan"]
    assert f"compatlayer=={__version__}" in text
    checkout = job["steps"][0]
    assert len(checkout["uses"].partition("@")[2]) == 40, "pinned to a commit, not to a tag"
    assert checkout["with"] == {"persist-credentials": False}
    assert "${{ github.event" not in text


def test_no_template_keeps_a_mark(tmp_path: Path) -> None:
    for path in fresh(tmp_path / "site").rglob("*"):
        if path.is_file() and "overlay" not in path.parts:
            assert "@layer@" not in path.read_text()
            assert "@version@" not in path.read_text()


def test_init_says_where_and_what_comes_next(tmp_path: Path) -> None:
    done = CliRunner().invoke(compatlayer, ["init", str(tmp_path / "site"), "--target", "linux-riscv64"], standalone_mode=False)
    assert done.exception is None
    assert done.stdout == f"{tmp_path}/site/layer.yaml\n"
    assert f"next:\n  cd {tmp_path}/site\n  compatlayer check\n" in done.stderr
    assert [target.name for target in load(tmp_path / "site/layer.yaml").targets] == ["linux-riscv64"]


def test_both_sources_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "sets.yml").write_text("{}")
    arguments = ["init", str(tmp_path / "x"), "--from-eessi", str(tmp_path / "sets.yml"), "--from-prefix", str(tmp_path)]
    done = CliRunner().invoke(compatlayer, arguments, standalone_mode=False)
    assert isinstance(done.exception, UsageError)
    assert not (tmp_path / "x").exists()
