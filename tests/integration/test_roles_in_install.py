"""What the declaration says about links, directories and locales reaches the stage through the real command line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tiny_layer import PREFIX, TinyLayer, tiny_layer

pytestmark = [pytest.mark.integration, pytest.mark.userns]

VARIANT = "$(TINY_HOSTS:-/etc/hosts)"
LINKS = f"    host_links: [/etc/passwd, {{path: /etc/hosts, target: '{VARIANT}'}}]\n"
TRUSTED = "    trusted_dirs: ['{prefix}/lib/override', /opt/site/lib]\n"
# The build writes down what it found in the layer's etc.
LOOK = f"""
src_compile() {{
	cat "{PREFIX}/etc/hosts" > /dev/null || die "cannot read the host's names"
	readlink "{PREFIX}/etc/hosts" > seen || die
}}

src_install() {{
	insinto /usr/share/look
	newins seen "seen-${{PV}}"
}}
"""


@pytest.fixture
def layer() -> Iterator[TinyLayer]:
    with tiny_layer() as layer:
        layer.package("app-misc/look-1", phases=LOOK)
        layer.declare("app-misc/look", more=LINKS + TRUSTED)
        yield layer


def changed_tasks(layer: TinyLayer) -> list[str]:
    """Tasks of the last run that changed something, as Ansible's own events have it."""
    events = [json.loads(path.read_text()) for path in (layer.last_run / "artifacts/ansible/job_events").glob("*.json")]
    events.sort(key=lambda event: event["counter"])
    return [
        f"{event['event_data'].get('role')}: {event['event_data']['task']}"
        for event in events
        if event["event"] == "runner_on_ok" and event["event_data"]["res"].get("changed")
    ]


def link(layer: TinyLayer, name: str) -> str:
    return os.readlink(layer.upper / name)


def playbook_of(layer: TinyLayer) -> str:
    return Path(json.loads((layer.last_run / "artifacts/ansible/command").read_text())["command"][-1]).name


def test_a_variant_is_plain_while_packages_are_built_and_itself_in_what_is_published(layer: TinyLayer) -> None:
    layer.install()
    assert playbook_of(layer) == "install.yml"
    assert (layer.upper / "usr/share/look/seen-1").read_text() == "/etc/hosts\n"
    assert (link(layer, "etc/passwd"), link(layer, "etc/hosts")) == ("/etc/passwd", VARIANT)
    assert (layer.upper / "lib/override").is_dir()
    assert not (layer.upper / "opt").exists()

    layer.install("--full")
    assert changed_tasks(layer) == []
    runs = layer.runs
    layer.install()
    assert layer.runs == runs, "Ansible was started, and nothing had changed"

    (layer.upper / "lib/override").rmdir()
    (layer.upper / "etc/passwd").unlink()
    (layer.upper / "etc/passwd").symlink_to("/dev/null")
    layer.install()
    assert changed_tasks(layer) == [
        "host_symlinks: Links lead to the host",
        "trusted_dirs: The directories that the loader trusts are there",
    ]
    assert link(layer, "etc/passwd") == "/etc/passwd"
    assert (layer.upper / "lib/override").is_dir()


def test_an_update_builds_through_plain_links_and_takes_away_only_what_is_no_longer_declared(layer: TinyLayer) -> None:
    layer.install()
    layer.package("app-misc/look-2", phases=LOOK)
    layer.install()
    assert playbook_of(layer) == "update.yml"
    assert (layer.upper / "usr/share/look/seen-2").read_text() == "/etc/hosts\n"
    assert link(layer, "etc/hosts") == VARIANT

    (layer.upper / "lib/override/libsite.so").write_text("a site's own")
    layer.declare("app-misc/look", more="    host_links: [/etc/passwd]\n")
    layer.install()
    assert not os.path.lexists(layer.upper / "etc/hosts")
    assert link(layer, "etc/passwd") == "/etc/passwd"
    assert (layer.upper / "lib/override/libsite.so").exists()


def test_a_link_in_the_place_of_a_layers_file_stops_the_install_and_keeps_the_file(layer: TinyLayer) -> None:
    layer.package("app-misc/plain-1")
    layer.declare("app-misc/plain")
    layer.install()
    (layer.upper / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    layer.declare("app-misc/plain", more=LINKS)
    error = layer.install(code=3).err
    assert "role host_symlinks, task 'Links lead to the host' failed" in error
    assert "etc/passwd is a file of the layer, and a link to the host is declared in its place" in error
    assert (layer.upper / "etc/passwd").read_text() == "root:x:0:0::/:/bin/sh\n"
    assert not os.path.lexists(layer.upper / "etc/hosts")
