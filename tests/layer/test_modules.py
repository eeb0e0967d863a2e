"""Users find and load software through environment modules."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.package("sys-cluster/lmod")


def test_module_avail_lists_the_layers_own_module(host: Any) -> None:
    listed = host.run("module --terse avail 2>&1")
    assert listed.rc == 0
    assert "layer" in listed.stdout.split()


def test_loading_a_module_changes_the_environment_and_unloading_restores_it(host: Any) -> None:
    shown = host.run(
        'before=$PATH; module load layer && module --terse list 2>&1 && echo "home=$COMPATLAYER_PREFIX"'
        ' && module unload layer && [ "$PATH" = "$before" ] && echo restored'
    )
    assert shown.rc == 0, shown.stderr
    assert "layer" in shown.stdout.splitlines()
    assert "restored" in shown.stdout.splitlines()


def test_a_users_modulefile_is_found_below_modulepath(host: Any, scratch: str) -> None:
    shown = host.run(
        f'mkdir -p {scratch}/modules/tool && echo \'setenv("TOOL_HOME", "/opt/tool")\' > {scratch}/modules/tool/1.2.lua'
        f" && module use {scratch}/modules && module load tool/1.2 && echo $TOOL_HOME"
    )
    assert shown.stdout.splitlines()[-1] == "/opt/tool", shown.stderr


def test_an_unknown_module_is_an_error_that_names_it(host: Any) -> None:
    refused = host.run("module load no-such-module")
    assert refused.rc != 0
    assert "no-such-module" in refused.stderr


def test_lmod_runs_on_the_layers_lua(host: Any, prefix: str) -> None:
    configured = host.run("module --config 2>&1")
    interpreters = [line for line in configured.stdout.splitlines() if "Lua Version" in line or prefix in line]
    assert interpreters, configured.stdout
    assert host.run("head -n 1 $LMOD_CMD").stdout.strip().startswith(f"#!{prefix}/usr/bin/lua")
