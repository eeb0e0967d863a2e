"""Installs that are killed, interrupted or fail: what is said, what stays, and that the next one ends in the same inventory."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.tiny_layer import TARGET, TinyLayer, processes_in, tiny_layer, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.userns, pytest.mark.real]


@pytest.fixture
def layer() -> Iterator[TinyLayer]:
    with tiny_layer() as layer:
        yield layer


def declare_pausing(layer: TinyLayer) -> None:
    layer.package("app-misc/first-1")
    layer.pausing("app-misc/second-1", "src_compile", rdepend="app-misc/first")
    layer.package("app-misc/third-1", rdepend="app-misc/second")
    layer.declare("app-misc/third")


def test_an_install_killed_or_interrupted_in_a_compile_goes_on_and_ends_in_the_same_inventory(layer: TinyLayer) -> None:
    with tiny_layer() as undisturbed:
        declare_pausing(undisturbed)
        undisturbed.go()
        undisturbed.install()
        expected = undisturbed.content()

    declare_pausing(layer)
    with layer.running("install") as process:
        layer.wait_for_pause("src_compile")
        # A second install is refused meanwhile, and names the first.
        refused = layer.run("install", code=5)
        assert re.match(
            rf"error: {re.escape(str(layer.stage))} is in use\n"
            rf"  held by: install of 2026\.11/{TARGET.os}-{TARGET.arch}, process {process.pid} of \S+ on \S+, since \S+Z\n"
            "  hint: wait until it has finished, or stop it;",
            refused.err,
        )
        process.kill()
        process.wait()
    wait_for(lambda: not processes_in(layer.directory), "what the killed install had started to end", 10)
    assert layer.installed() == ["app-misc/first-1"]

    with layer.running("install") as process:
        layer.wait_for_pause("src_compile")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        # Nothing is left running when it returns.
        assert processes_in(layer.directory) == {}
    assert (process.returncode, out) == (130, "")
    assert err.endswith("interrupted; the same command goes on from here\n")
    assert layer.installed() == ["app-misc/first-1"]

    layer.go()
    rest = layer.install()
    assert [one["package"] for one in rest.document["actions"]] == ["app-misc/second", "app-misc/third"]
    assert layer.content() == expected
    assert not (layer.stage / "journal").exists()
    assert layer.run("verify").out.startswith("no findings")


def test_an_install_killed_in_a_merge_goes_on_and_leaves_nothing_of_it(layer: TinyLayer) -> None:
    def declare(layer: TinyLayer, version: str) -> None:
        wait = "touch ${PORTAGE_TMPDIR}/replacing; [[ -e ${PORTAGE_TMPDIR}/go ]] || sleep 600"
        own = f"src_install() {{ insinto /usr/share/tiny; newins - only-in-{version} <<< {version}; }}\n"
        # Portage merges the new version's files, and then removes the old one's: it is stopped between the two.
        layer.package(f"app-misc/replaced-{version}", phases=f"{own}pkg_prerm() {{ {wait}; }}\n")
        layer.declare("app-misc/replaced")

    with tiny_layer() as undisturbed:
        declare(undisturbed, "2")
        undisturbed.install()
        expected = undisturbed.content()

    declare(layer, "1")
    layer.install()
    declare(layer, "2")
    with layer.running("install") as process:
        layer.wait_for_pause("replacing")
        process.kill()
        process.wait()
    wait_for(lambda: not processes_in(layer.directory), "what the killed install had started to end", 10)
    database = layer.upper / "var/db/pkg/app-misc"
    assert {path.name for path in database.iterdir() if not path.name.startswith(".")} == {"replaced-1", "-MERGING-replaced-2"}
    found = layer.run("verify", code=4)
    assert "-MERGING-replaced-2" in found.out

    layer.go()
    rest = layer.install()
    assert [(one["action"], one["package"]) for one in rest.document["actions"]] == [("upgrade", "app-misc/replaced")]
    assert layer.content() == expected
    assert layer.run("verify").out.startswith("no findings")


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        ("compile", "cc: error: no such thing"),
        ("install", "cp: cannot stat 'what-was-not-built'"),
        ("test", "FAIL: 1 of 3 tests"),
    ],
)
def test_a_package_that_fails_is_named_with_phase_log_and_last_words(layer: TinyLayer, phase: str, said: str) -> None:
    layer.package("app-misc/good-1")
    layer.package(
        "app-misc/bad-1", phases=f"src_{phase}() {{ echo \"{said}\" >&2; die 'so much for that'; }}\n", rdepend="app-misc/good"
    )
    layer.config("make.conf", 'FEATURES="test"\n')
    layer.declare("app-misc/bad")
    failed = layer.run("install", code=3)
    error = failed.err[failed.err.index("error: ") :]
    assert error.startswith(
        f"error: role package_set, task 'The declared packages are installed': app-misc/bad-1 failed in phase {phase}\n"
    )
    assert f"  {said}\n   * ERROR: app-misc/bad-1::tiny failed ({phase} phase):\n   *   so much for that\n" in error
    assert "  hint: read the log; what was built before this package is kept, and the next run goes on from there\n" in error
    log = re.search(r"^  log: (.+)$", error, re.MULTILINE)
    assert log is not None
    assert said in Path(log.group(1)).read_text()
    assert str(layer.last_run) in log.group(1)
    assert layer.installed() == ["app-misc/good-1"]
    assert processes_in(layer.directory) == {}


def test_offline_a_build_that_needs_the_network_fails_with_its_name(layer: TinyLayer) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(layer.directory))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        layer.package(
            "app-misc/greedy-1", phases=f"src_compile() {{ wget -q -t1 http://127.0.0.1:{port}/ || die 'cannot download'; }}\n"
        )
        layer.declare("app-misc/greedy")
        failed = layer.run("install", "--offline", code=3)
        server.shutdown()
    assert "app-misc/greedy-1 failed in phase compile\n" in failed.err
    assert "   *   cannot download\n" in failed.err
    assert "  hint: the network was cut: --offline\n" in failed.err
    assert layer.installed() == []


def test_a_source_that_nobody_has_and_a_wrong_one_are_refused_before_anything_is_built(layer: TinyLayer) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(layer.directory))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        upstream = f"http://127.0.0.1:{server.server_address[1]}"
        (layer.directory / "wrong-1.tar").write_bytes(b"altered")
        for name in ("wrong", "absent"):
            layer.package(f"app-misc/{name}-1", src_uri=f"{upstream}/{name}-1.tar", distfiles={f"{name}-1.tar": b"as made"})
            layer.declare(f"app-misc/{name}")
            failed = layer.run("install", code=6)
            assert f"{name}-1.tar" in failed.err
            assert layer.installed() == []
        server.shutdown()


def test_an_unsatisfied_dependency_and_a_masked_package_are_refused_before_anything_is_built(layer: TinyLayer) -> None:
    layer.package("app-misc/lonely-1", rdepend="app-misc/nowhere")
    layer.declare("app-misc/lonely")
    assert layer.run("install", code=3).err == (
        "error: no ebuild repository has a package for app-misc/nowhere\n"
        "  required by app-misc/lonely-1 (app-misc/nowhere)\n"
        "  declared in set.yaml:3\n"
        "  hint: check the name, or add the overlay that has it\n"
    )
    layer.package("app-misc/masked-1")
    mask = layer.repository.mask("# Somebody: it eats disks\napp-misc/masked\n")
    layer.declare("app-misc/masked")
    refused = layer.run("install", code=3).err
    assert refused.startswith(
        "error: every ebuild for app-misc/masked is masked\n"
        f"  app-misc/masked-1:0::tiny: masked by {mask}:2: Somebody: it eats disks\n"
    )
    assert list(layer.upper.iterdir()) == []
    assert layer.runs == []


def test_a_prefix_that_cannot_be_written_is_refused_by_the_preflight(layer: TinyLayer) -> None:
    if os.geteuid() == 0:
        layer.user_id = 1  # a user with a name: without a view there is no other
    layer.prefix = f"{layer.directory}/closed/2026.11"
    Path(layer.prefix).mkdir(parents=True)
    layer.state.mkdir(mode=0o777)
    layer.state.chmod(0o777)
    Path(layer.prefix).chmod(0o555)
    layer.package("app-misc/one-1")
    layer.declare("app-misc/one")
    failed = layer.run("install", "--no-bind", code=3)
    assert "role host_preflight, task 'Refuse a machine that cannot build' failed\n" in failed.err
    assert f"prefix {layer.prefix} is not writable" in failed.err
    assert list(Path(layer.prefix).iterdir()) == []
