"""A standalone layer needs nothing of its host but the kernel, and takes nothing else: this repository's, really built."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.tiny_layer import SOURCE

if TYPE_CHECKING:
    from tests.standalone_layer import StandaloneLayer

# The layer is built for the first of these, which takes two processors about nine minutes. A file's tests go to one worker
# (--dist loadfile), which begins with these: the others go on meanwhile.
pytestmark = [pytest.mark.integration, pytest.mark.userns, pytest.mark.real]

ANOTHER_USER = 23456
# One of each kind of program; each says something of its own.
SPEAK = {
    "bash": ("bash --version", "GNU bash"),
    "coreutils": ("sort --version", "GNU coreutils"),
    "C++": ("patchelf --version", "patchelf"),
    "bzip2": ("echo hello | bzip2 | bzip2 -d", "hello"),
    "lua": ("lua -e 'print(6 * 7)'", "42"),
    "a Lua module in C": ("lua -e 'print(require(\"posix.unistd\").getpid() > 0)'", "true"),
    "Tcl": ("echo 'puts [expr {6 * 7}]' | tclsh", "42"),
    "Lmod": ("module --terse avail 2>&1", "layer"),
    "iconv": ("printf 'caf\\351' | iconv -f latin1 -t utf-8", "café"),
}


def bash(layer: StandaloneLayer, line: str, **how: object) -> str:
    """What a login shell of the layer says to one line, in a root that holds nothing else."""
    return layer.in_empty_root(f"{layer.prefix}/bin/bash", "-lc", line, **how).stdout  # type: ignore[arg-type]


def test_it_is_what_was_declared_and_its_acceptance_tests_pass(standalone: StandaloneLayer) -> None:
    verdict = standalone.run("--format", "json", "verify").document
    # Names that differ in case are upstream's: headers of netfilter, directories of terminfo.
    assert {finding["id"] for finding in verdict["findings"]} <= {"name-case-collision"}
    assert standalone.run("plan").out == "nothing to do\n"
    standalone.run("test")


def test_its_acceptance_tests_pass_under_every_synthetic_host(standalone: StandaloneLayer) -> None:
    hosts = standalone.run("--format", "json", "hostlab").document["hosts"]
    assert {"empty", "preload", "nameless-user"} <= {host["host"] for host in hosts}
    assert {host["verdict"] for host in hosts} == {"passed"}


@pytest.mark.root
def test_published_and_checked_out_elsewhere_it_passes_for_another_user(standalone: StandaloneLayer) -> None:
    with another_site() as root:
        standalone.run("publish", layer=root / "layer.yaml")
        for path in (root, *root.rglob("*")):
            os.chown(path, ANOTHER_USER, ANOTHER_USER, follow_symlinks=False)
        state = ("--state", str(root / "state"))
        said = standalone.run(*state, "test", "--revision", "test", layer=root / "layer.yaml", user_id=ANOTHER_USER)
        assert " passed" in said.out + said.err


@contextmanager
def another_site() -> Iterator[Path]:
    """The declaration of this layer at another place, with repositories of its own, where everybody may look."""
    with tempfile.TemporaryDirectory(prefix="compatlayer-site-") as name:
        root = Path(name)
        for part in ("layer.yaml", "sets", "overlay", "config", "tests/layer"):
            source, target = SOURCE / part, root / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            else:
                shutil.copy2(source, target)
        root.chmod(0o755)
        yield root


@pytest.mark.parametrize("kind", SPEAK)
def test_its_programs_run_where_there_is_nothing_else(standalone: StandaloneLayer, kind: str) -> None:
    line, answer = SPEAK[kind]
    assert answer in bash(standalone, line)


def test_that_root_is_empty(standalone: StandaloneLayer) -> None:
    assert set(bash(standalone, "ls /").split()) == {standalone.prefix.parts[1], "dev", "proc", "tmp"}


def test_the_loader_looks_into_the_trusted_directories_first(standalone: StandaloneLayer, tmp_path: Path) -> None:
    prefix = standalone.prefix
    said = bash(standalone, "$COMPATLAYER_PREFIX/lib64/ld-linux-x86-64.so.2 --help")
    searched = [line.split()[0] for line in said.splitlines() if line.endswith("(system search path)")]
    assert searched == [f"{prefix}/lib/override", f"{prefix}/lib/nvidia", f"{prefix}/lib64", f"{prefix}/usr/lib64"]

    trace = f"LD_TRACE_LOADED_OBJECTS=1 {prefix}/usr/bin/bzip2"
    own = f"libbz2.so.1.0 => {prefix}/lib64/libbz2.so.1.0"
    assert own in bash(standalone, trace)
    (tmp_path / "libbz2.so.1.0").write_bytes((standalone.tree / "usr/lib64/libbz2.so.1.0").read_bytes())
    put = ("--ro-bind", str(tmp_path), f"{prefix}/usr/lib/override")
    assert f"libbz2.so.1.0 => {prefix}/lib/override/libbz2.so.1.0" in bash(standalone, trace, binds=put)


def test_a_hosts_preload_file_and_name_service_are_not_read(standalone: StandaloneLayer, tmp_path: Path) -> None:
    (tmp_path / "ld.so.preload").write_text("/lib/libhostile.so\n")
    (tmp_path / "nsswitch.conf").write_text("passwd: ldap\nhosts: nothing\n")
    (tmp_path / "passwd").write_text("hostuser:x:4711:4711::/:/bin/sh\n")
    (tmp_path / "hosts").write_text("192.0.2.7 compute1\n")
    done = standalone.in_empty_root(
        f"{standalone.prefix}/bin/bash",
        "-lc",
        "getent passwd 4711; getent hosts compute1",
        binds=("--ro-bind", str(tmp_path), "/etc"),
    )
    assert done.stderr == ""
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["hostuser:x:4711:4711::/:/bin/sh", "192.0.2.7"]


def test_a_user_without_a_name_can_work(standalone: StandaloneLayer) -> None:
    nameless = ("--unshare-user", "--uid", "4711", "--gid", "4711")
    said = bash(standalone, "id -u; cd /tmp; echo a > file; ls -l file; module --terse avail 2>&1", binds=nameless).splitlines()
    assert said[0] == "4711"
    assert " 4711 4711 " in said[1]
    assert "layer" in said[2:]


def test_its_locales_are_its_own(standalone: StandaloneLayer) -> None:
    assert {"C.utf8", "en_US.utf8"} <= set(bash(standalone, "locale -a").split())
    assert bash(standalone, 'LC_ALL=en_US.UTF-8 printf "%\'d\\n" 1234567') == "1,234,567\n"
    assert bash(standalone, "LC_ALL=C.UTF-8 bash -c 'word=äöü; echo ${#word}'") == "3\n"


def test_the_shell_that_libraries_start_is_its_own(standalone: StandaloneLayer) -> None:
    line = "os.execute('echo ${BASH}'); print(io.popen('echo ${BASH_VERSION%%.*}'):read())"
    assert bash(standalone, f'lua -e "{line}"'.replace("$", "\\$")).split() == [f"{standalone.prefix}/usr/bin/sh", "5"]


def test_nothing_of_the_compilers_wrapper_is_in_it(standalone: StandaloneLayer) -> None:
    traces = [path for path in standalone.tree.rglob("*") if path.is_symlink() and "/compatlayer/" in os.readlink(path)]
    for path in standalone.tree.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.name != "environment.bz2":
            content = path.read_bytes()
            if b"/compatlayer/toolchain" in content or b"-specs=" in content:
                traces.append(path)
    assert traces == []
