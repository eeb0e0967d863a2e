"""The layer of this repository, built with the network cut from a mirror that was filled, exported, imported and served."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import compatlayer
from compatlayer.cli.context import this_machine
from compatlayer.gentoo import inventory
from tests.tiny_layer import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.real, pytest.mark.userns]

SOURCE = Path(compatlayer.__file__).parent.parent
STAGE = f"stages/2026.11-{this_machine()}/upper"


def command(state: Path, *arguments: str) -> list[str]:
    own = ["--layer", str(SOURCE / "layer.yaml"), "--layer-version", "2026.11", "--target", this_machine(), "--state", str(state)]
    return [sys.executable, "-m", "compatlayer", *own, "--format", "json", *arguments]


def run(state: Path, *arguments: str, **environment: str) -> None:
    done = subprocess.run(
        command(state, *arguments), cwd=SOURCE, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_layer_built_offline_has_the_inventory_of_the_one_built_online(tmp_path: Path) -> None:
    online, site, builder = tmp_path / "online", tmp_path / "site", tmp_path / "builder"
    run(online, "install")
    run(online, "mirror", "export", str(tmp_path / "mirror.tar"))
    run(site, "mirror", "import", str(tmp_path / "mirror.tar"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(command(site, "mirror", "serve", "--listen", f"127.0.0.1:{port}"), cwd=SOURCE)
    try:
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "nginx")
        run(builder, "mirror", "fill", COMPATLAYER_MIRROR_LOCAL=f"http://127.0.0.1:{port}")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    run(builder, "install", "--offline")
    first, second = inventory.read(online / STAGE), inventory.read(builder / STAGE)
    described = [[(str(one.id), one.slot, one.repository, one.use) for one in found] for found in (first, second)]
    assert described[0] == described[1]
    assert described[0]
