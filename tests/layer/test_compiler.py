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


def building(scratch: str, kind: str, options: str = "") -> str:
    """A line of shell that makes one of the programs above and stays where it is; every line has a new root."""
    ending, source = SOURCES[kind]
    compiler = {"cc": "g++", "c": "gcc"}[ending]
    more = "-fopenmp" if kind == "openmp" else ""
    return f"cd {scratch}\ncat > {kind}.{ending} <<'END'\n{source}END\n{compiler} -O2 {more} {kind}.{ending} -o {kind} {options}"


def test_the_layers_own_compiler_is_found_first(host: Any, prefix: str) -> None:
    found = host.run("type -P gcc cc g++ c++ cpp as ld").stdout.split()
    assert found == [f"{prefix}/usr/bin/{name}" for name in ("gcc", "cc", "g++", "c++", "cpp", "as", "ld")]


@pytest.mark.parametrize("kind", SOURCES)
def test_a_program_runs_on_the_layers_loader_and_libraries(host: Any, prefix: str, scratch: str, kind: str) -> None:
    made = building(scratch, kind)
    host.run_expect([0], f"{made} && ./{kind}")
    assert f"interpreter: {prefix}/" in host.run_expect([0], f"{made} && readelf -l {kind}").stdout
    shown = host.run_expect([0], f"{made} && LD_TRACE_LOADED_OBJECTS=1 ./{kind}").stdout
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
    shown = host.run_expect([0], f"{building(scratch, 'gcc', '-static')} && ./gcc && readelf -l gcc").stdout
    assert "LOAD" in shown
    assert "INTERP" not in shown


@pytest.mark.package("dev-build/make")
def test_a_makefile_that_names_the_hosts_shell_gets_the_layers(host: Any, prefix: str, scratch: str) -> None:
    makefile = "SHELL = /bin/sh\\nall:; @readlink /proc/$$$$/exe; true\\n"
    said = host.run_expect([0], f"cd {scratch} && printf '{makefile}' > Makefile && make -s").stdout
    assert said == f"{prefix}/usr/bin/bash\n"


@pytest.mark.package("app-arch/tar")
@pytest.mark.parametrize("ending", ["gz", "bz2", "xz"])
def test_sources_are_unpacked_however_they_were_compressed(host: Any, scratch: str, ending: str) -> None:
    packing = f"mkdir packed && echo content > packed/file && tar -caf packed.tar.{ending} packed && rm -r packed"
    said = host.run_expect([0], f"cd {scratch} && {packing} && tar -xf packed.tar.{ending} && cat packed/file").stdout
    assert said == "content\n"


@pytest.mark.package("sys-apps/sed")
def test_the_tools_of_configure_scripts_are_the_layers(host: Any, prefix: str) -> None:
    names = ["sed", "grep", "awk", "find", "xargs", "cmp", "diff", "tar", "gzip", "which", "make", "patch"]
    assert host.run(f"type -P {' '.join(names)}").stdout.split() == [f"{prefix}/usr/bin/{name}" for name in names]
