"""A layer with a C library of its own takes nothing from its host but the kernel, and keeps out what a host pushes in."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.package("sys-libs/glibc")


def test_programs_map_no_file_from_outside(host: Any, prefix: str) -> None:
    shown = host.run("cat /proc/self/maps; lua -e 'for line in io.lines(\"/proc/self/maps\") do print(line) end'")
    mapped = {line.split()[-1] for line in shown.stdout.splitlines() if line.split()[-1].startswith("/")}
    assert any(path.endswith("/libc.so.6") for path in mapped), shown.stdout
    assert {path for path in mapped if not path.startswith(f"{prefix}/")} == set()


@pytest.mark.parametrize("name", ["bash", "lua", "bzip2", "sort"])
def test_every_library_is_found_in_the_layer(host: Any, prefix: str, name: str) -> None:
    shown = host.run(f"LD_TRACE_LOADED_OBJECTS=1 {prefix}/usr/bin/{name}").stdout
    found = [line.split("=>")[-1].split()[0] for line in shown.splitlines() if "/" in line]
    assert found, shown
    assert [path for path in found if not path.startswith(f"{prefix}/")] == []
    assert "not found" not in shown


def test_programs_speak_utf_8_whatever_the_host_is_set_to(host: Any) -> None:
    assert host.run('lua -e \'print(os.setlocale("", "ctype"))\'').stdout.strip().lower().replace("-", "").endswith("utf8")


def test_a_shell_says_who_it_is_even_where_nobody_has_a_name(host: Any) -> None:
    shown = host.run("id -u; bash -c 'cd / && echo ~ && pwd'")
    assert shown.rc == 0, shown.stderr
    assert shown.stdout.split()[0].isdigit()


@pytest.mark.package("app-portage/prefix-toolkit")
@pytest.mark.parametrize(
    "variable", ["LUA_INIT", "LUA_PATH", "PYTHONPATH", "PERL5LIB", "LD_LIBRARY_PATH", "LD_PRELOAD", "BASH_ENV", "LC_ALL=x"]
)
def test_startprefix_keeps_out_what_would_change_the_layers_programs(host: Any, prefix: str, variable: str) -> None:
    name, _, value = variable.partition("=")
    shown = host.run(f"{name}={value or '/no/such/thing'} {prefix}/startprefix env")
    assert shown.rc == 0, shown.stderr
    assert [line for line in shown.stdout.splitlines() if line.startswith(f"{name}=")] == []
    assert f"COMPATLAYER_PREFIX={prefix}" in shown.stdout.splitlines()


@pytest.mark.package("app-portage/prefix-toolkit")
def test_init_changes_a_shell_once_however_often_it_is_read(host: Any, prefix: str) -> None:
    shown = host.run(
        f"unset COMPATLAYER_PREFIX; PATH=/usr/bin:/bin; . {prefix}/init.sh; first=$(env | LC_ALL=C sort); . {prefix}/init.sh"
        ' && [ "$first" = "$(env | LC_ALL=C sort)" ] && echo same && echo $PATH'
    )
    assert shown.stdout.splitlines() == ["same", f"{prefix}/usr/bin:{prefix}/usr/sbin:/usr/bin:/bin"], shown.stderr


@pytest.mark.package("app-portage/prefix-toolkit")
def test_certificates_are_those_that_are_there(host: Any, prefix: str) -> None:
    shown = host.run(f'{prefix}/startprefix bash -c \'echo "[$SSL_CERT_FILE]"; [ -z "$SSL_CERT_FILE" ] || : < "$SSL_CERT_FILE"\'')
    assert shown.rc == 0, shown.stdout + shown.stderr
