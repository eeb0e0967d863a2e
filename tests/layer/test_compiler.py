"""What is built inside a layer belongs to the layer: its loader, its headers, its libraries, on every host."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.package("sys-devel/gcc")

SOURCES = {
    "gcc": ("c", "#include <stdio.h>\nint main(void) { return puts(__VERSION__) < 0; }\n"),
    "g++": (
        "cc",
        "#include <iostream>\n#include <stdexcept>\n"
        'int main() { try { throw std::runtime_error("caught"); } catch (const std::exception &one) { std::cout << one.what(); } }\n',
    ),
    "openmp": ("c", "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"),
}


def build(host: Any, scratch: str, kind: str, options: str = "") -> str:
    """Compile one of the programs above; where it lies."""
    ending, source = SOURCES[kind]
    compiler = {"cc": "g++", "c": "gcc"}[ending]
    more = "-fopenmp" if kind == "openmp" else ""
    host.run_expect([0], f"cat > {scratch}/{kind}.{ending} <<'END'\n{source}END\n")
    host.run_expect([0], f"cd {scratch} && {compiler} -O2 {more} {kind}.{ending} -o {kind} {options}")
    return f"{scratch}/{kind}"


def test_the_layers_own_compiler_is_found_first(host: Any, prefix: str) -> None:
    found = host.run("type -P gcc cc g++ c++ cpp as ld").stdout.split()
    assert found == [f"{prefix}/usr/bin/{name}" for name in ("gcc", "cc", "g++", "c++", "cpp", "as", "ld")]


@pytest.mark.parametrize("kind", SOURCES)
def test_a_program_runs_on_the_layers_loader_and_libraries(host: Any, prefix: str, scratch: str, kind: str) -> None:
    program = build(host, scratch, kind)
    host.run_expect([0], program)
    headers = host.run_expect([0], f"readelf -l {program}").stdout
    assert f"interpreter: {prefix}/" in headers
    shown = host.run_expect([0], f"LD_TRACE_LOADED_OBJECTS=1 {program}").stdout
    found = [line.split("=>")[-1].split()[0] for line in shown.splitlines() if "/" in line]
    assert found, shown
    assert [path for path in found if not path.startswith(f"{prefix}/")] == []
    assert "not found" not in shown


def test_the_compiler_looks_nowhere_but_into_the_layer(host: Any, prefix: str) -> None:
    searched = host.run_expect([0], "gcc -print-search-dirs").stdout
    directories = [path for line in searched.splitlines() for path in line.split("=")[-1].split(":") if path.startswith("/")]
    for language in ("c", "c++"):
        said = host.run_expect([0], f"gcc -x {language} -E -v - < /dev/null").stderr
        directories += [line.strip() for line in said.splitlines() if line.startswith(" /")]
    assert len(directories) > 4
    assert [path for path in directories if not path.startswith(f"{prefix}/")] == []


def test_a_static_program_needs_nothing(host: Any, scratch: str) -> None:
    program = build(host, scratch, "gcc", "-static")
    assert "INTERP" not in host.run_expect([0], f"readelf -l {program}").stdout
    host.run_expect([0], program)


@pytest.mark.package("dev-build/make")
def test_a_makefile_that_names_the_hosts_shell_gets_the_layers(host: Any, prefix: str, scratch: str) -> None:
    host.run_expect([0], f"printf 'SHELL = /bin/sh\\nall:; @readlink /proc/$$$$/exe; true\\n' > {scratch}/Makefile")
    assert host.run_expect([0], f"make -s -C {scratch}").stdout == f"{prefix}/usr/bin/bash\n"


@pytest.mark.package("app-arch/tar")
@pytest.mark.parametrize("ending", ["gz", "bz2", "xz"])
def test_sources_are_unpacked_however_they_were_compressed(host: Any, scratch: str, ending: str) -> None:
    host.run_expect([0], f"mkdir -p {scratch}/packed && echo content > {scratch}/packed/file")
    host.run_expect([0], f"cd {scratch} && tar -caf packed.tar.{ending} packed && rm -r packed && tar -xf packed.tar.{ending}")
    assert host.run_expect([0], f"cat {scratch}/packed/file").stdout == "content\n"


@pytest.mark.package("sys-apps/sed")
def test_the_tools_of_configure_scripts_are_the_layers(host: Any, prefix: str) -> None:
    names = ["sed", "grep", "awk", "find", "xargs", "cmp", "diff", "tar", "gzip", "which", "make", "patch"]
    assert host.run(f"type -P {' '.join(names)}").stdout.split() == [f"{prefix}/usr/bin/{name}" for name in names]
