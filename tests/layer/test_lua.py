"""Lua finds its modules inside the layer, and nowhere on the host."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.package("dev-lang/lua", "dev-lua/luaposix", "dev-lua/luafilesystem", "dev-lua/lua-term")


@pytest.mark.parametrize("name", ["posix", "posix.unistd", "lfs", "term"])
def test_a_module_is_loaded_from_the_layer(host: Any, prefix: str, name: str) -> None:
    found = host.run("lua -e %s", f"require('{name}'); print(package.searchpath('{name}', package.path .. ';' .. package.cpath))")
    assert found.rc == 0, found.stderr
    assert found.stdout.strip().startswith(f"{prefix}/")


def test_luas_loaders_do_not_look_into_the_hosts_directories(host: Any) -> None:
    paths = host.run("lua -e 'print(package.path .. \";\" .. package.cpath)'").stdout.strip().split(";")
    assert len(paths) > 2
    assert [path for path in paths if path.startswith(("/usr/", "/lib"))] == []


def test_lua_refuses_a_module_that_does_not_exist(host: Any) -> None:
    refused = host.run("lua -e \"require('no_such_module')\"")
    assert refused.rc != 0
    assert "no_such_module" in refused.stderr


def test_posix_and_lfs_agree_about_a_directory(host: Any, scratch: str) -> None:
    asked = host.run(
        "lua -e %s",
        "local lfs, stat = require('lfs'), require('posix.sys.stat')"
        f" print(lfs.attributes('{scratch}', 'mode'), stat.S_ISDIR(stat.stat('{scratch}').st_mode))",
    )
    assert asked.stdout.split() == ["directory", "1"]
