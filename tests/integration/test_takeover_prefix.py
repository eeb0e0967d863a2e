"""Adopting a Gentoo Prefix that exists: real Portage, its own Python, and the command line on what comes out."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import compatlayer
from tests.adopted_prefix import TARGET, AdoptedPrefix
from tests.git_server import commit, git

pytestmark = pytest.mark.integration

SOURCE = Path(compatlayer.__file__).parent.parent


@pytest.fixture
def prefix() -> Iterator[AdoptedPrefix]:
    # Not below pytest's directory: a prefix's path must be short, and hold no brackets.
    with tempfile.TemporaryDirectory(prefix="compatlayer-prefix-") as name:
        found = AdoptedPrefix(Path(name) / "prefix")
        found.upstream.ebuild("dev-libs/base-1")
        found.upstream.ebuild("app-misc/hello-1", rdepend="dev-libs/base", iuse="extra")
        found.upstream.ebuild("app-misc/tool-2", rdepend="dev-libs/base")
        found.begin(settings='USE="extra"\n')
        yield found


def run(*arguments: object, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "compatlayer", *map(str, arguments)], cwd=SOURCE, capture_output=True, text=True, check=False
    )
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done


def adopt(prefix: AdoptedPrefix) -> Path:
    directory = prefix.path.parent / "layer"
    run("init", directory, "--from-prefix", prefix.path)
    return directory


def on(directory: Path, *arguments: object, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    return run("--layer", directory / "layer.yaml", *arguments, code=code)


def test_an_adopted_prefix_plans_nothing_and_verifies_clean(prefix: AdoptedPrefix) -> None:
    prefix.emerge("app-misc/hello", "app-misc/tool")
    before = prefix.snapshot()
    directory = adopt(prefix)
    layer = yaml.safe_load((directory / "layer.yaml").read_text())
    version = layer["versions"]["adopted"]
    assert layer["targets"] == [TARGET.name]
    assert layer["prefix"] == str(prefix.path)
    assert version["engine"] == "native"
    assert version["tree"] == {
        "name": "gentoo",
        "url": f"file://{prefix.upstream.path}",
        "commit": git(prefix.repository, "rev-parse", "HEAD"),
    }
    assert version["profile"] == f"gentoo:{TARGET.keyword}"
    world = yaml.safe_load((directory / "sets/layer.yaml").read_text())
    assert world["packages"] == [
        {"name": "app-misc/hello", "version": "1", "reason": "TODO"},
        {"name": "app-misc/tool", "version": "2", "reason": "TODO"},
    ]
    assert (directory / "config/common/make.conf").read_text() == (prefix.path / "etc/portage/make.conf").read_text()
    assert on(directory, "plan").stdout == "nothing to do\n"
    assert on(directory, "verify", "--check", "declared").stdout.startswith("no findings; ")
    checked = on(directory, "check", code=4).stdout
    assert checked.count("[todo-reason]") == 2
    assert checked.splitlines()[-1] == "2 errors"
    assert prefix.snapshot() == before, "the prefix was only read"


def test_a_prefix_whose_files_are_all_owned_passes_every_check(prefix: AdoptedPrefix) -> None:
    prefix.emerge("app-misc/hello")
    prefix.own_everything()
    directory = adopt(prefix)
    layer = yaml.safe_load((directory / "layer.yaml").read_text())
    layer["versions"]["adopted"]["host_links"] = prefix.host_links()
    (directory / "layer.yaml").write_text(yaml.safe_dump(layer, sort_keys=False))
    assert on(directory, "plan").stdout == "nothing to do\n"
    assert on(directory, "verify").stdout.startswith("no findings; 3 packages, ")
    (prefix.path / "share/portage/config/make.globals").write_text("# changed by hand\n")
    changed = on(directory, "verify", code=4).stdout
    assert changed.count("make.globals") == 1
    assert changed.splitlines()[-1].startswith("1 error; ")


def test_a_package_that_is_changed_by_hand_is_told_by_plan_and_verify(prefix: AdoptedPrefix) -> None:
    prefix.emerge("app-misc/hello", "app-misc/tool")
    directory = adopt(prefix)
    prefix.emerge("--unmerge", "app-misc/tool")
    assert "install    app-misc/tool 2" in on(directory, "plan").stdout
    found = on(directory, "verify", "--check", "declared", code=4).stdout
    assert "app-misc/tool-2: expected installed, found not installed" in found
    # `install` would refuse: the prefix has an emerge of its own.
    assert "build =app-misc/tool-2:0::gentoo with the prefix's own emerge" in " ".join(found.split())
    prefix.write("etc/portage/package.use", "app-misc/hello -extra\n")
    prefix.emerge("--oneshot", "app-misc/tool", "app-misc/hello")
    planned = on(directory, "plan").stdout
    assert "rebuild    app-misc/hello 1 +extra" in planned
    assert "app-misc/tool" not in planned
    assert "app-misc/hello-1: expected USE +extra" in on(directory, "verify", "--check", "declared", code=4).stdout


def test_the_prefixs_own_portage_under_its_own_python_is_asked(prefix: AdoptedPrefix) -> None:
    prefix.emerge("app-misc/hello")
    directory = adopt(prefix)
    # Only the prefix's Portage says so: the resolver that answers is the one that lies there.
    (closure,) = prefix.path.rglob("_emerge/depgraph.py")
    text = closure.read_text()
    closure.write_text(f"raise RuntimeError('the prefix was asked')\n{text}")
    assert "the prefix was asked" in on(directory, "plan", code=None).stderr


def test_packages_stay_at_their_versions_when_the_tree_has_newer_ones(prefix: AdoptedPrefix) -> None:
    prefix.emerge("app-misc/hello")
    prefix.upstream.ebuild("dev-libs/base-2")
    prefix.upstream.ebuild("app-misc/hello-2", rdepend="dev-libs/base")
    commit(prefix.upstream.path)
    git(prefix.repository, "pull", "--quiet")
    directory = adopt(prefix)
    assert on(directory, "plan").stdout == "nothing to do\n"
    held = (directory / f"config/{TARGET.name}/package.unmask").read_text()
    assert held.splitlines()[-1] == "=dev-libs/base-1"
    # Letting go of the one, and of the declared version of the other, plans both.
    for name in ("package.mask", "package.unmask"):
        (directory / f"config/{TARGET.name}/{name}").unlink()
    world = directory / "sets/layer.yaml"
    world.write_text(world.read_text().replace('version: "1"', 'version: "2"'))
    planned = on(directory, "plan").stdout
    assert "upgrade    dev-libs/base 1 → 2" in planned
    assert "upgrade    app-misc/hello 1 → 2" in planned


def test_flags_that_the_settings_no_longer_say_are_kept(prefix: AdoptedPrefix) -> None:
    prefix.emerge("app-misc/hello")
    make_conf = prefix.path / "etc/portage/make.conf"
    make_conf.write_text(make_conf.read_text().replace('USE="extra"', 'USE=""'))
    directory = adopt(prefix)
    assert (directory / f"config/{TARGET.name}/package.use").read_text().splitlines()[-1] == "=app-misc/hello-1 extra"
    assert on(directory, "plan").stdout == "nothing to do\n"


def test_what_nothing_asks_for_is_declared_apart(prefix: AdoptedPrefix) -> None:
    prefix.emerge("app-misc/hello")
    prefix.emerge("--oneshot", "app-misc/tool")
    directory = adopt(prefix)
    unclaimed = yaml.safe_load((directory / "sets/layer-unclaimed.yaml").read_text())
    assert unclaimed["packages"] == [{"name": "app-misc/tool", "version": "2", "reason": "TODO"}]
    assert on(directory, "verify", "--check", "declared").stdout.startswith("no findings; ")


def test_a_choice_is_resolved_as_it_was_installed(prefix: AdoptedPrefix) -> None:
    prefix.upstream.ebuild("dev-libs/first-1")
    prefix.upstream.ebuild("dev-libs/second-1")
    prefix.upstream.ebuild("app-misc/chooser-1", rdepend="|| ( dev-libs/first dev-libs/second )")
    commit(prefix.upstream.path)
    git(prefix.repository, "pull", "--quiet")
    prefix.emerge("--oneshot", "dev-libs/second")
    prefix.emerge("app-misc/chooser")
    directory = adopt(prefix)
    assert on(directory, "plan").stdout == "nothing to do\n"
    assert on(directory, "verify", "--check", "declared").stdout.startswith("no findings; ")
    assert not (directory / "sets/layer-unclaimed.yaml").exists()


def test_selected_sets_and_the_system_become_sets(prefix: AdoptedPrefix) -> None:
    prefix.upstream.write(f"profiles/{TARGET.keyword}/packages", "*dev-libs/base\n")
    commit(prefix.upstream.path)
    git(prefix.repository, "pull", "--quiet")
    prefix.write("etc/portage/sets/tools", "app-misc/tool\n")
    prefix.emerge("@tools", "dev-libs/base")
    prefix.write("var/lib/portage/world", "")
    directory = adopt(prefix)
    tools = yaml.safe_load((directory / "sets/layer-tools.yaml").read_text())
    system = yaml.safe_load((directory / "sets/layer-system.yaml").read_text())
    assert [package["name"] for package in tools["packages"]] == ["app-misc/tool"]
    assert system["packages"] == [{"name": "dev-libs/base", "version": "1", "reason": "part of the profile's system set"}]
    assert on(directory, "plan").stdout == "nothing to do\n"


def test_a_repository_without_git_is_copied(prefix: AdoptedPrefix) -> None:
    shutil.rmtree(prefix.repository / ".git")
    prefix.emerge("app-misc/hello")
    directory = adopt(prefix)
    version = yaml.safe_load((directory / "layer.yaml").read_text())["versions"]["adopted"]
    assert version["tree"] == {"name": "gentoo", "path": "repositories/gentoo"}
    assert on(directory, "plan").stdout == "nothing to do\n"


def test_an_ebuild_that_the_tree_has_lost_is_noted(prefix: AdoptedPrefix) -> None:
    prefix.emerge("app-misc/hello")
    prefix.upstream.remove("app-misc/hello-1")
    prefix.upstream.ebuild("app-misc/hello-2", rdepend="dev-libs/base", iuse="extra")
    commit(prefix.upstream.path)
    git(prefix.repository, "pull", "--quiet")
    directory = prefix.path.parent / "layer"
    told = run("init", directory, "--from-prefix", prefix.path).stderr
    assert "app-misc/hello-1: cannot be built from the pinned repositories" in told
    assert "upgrade    app-misc/hello 1 → 2" in on(directory, "plan").stdout


def test_an_adopted_prefix_is_not_built_and_says_so(prefix: AdoptedPrefix) -> None:
    prefix.emerge("app-misc/hello")
    directory = adopt(prefix)
    ended = on(directory, "install", code=2)
    assert (
        f"error: adopted/{TARGET.name} is an adopted prefix: it is checked, planned and verified, but not built" in ended.stderr
    )
    assert not (directory / ".compatlayer/stages").exists()


def test_a_prefix_that_has_gone_says_so(prefix: AdoptedPrefix) -> None:
    prefix.emerge("app-misc/hello")
    directory = adopt(prefix)
    prefix.path.rename(prefix.path.with_name("moved"))
    ended = on(directory, "plan", code=3)
    assert f"error: {prefix.path} is not a Gentoo Prefix of this machine" in ended.stderr


def test_what_is_no_prefix_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = run("init", tmp_path / "layer", "--from-prefix", tmp_path / "empty", code=3)
    assert "is not a Gentoo Prefix of this machine\n  it has no var/db/pkg" in ended.stderr
    assert not (tmp_path / "layer").exists()
