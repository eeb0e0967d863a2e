"""What the engine ``standalone`` does beside compiling: settings of the declaration, the compiler's place, stopping and going on.

Tiny packages under the real names: the settings reach them as they reach the real ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from tests.tiny_layer import PART, PREFIX, USER_ID, TinyLayer, processes_in, tiny_layer, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.userns, pytest.mark.real]

# As the overlay's own C library and base layout record what was declared.
RECORD_DIRECTORIES = 'echo "trusted_dirs=${CL_TRUSTED_DIRS}" > "${PORTAGE_BUILDDIR}/build-info/CL_COMPILED_IN"'
RECORD_NAMES = 'echo "nss=${CL_NSS}" > "${PORTAGE_BUILDDIR}/build-info/CL_COMPILED_IN"'
LIBRARY, LAYOUT, RUNTIME, TOOL = "sys-libs/glibc", "sys-apps/baselayout-prefix", "sys-libs/gcc-runtime", "app-misc/tool"


# Where the run is killed, in the order in which a run that goes on comes past: the phase, and the package it is in.
STOPS = [
    ("src_compile", LIBRARY),
    ("pkg_preinst", LIBRARY),
    ("pkg_postinst", LIBRARY),
    ("src_install", RUNTIME),
    ("src_compile", TOOL),
    ("pkg_preinst", TOOL),
]
STOP = """
cl_stop() {
	local wanted
	read -r wanted < "${PORTAGE_TMPDIR}/stop" 2>/dev/null || return 0
	[[ ${wanted} != "${PN} ${EBUILD_PHASE}" ]] || { touch "${PORTAGE_TMPDIR}/stopped"; sleep 600; }
}
"""


@pytest.fixture
def layer() -> Iterator[TinyLayer]:
    with tiny_layer() as layer:
        write(layer)
        yield layer


def write(layer: TinyLayer) -> None:
    """Four packages that stand on one another. A phase of one stays where it is while ``stop`` says so."""

    def phases(package: str, install: str) -> str:
        stops = [phase for phase, where in STOPS if where == package and phase != "src_install"]
        return f"{STOP}src_install() {{ cl_stop; {install}; }}\n" + "".join(f"{phase}() {{ cl_stop; }}\n" for phase in stops)

    own = "insinto /usr/share/tiny; newins - ${PN} <<< ${PVR}"
    layer.package(f"{LAYOUT}-1", phases=phases(LAYOUT, f"{own}; keepdir /usr/lib64; dosym usr/lib64 /lib64; {RECORD_NAMES}"))
    layer.package(f"{LIBRARY}-2", phases=phases(LIBRARY, f"{own}; {RECORD_DIRECTORIES}"), rdepend=LAYOUT)
    layer.package(f"{RUNTIME}-1", phases=phases(RUNTIME, own), depend=LIBRARY, rdepend=LIBRARY)
    compiler = "echo ${PATH%%:*} > place; type -P gcc >> place"
    layer.package(f"{TOOL}-1", phases=phases(TOOL, f"{own}; {compiler}; doins place"), depend=RUNTIME, rdepend=RUNTIME)
    declare(layer)


def stop(layer: TinyLayer, phase: str, package: str) -> None:
    """Let this phase of this package wait, and no other."""
    place = layer.state / "build" / PART
    place.mkdir(parents=True, exist_ok=True)
    (place / "stop").write_text(f"{package.rpartition('/')[2]} {phase.partition('_')[2]}\n")


def declare(layer: TinyLayer, **keys: str) -> None:
    keys = {"trusted_dirs": '["{prefix}/lib/override", /opt/vendor]'} | keys
    layer.declare(TOOL, engine="standalone", more="".join(f"    {key}: {value}\n" for key, value in keys.items()))


def test_the_library_knows_the_declared_directories_and_other_ones_mean_to_build_it_again(layer: TinyLayer) -> None:
    layer.install()
    recorded = layer.upper / "var/db/pkg/sys-libs/glibc-2/CL_COMPILED_IN"
    assert recorded.read_text() == f"trusted_dirs={PREFIX}/lib/override:/opt/vendor\n"
    assert (layer.upper / "lib/override").is_dir()
    assert layer.install().document["skipped"]

    declare(layer, trusted_dirs='["{prefix}/lib/other"]')
    plan = layer.run("plan").out
    assert "rebuild    sys-libs/glibc 2\n" in plan
    assert f"{PREFIX}/lib/other" in plan.replace("\n           ", "")
    assert [one[:2] for one in layer.actions()] == [("rebuild", LIBRARY)]
    assert "package-wrong-setting" in layer.run("verify", "--check", "declared", code=4).out
    layer.install()
    assert recorded.read_text() == f"trusted_dirs={PREFIX}/lib/other\n"
    assert layer.actions() == []
    assert layer.run("verify", "--check", "declared").out.startswith("no findings")


def test_who_looks_names_up_is_declared_by_a_link_and_can_be_changed(layer: TinyLayer) -> None:
    own = "[[ ${CL_NSS} == host ]] || { insinto /etc; newins - nsswitch.conf <<< own; }"
    layer.package(
        f"{LAYOUT}-1", phases=f"src_install() {{ keepdir /usr/lib64; dosym usr/lib64 /lib64; {own}; {RECORD_NAMES}; }}\n"
    )
    configuration = layer.upper / "etc/nsswitch.conf"
    layer.install()
    assert configuration.read_text() == "own\n"
    declare(layer, host_links="[/etc/nsswitch.conf, /etc/passwd]")
    assert [one[:2] for one in layer.actions()] == [("rebuild", LAYOUT)]
    layer.install()
    assert str(configuration.readlink()) == "/etc/nsswitch.conf"
    declare(layer, host_links="[/etc/passwd]")
    layer.install()
    assert not configuration.is_symlink()
    assert configuration.read_text() == "own\n"
    assert layer.run("verify").out.startswith("no findings")


@pytest.mark.parametrize(
    "user_id", [pytest.param(0, id="root", marks=pytest.mark.root), pytest.param(os.geteuid() or USER_ID, id="user")]
)
def test_for_anyone_the_compilers_wrapper_comes_first_and_lies_outside_the_layer(user_id: int) -> None:
    with tiny_layer(user_id) as layer:
        write(layer)
        layer.install()
        place = (layer.upper / "usr/share/tiny/place").read_text().splitlines()
        assert place[1] == "/compatlayer/toolchain/bin/gcc"
        assert not [path for path in layer.upper.rglob("*") if path.name in ("gcc", "specs")]
        assert {path.lstat().st_uid for path in layer.upper.rglob("*")} == {user_id}


def test_an_install_killed_again_and_again_ends_in_the_same_tree(layer: TinyLayer) -> None:
    layer.install()
    expected = layer.content()

    with tiny_layer() as stopped:
        write(stopped)
        for phase, package in STOPS:
            stop(stopped, phase, package)
            with stopped.running("install") as process:
                stopped.wait_for_pause("stopped")
                process.kill()
                process.wait()
            wait_for(lambda: not processes_in(stopped.directory), "what the killed install had started to end", 10)
        stop(stopped, "none", "none")
        stopped.install()
        assert stopped.content() == expected
        assert stopped.run("verify").out.startswith("no findings")


def test_an_install_killed_in_every_role_ends_in_the_same_tree(layer: TinyLayer) -> None:
    told = layer.install().err
    expected = layer.content()
    roles = [event["step"] for event in map(json.loads, told.splitlines()) if event["event"] == "step-started"]
    roles = [step for step in roles if step.startswith("role ")]
    assert len(roles) > 6

    with tiny_layer() as stopped:
        write(stopped)
        for role in roles:
            with stopped.running("--format", "json", "install") as process:
                assert process.stderr is not None
                for line in process.stderr:
                    if json.loads(line).get("step") == role:
                        break
                else:
                    pytest.fail(f"{role} was not reached again")
                process.kill()
                process.wait()
            wait_for(lambda: not processes_in(stopped.directory), "what the killed install had started to end", 10)
        stopped.install()
        assert stopped.content() == expected
        assert stopped.run("verify").out.startswith("no findings")
