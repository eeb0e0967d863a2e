"""On a layer with a compiler inside, EasyBuild builds software from source where there is nothing but the layer."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.compiler_layer import STORE, compiler_layer, easybuild
from tests.standalone_layer import StandaloneLayer
from tests.tiny_layer import SOURCE

# Slow: the first time the compiler is built, later the layer comes from binary packages in about a minute.
pytestmark = [pytest.mark.integration, pytest.mark.userns, pytest.mark.real, pytest.mark.slow]

EASYBUILD_TIMEOUT_S = 900
# Where these are seen in the root: not where they lie here, so that nothing finds them by accident.
TOOL, SOURCES, WORK = "/easybuild", "/sources", "/work"
NOBODY = ("--unshare-user", "--uid", "4711", "--gid", "4711")


@dataclass(frozen=True)
class Built:
    """What EasyBuild said, and where what it has built lies here and in the root."""

    said: str
    work: Path

    @property
    def software(self) -> Path:
        return self.work / "installed" / "software" / "bzip2" / "1.0.8"


@pytest.fixture(scope="module")
def layer() -> StandaloneLayer:
    return compiler_layer()[0]


@pytest.fixture(scope="module")
def built(layer: StandaloneLayer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """bzip2, built by EasyBuild's own easyconfig for it: no configuration, no toolchain, nothing mounted but sources and EasyBuild."""
    work = tmp_path_factory.mktemp("easybuild")
    work.chmod(0o777)
    place = easybuild()
    (library,) = place.glob("lib/python3*/site-packages")
    recipe = f"{TOOL}/easybuild/easyconfigs/b/bzip2/bzip2-1.0.8.eb"
    options = (
        f"--installpath={WORK}/installed --sourcepath={WORK}/fetched:{SOURCES} --buildpath={WORK}/build --tmpdir={WORK}/tmp"
        # The recipe wants a newer linker than old hosts have; the layer's is newer.
        " --filter-deps=binutils --modules-tool=Lmod --module-syntax=Lua"
        # Its wrappers for run-time paths are scripts that begin with #!/bin/bash, which is not there.
        f" --disable-rpath --env-for-shebang={layer.prefix}/usr/bin/env"
    )
    line = f"mkdir {WORK}/tmp && cd {WORK} && PATH=$PATH:{TOOL}/bin HOME={WORK} PYTHONPATH={TOOL}/{library.relative_to(place)}"
    said = inside(layer, work, f"{line} python3 -m easybuild.main {options} {recipe}", timeout_s=EASYBUILD_TIMEOUT_S)
    yield Built(said, work)
    subprocess.run(["chmod", "-R", "u+w", str(work)], check=True)


def inside(layer: StandaloneLayer, work: Path, line: str, timeout_s: float = 60) -> str:
    """What a login shell of the layer says to one line, as a user without a name, where there is nothing else but EasyBuild."""
    sources = work / "sources"
    sources.mkdir(exist_ok=True)
    archive = SOURCE / ".compatlayer" / "mirror" / "distfiles" / "bzip2-1.0.8.tar.gz"
    if not (sources / archive.name).exists():
        (sources / archive.name).hardlink_to(archive)
    binds = [*NOBODY, "--ro-bind", str(easybuild()), TOOL, "--ro-bind", str(sources), SOURCES, "--bind", str(work), WORK]
    return layer.in_empty_root(f"{layer.prefix}/bin/bash", "-lc", line, binds=binds, timeout_s=timeout_s).stdout


def leaks(file: Path, inside: tuple[str, ...]) -> set[str]:
    """The interpreter and the directories searched by a program that are not below one of ``inside``."""
    shown = subprocess.run(
        ["readelf", "-ld", str(file)], capture_output=True, text=True, check=True, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    )
    found = re.findall(r"interpreter: (\S+?)\]", shown.stdout)
    for paths in re.findall(r"R(?:UN)?PATH\)\s+Library \S+ \[(.*)\]", shown.stdout):
        found += paths.split(":")
    return {path for path in found if not path.startswith(inside)}


def test_easybuild_builds_from_source_where_there_is_nothing_but_the_layer(layer: StandaloneLayer, built: Built) -> None:
    assert "COMPLETED: Installation ended successfully" in built.said
    root = inside(layer, built.work, "echo /*").split()
    assert root == sorted(["/cvmfs", "/dev", TOOL, "/proc", SOURCES, "/tmp", WORK])


def test_what_was_built_runs_there_and_as_a_module(layer: StandaloneLayer, built: Built) -> None:
    line = (
        f"module use {WORK}/installed/modules/all && module load bzip2/1.0.8 && type -P bzip2 && echo hello | bzip2 | bzip2 -dc"
    )
    assert inside(layer, built.work, line).split() == [f"{WORK}/installed/software/bzip2/1.0.8/bin/bzip2", "hello"]


def test_what_was_built_uses_the_layers_loader_and_libraries(layer: StandaloneLayer, built: Built) -> None:
    programs = [built.software / "bin" / "bzip2", built.software / "lib" / "libbz2.so.1.0.8"]
    assert [leaks(program, (f"{layer.prefix}/",)) for program in programs] == [set(), set()]
    line = f"LD_TRACE_LOADED_OBJECTS=1 {WORK}/installed/software/bzip2/1.0.8/bin/bzip2"
    found = re.findall(r"(\S+) \(0x", inside(layer, built.work, line))
    libraries = [path for path in found if path.startswith("/")]
    assert any("/libc.so.6" in path for path in libraries)
    assert [path for path in libraries if not path.startswith(f"{layer.prefix}/")] == []


def test_a_program_of_the_hosts_compiler_would_be_noticed(layer: StandaloneLayer, tmp_path: Path) -> None:
    (tmp_path / "empty.c").write_text("int main(void) { return 0; }\n")
    subprocess.run(["gcc", "-Wl,-rpath,/opt/elsewhere", "empty.c", "-o", "empty"], cwd=tmp_path, check=True)
    assert {Path(path).parts[1] for path in leaks(tmp_path / "empty", (f"{layer.prefix}/",))} == {"lib64", "opt"}


def test_the_compiler_is_kept_as_a_binary_package(layer: StandaloneLayer) -> None:
    _, origins = compiler_layer(anew=True)
    assert {name for name, origin in origins.items() if origin != "binary"} == set()
    assert {"gcc", "glibc", "python"} <= {name.split("/")[1].split("-")[0] for name in origins}
    assert STORE.is_dir()


def test_the_layer_verifies_and_its_acceptance_tests_pass_in_an_empty_root(layer: StandaloneLayer) -> None:
    findings = layer.run("--format", "json", "verify").document["findings"]
    assert [finding for finding in findings if finding["severity"] == "error"] == []
    layer.run("test", "--empty-root")
