"""Install does what plan says, and nothing else; a second one does nothing. Real Portage, real Ansible, tiny packages."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from compatlayer import converge
from compatlayer import install as installing
from compatlayer.converge import record
from compatlayer.declaration import load
from compatlayer.stage import find_stage
from tests.tiny_layer import PART, PREFIX, SOURCE, TARGET, USER_ID, TinyLayer, processes_in, tiny_layer

pytestmark = [pytest.mark.integration, pytest.mark.userns, pytest.mark.real]


@pytest.fixture
def layer() -> Iterator[TinyLayer]:
    with tiny_layer() as layer:
        yield layer


@pytest.fixture(
    params=[pytest.param(0, id="root", marks=pytest.mark.root), pytest.param(os.geteuid() or USER_ID, id="user")],
)
def anyones_layer(request: pytest.FixtureRequest) -> Iterator[TinyLayer]:
    """The same, worked on by root and by an ordinary user; as root that is one without a name, as in many containers."""
    with tiny_layer(request.param) as layer:
        yield layer


def host_snapshot() -> dict[str, tuple[int, int]]:
    """What a build that leaks would change: settings, caches and states of the host, by path with size and time."""
    found = {}
    for top in (
        "/etc",
        "/opt",
        "/srv",
        "/usr/local",
        "/usr/share",
        "/var/cache",
        "/var/db",
        "/var/lib",
        "/cvmfs",
        "/compatlayer",
    ):
        for directory, below, files in os.walk(top):
            if directory.count("/") > 3:
                below.clear()
            for name in (*files, "."):
                try:
                    status = os.lstat(f"{directory}/{name}")
                except OSError:
                    continue
                found[f"{directory}/{name}"] = (status.st_size, status.st_mtime_ns)
    return found


def test_a_layer_is_planned_installed_verified_entered_and_dropped(anyones_layer: TinyLayer) -> None:
    layer = anyones_layer
    layer.package("app-misc/needed-1")
    layer.package("app-misc/wanted-1", rdepend="app-misc/needed")
    layer.declare("app-misc/wanted")
    home, scratch = layer.directory / "home", layer.directory / "scratch"
    for directory in (home, scratch):
        directory.mkdir(mode=0o777)
        directory.chmod(0o777)
    layer.environment |= {"HOME": str(home), "TMPDIR": str(scratch)}
    declaration = {path: path.read_bytes() for path in sorted(layer.root.rglob("*")) if path.is_file()}
    before = host_snapshot()

    plan = layer.run("plan")
    assert plan.out == (
        "install    app-misc/needed 1\n"
        "           needed by app-misc/wanted-1 (runtime)\n"
        "install    app-misc/wanted 1\n"
        "           declared in set.yaml:3: a test needs it\n"
        "2 packages to install\n"
    )
    assert plan.err == ""
    planned = layer.run("--format", "json", "plan")
    assert planned.document["actions"][0] == {
        "action": "install",
        "package": "app-misc/needed",
        "atom": "=app-misc/needed-1:0::tiny",
        "change": "1",
        "reason": "needed by app-misc/wanted-1 (runtime)",
        "verdict": "missing",
        "wanted": "app-misc/needed-1",
        "installed": None,
    }
    assert not layer.stage.exists()

    first = layer.install()
    assert first.document["actions"] == planned.document["actions"]
    assert (first.document["skipped"], first.document["packages"]) == (False, 2)
    assert layer.installed() == ["app-misc/needed-1", "app-misc/wanted-1"]
    assert (layer.upper / "usr/share/tiny/wanted-0").read_text() == "1\n"
    assert {entry.lstat().st_uid for entry in layer.upper.rglob("*")} == {layer.user_id}

    content, runs = layer.content(), layer.runs
    second = layer.install()
    assert (second.document["skipped"], second.document["run"], second.err) == (True, None, "")
    assert (layer.content(), layer.runs) == (content, runs)

    full = layer.install("--full")
    assert (full.document["skipped"], full.document["changed"], full.document["actions"]) == (False, [], [])
    assert layer.content() == content
    assert len(layer.runs) == 2
    roles = [event["step"] for event in full.events if event["event"] == "step-finished" and event["outcome"] == "unchanged"]
    assert {"role portage_config", "role package_set", "role provenance"} <= set(roles)

    assert layer.run("verify").out.startswith("no findings")
    assert layer.run("enter", "--", "cat", f"{PREFIX}/usr/share/tiny/wanted-0").out == "1\n"
    assert "usr/share/tiny/wanted-0" in layer.run("stage", "diff").out
    stages = layer.run("--format", "json", "stage", "list").document["stages"]
    assert [(one["version"], one["target"], one["prefix"], one["base"]) for one in stages] == [
        ("2026.11", TARGET.name, PREFIX, None)
    ]

    layer.run("stage", "drop", "--yes")
    assert not layer.stage.exists()
    assert layer.run("--format", "json", "stage", "list").document == {"stages": []}

    assert sorted(home.iterdir()) == []
    assert sorted(scratch.iterdir()) == []
    assert {path: path.read_bytes() for path in sorted(layer.root.rglob("*")) if path.is_file()} == declaration
    after = host_snapshot()
    assert {path for path in {*before, *after} if before.get(path) != after.get(path)} == set()
    assert processes_in(layer.directory) == {}


def test_install_carries_out_exactly_what_plan_says(layer: TinyLayer) -> None:
    other = layer.new_repository("other")
    for name in ("new-1", "gone-1", "up-1", "down-2", "same-1"):
        layer.package(f"app-misc/{name}")
    layer.package("app-misc/flags-1", iuse="+plain fancy")
    layer.package("app-misc/moves-1")
    layer.package("app-misc/slotted-1", slot="1")
    layer.package("dev-libs/lib-1", slot="0/1")
    layer.package("app-misc/linked-1", depend="dev-libs/lib:=", rdepend="dev-libs/lib:=")
    common = ["app-misc/up", "app-misc/down", "app-misc/same", "app-misc/flags", "app-misc/slotted", "app-misc/linked"]
    layer.declare(*common, "app-misc/gone", "app-misc/moves", repositories=("tiny", "other"))
    layer.install()
    untouched = {name: (layer.upper / f"var/db/pkg/app-misc/{name}-1/BUILD_TIME").stat().st_mtime_ns for name in ("same", "gone")}

    layer.package("app-misc/up-2")
    layer.package("app-misc/down-1")
    layer.package("app-misc/slotted-2", slot="2")
    layer.package("dev-libs/lib-2", slot="0/2")
    other.ebuild("app-misc/moves-1")
    layer.config("package.use", "app-misc/flags fancy -plain\n")
    layer.config("package.mask", "=app-misc/down-2\n")
    layer.declare(*common, "app-misc/new", "app-misc/moves::other", repositories=("tiny", "other"))

    planned = layer.actions()
    assert sorted(planned) == [
        ("downgrade", "app-misc/down", "2 → 1"),
        ("install", "app-misc/new", "1"),
        ("install", "app-misc/slotted", "2"),
        ("keep", "app-misc/gone", "1"),
        ("keep", "app-misc/slotted", "1"),
        ("rebuild", "app-misc/flags", "1 +fancy -plain"),
        ("rebuild", "app-misc/linked", "1"),
        ("rebuild", "app-misc/moves", "1 ::tiny → ::other"),
        ("upgrade", "app-misc/up", "1 → 2"),
        ("upgrade", "dev-libs/lib", "1 → 2"),
    ]
    done = layer.install()
    assert [(one["action"], one["package"], one["change"]) for one in done.document["actions"]] == planned
    merged = [
        line.split()[7] for line in (layer.last_run / "logs/emerge.log").read_text().splitlines() if "completed emerge" in line
    ]
    assert sorted(merged) == [
        "app-misc/down-1",
        "app-misc/flags-1",
        "app-misc/linked-1",
        "app-misc/moves-1",
        "app-misc/new-1",
        "app-misc/slotted-2",
        "app-misc/up-2",
        "dev-libs/lib-2",
    ]
    assert (layer.upper / "usr/share/tiny/up-0").read_text() == "2\n"
    assert (layer.upper / "usr/share/tiny/down-0").read_text() == "1\n"
    assert "lib:0/2=" in (layer.upper / "var/db/pkg/app-misc/linked-1/RDEPEND").read_text()
    assert (layer.upper / "var/db/pkg/app-misc/moves-1/repository").read_text() == "other\n"
    assert "fancy" in (layer.upper / "var/db/pkg/app-misc/flags-1/USE").read_text().split()
    for name, built in untouched.items():
        assert (layer.upper / f"var/db/pkg/app-misc/{name}-1/BUILD_TIME").stat().st_mtime_ns == built
    assert "package-missing" not in layer.run("verify", "--check", "declared", code=None).out

    again = layer.install()
    assert again.document["skipped"]
    assert [(one["action"], one["package"]) for one in again.document["actions"]] == [
        ("keep", "app-misc/gone"),
        ("keep", "app-misc/slotted"),
    ]
    removal = layer.install("--remove-unneeded")
    assert [(one["action"], one["package"], one["change"]) for one in removal.document["actions"]] == [
        ("remove", "app-misc/gone", "1"),
        ("remove", "app-misc/slotted", "1"),
    ]
    assert "app-misc/gone-1" not in layer.installed()
    assert not (layer.upper / "usr/share/tiny/gone-0").exists()
    assert (layer.upper / "usr/share/tiny/slotted-2").exists()
    assert layer.actions() == []


def test_whatever_a_converge_depends_on_starts_the_next_one_and_is_cured(
    layer: TinyLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer.package("app-misc/one-1")
    layer.declare("app-misc/one")
    layer.install()
    content = layer.content()

    def is_converged() -> bool:
        declared = load.load(layer.root / "layer.yaml")
        work = installing.prepare(declared, declared.versions[0], TARGET, layer.state)
        stage = find_stage(layer.state, work.chosen.part)
        assert stage is not None
        return converge.is_converged(stage, converge.stamp(work, stage))

    assert is_converged()
    # What is declared or part of the program counts,
    settings = layer.root / "config/common/env/quiet"
    declared = layer.root / "set.yaml"
    roles = layer.directory / "roles"
    shutil.copytree(SOURCE / "roles", roles)
    with monkeypatch.context() as patched:
        patched.setattr(record, "resource", lambda name: roles if name == "roles" else SOURCE / name)
        assert is_converged()
        task = roles / "provenance/tasks/main.yml"
        task.write_text(task.read_text() + "# another release\n")
        assert not is_converged()
    layer.config("env/quiet", "QUIET=yes\n")
    assert not is_converged()
    settings.unlink()
    before = declared.read_text()
    declared.write_text(before.replace("a test needs it", "another reason"))
    assert not is_converged()
    declared.write_text(before)
    assert is_converged()

    # and so does what somebody has changed in the stage.
    provenance = layer.upper / "usr/share/compatlayer/provenance.json"
    engine = layer.upper / "etc/portage/make.conf/00-engine"
    stray = layer.upper / "etc/portage/package.mask/by-hand"
    for path in (provenance, engine):
        original = path.read_bytes()
        path.write_bytes(original + b"# by hand\n")
        assert not is_converged()
        path.write_bytes(original)
        assert is_converged()
    stray.parent.mkdir()
    stray.write_text("app-misc/one\n")
    assert not is_converged()
    engine.unlink()
    provenance.write_text("{}")

    cured = layer.install().document
    assert (cured["skipped"], cured["actions"]) == (False, [])
    assert sorted(task.partition(":")[0] for task in cured["changed"]) == ["portage_config", "provenance"]
    assert layer.content() == content
    assert layer.install().document["skipped"]


def test_a_stage_over_a_tree_installs_the_difference_only(layer: TinyLayer) -> None:
    layer.package("app-misc/below-1")
    layer.declare("app-misc/below")
    layer.install()
    below = layer.directory / "below"
    shutil.copytree(layer.upper, below, symlinks=True)
    before = {path: path.lstat().st_mtime_ns for path in sorted(below.rglob("*"))}
    layer.run("stage", "drop", "--yes")

    layer.package("app-misc/above-1", rdepend="app-misc/below")
    layer.declare("app-misc/below", "app-misc/above")
    done = layer.install("--over", str(below))
    assert [(one["action"], one["package"]) for one in done.document["actions"]] == [("install", "app-misc/above")]
    assert (layer.upper / "usr/share/tiny/above-0").exists()
    assert not (layer.upper / "usr/share/tiny/below-0").exists()
    assert {path: path.lstat().st_mtime_ns for path in sorted(below.rglob("*"))} == before
    assert layer.install().document["skipped"]
    assert layer.run("enter", "--", "ls", f"{PREFIX}/usr/share/tiny").out == "above-0\nbelow-0\n"
    assert layer.run("verify").out.startswith("no findings")


def test_without_a_view_the_prefix_itself_is_built_in(layer: TinyLayer) -> None:
    layer.prefix = f"{layer.directory}/prefix/2026.11"
    Path(layer.prefix).mkdir(parents=True)
    layer.package("app-misc/one-1")
    layer.declare("app-misc/one")
    refused = layer.run("install", "--no-bind", "--offline", code=2)
    assert refused.err == (
        "error: --offline needs a view\n  hint: leave --no-bind out: the network is cut by the view's namespace\n"
    )
    assert list(Path(layer.prefix).iterdir()) == []
    layer.install("--no-bind")
    assert (Path(layer.prefix) / "usr/share/tiny/one-0").read_text() == "1\n"
    assert list(layer.upper.iterdir()) == []
    assert layer.install("--no-bind").document["skipped"]


def test_progress_is_one_json_object_a_line(layer: TinyLayer) -> None:
    layer.pausing("app-misc/slow-1", "src_compile")
    layer.declare("app-misc/slow")
    events: list[dict[str, object]] = []
    with layer.running("--format", "json", "install") as process:
        assert process.stderr is not None
        while not events or events[-1].get("phase") != "compile":  # told while the package still compiles
            events.append(json.loads(process.stderr.readline()))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert events[1]["packages"] == ["app-misc/slow-1"]
    kinds = [event["event"] for event in events]
    assert kinds[:3] == ["note", "packages-planned", "step-started"]
    assert {event["package"] for event in events if event["event"] == "package-phase"} == {"app-misc/slow-1"}


def test_progress_in_a_log_is_plain_lines(layer: TinyLayer) -> None:
    layer.package("app-misc/one-1")
    layer.declare("app-misc/one")
    done = layer.run("install", environment={"TERM": "xterm-256color"})
    assert "\x1b" not in done.out + done.err
    assert "\r" not in done.out + done.err
    assert f"log: {layer.last_run / 'logs'}\n" in done.err
    assert "0/1 app-misc/one-1: start\n" in done.err
    assert "1/1 app-misc/one-1: done in " in done.err
    assert done.out.startswith("installed  app-misc/one 1\n")

    quiet = layer.run("--quiet", "install", "--full")
    assert quiet.err == ""
    assert "nothing has changed" in quiet.out


def test_a_package_is_built_as_soon_as_what_it_needs_is_there(layer: TinyLayer) -> None:
    come = f"{PREFIX}/usr/share/tiny/above-0"
    wait = f"for _ in {{1..1000}}; do [[ ! -e {come} ]] || return 0; sleep 0.5; done; die 'it waited for us'"
    layer.package("app-misc/slow-1", phases=f"src_compile() {{ {wait}; }}\n")
    layer.package("app-misc/below-1")
    layer.package("app-misc/above-1", depend="app-misc/below")
    layer.declare("app-misc/slow", "app-misc/above")
    layer.install("--jobs", "2")
    assert layer.installed() == ["app-misc/above-1", "app-misc/below-1", "app-misc/slow-1"]


def test_another_target_can_be_planned_but_says_so_when_it_is_not_listed(layer: TinyLayer) -> None:
    layer.package("app-misc/one-1")
    layer.declare("app-misc/one")
    refused = layer.run("--target", "linux-riscv64", "plan", code=2)
    assert refused.err.startswith("error: layer.yaml lists no target 'linux-riscv64'\n")
    assert not layer.state.exists()


def test_merges_wait_for_each_other_only_where_one_runs_code_of_its_own(layer: TinyLayer) -> None:
    tell = 'src_compile() { has ebuild-locks ${FEATURES} && touch "${PORTAGE_TMPDIR}/locked-${PF}"; :; }\n'

    def locked() -> list[str]:
        return sorted(path.name.removeprefix("locked-") for path in (layer.state / "build" / PART).glob("locked-*"))

    layer.package("app-misc/one-1", phases=tell)
    layer.declare("app-misc/one")
    layer.install()
    assert locked() == []
    recorded = layer.upper / "var/db/pkg/app-misc/one-1/FEATURES"
    words = recorded.read_text().split()
    assert "parallel-install" in words
    assert "ebuild-locks" not in words

    layer.package("app-misc/two-1", phases=tell + "pkg_postinst() { :; }\n")
    layer.declare("app-misc/one", "app-misc/two")
    layer.install()
    assert locked() == ["two-1"]
    # What the tree holds does not depend on what was installed beside it.
    assert (layer.upper / "var/db/pkg/app-misc/two-1/FEATURES").read_text().split() == words

    # Nobody knows any more what the version that goes runs when it is removed.
    layer.package("app-misc/one-2", phases=tell)
    layer.install()
    assert locked() == ["one-2", "two-1"]
