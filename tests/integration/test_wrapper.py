"""The compiler of a standalone prefix is the host's, and sees nothing of the host but itself."""

from __future__ import annotations

import shlex
from pathlib import Path, PurePosixPath

import pytest

from compatlayer import process
from compatlayer.engine import standalone, wrapper

pytestmark = pytest.mark.integration

ARCH, CHOST = "x86_64", "x86_64-pc-linux-gnu"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A toolchain laid out for the prefix ``tmp_path/prefix``."""
    prefix, place = tmp_path / "prefix", tmp_path / "toolchain"
    (prefix / "usr/include").mkdir(parents=True)
    (prefix / "usr/lib64").mkdir(parents=True)
    made = wrapper.toolchain(PurePosixPath(prefix), ARCH, CHOST, "lib64", standalone.compiler(), PurePosixPath(place))
    for path, text in (*made.scripts.items(), *made.files.items()):
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
    for path in made.scripts:
        (place / path).chmod(0o755)
    for path, target in made.links.items():
        (place / path).symlink_to(target)
    return place


def link_command(place: Path, compiler: str, *flags: str) -> list[str]:
    """The linker's arguments, as the compiler would call it."""
    said = process.run([place / "bin" / compiler, "-###", *flags, "-x", "c", "/dev/null", "-o", "/dev/null"]).stderr
    return shlex.split(next(line for line in reversed(said.splitlines()) if "collect2" in line))


@pytest.mark.parametrize("compiler", ["gcc", "cc", "g++", f"{CHOST}-gcc", f"{CHOST}-g++"])
def test_a_program_asks_for_the_layers_loader_and_no_other(place: Path, compiler: str) -> None:
    command = link_command(place, compiler)
    loaders = [command[index + 1] for index, word in enumerate(command) if word == "-dynamic-linker"]
    # The linker takes the last one.
    assert loaders[-1] == f"{place.parent}/prefix/lib64/ld-linux-x86-64.so.2"


@pytest.mark.parametrize("flag", ["-static", "-shared", "-static-pie"])
def test_what_is_static_or_a_library_names_no_loader_of_ours(place: Path, flag: str) -> None:
    assert f"{place.parent}/prefix/lib64/ld-linux-x86-64.so.2" not in link_command(place, "gcc", flag)


def test_the_linker_is_given_no_directory_of_the_hosts_libraries(place: Path) -> None:
    directories = [word[2:] for word in link_command(place, "gcc") if word.startswith("-L")]
    assert directories
    assert [one for one in directories if not one.startswith(str(place.parent))] == []


def test_without_the_specs_the_hosts_directories_would_be_there(place: Path) -> None:
    """The fault that the specs cure: --sysroot alone leaves them in."""
    (place / "specs").write_text("")
    directories = [word[2:] for word in link_command(place, "gcc") if word.startswith("-L")]
    assert any(not one.startswith(str(place.parent)) for one in directories)


def test_assembler_and_linker_are_the_hosts_when_the_layer_has_some_of_its_own(place: Path, tmp_path: Path) -> None:
    """Those of the layer may be half installed just then; and what came before them was made by the host's."""
    own = place.parent / "prefix/usr/bin"
    own.mkdir()
    for tool in ("as", "ld", "ar", f"{CHOST}-ar"):
        (own / tool).write_text("#!/bin/sh\necho half installed >&2\nexit 127\n")
        (own / tool).chmod(0o755)
    source = tmp_path / "one.c"
    source.write_text("int one(void) { return 1; }\n")
    path = {"PATH": f"{place}/bin:{own}:/usr/bin:/bin"}
    process.run([place / "bin/gcc", "-nostdlib", "-shared", "-fPIC", source, "-o", tmp_path / "one.so"], env=path)
    process.run([place / "bin/gcc", "-c", source, "-o", tmp_path / "one.o"], env=path)
    for tool in ("ar", f"{CHOST}-ar"):
        process.run(["sh", "-c", f"{tool} rc {tmp_path}/one.a {tmp_path}/one.o"], env=path)


@pytest.mark.parametrize(("compiler", "language"), [("gcc", "c"), ("g++", "c++")])
def test_the_hosts_headers_are_not_seen(place: Path, compiler: str, language: str, tmp_path: Path) -> None:
    source = tmp_path / f"main.{language}"
    source.write_text("#include <zlib.h>\n#include <stdio.h>\n")
    refused = process.run([place / "bin" / compiler, "-E", "-x", language, source], check=False)
    assert refused.returncode != 0
    (place.parent / "prefix/usr/include/stdio.h").write_text("int from_the_layer;\n")
    source.write_text("#include <stdio.h>\n")
    assert "from_the_layer" in process.run([place / "bin" / compiler, "-E", "-x", language, source]).stdout


def test_the_compilers_own_headers_are_seen(place: Path, tmp_path: Path) -> None:
    source = tmp_path / "main.c"
    source.write_text("#include <stddef.h>\nsize_t size;\n")
    assert process.run([place / "bin" / "gcc", "-c", source, "-o", tmp_path / "main.o"]).returncode == 0


def test_pkg_config_reads_only_the_layers_files(place: Path) -> None:
    script = (place / "bin" / "pkg-config").read_text()
    assert f"PKG_CONFIG_LIBDIR={place.parent}/prefix/usr/lib64/pkgconfig:" in script
    assert "PKG_CONFIG_PATH=\n" in script
