"""Engine ``bootstrap`` from nothing to a layer that plans nothing: a stand-in for Gentoo's script, everything else real."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bootstrapped_layer import STAGES, BootstrappedLayer, bootstrapped_layer

pytestmark = [pytest.mark.integration, pytest.mark.userns]

STEPS = ["tree", *STAGES, "finish"]


@pytest.fixture
def site() -> Iterator[BootstrappedLayer]:
    with bootstrapped_layer() as site:
        yield site


def test_a_prefix_is_bootstrapped_converges_and_answers_for_itself(site: BootstrappedLayer) -> None:
    layer = site.layer
    planned = layer.run("--format", "json", "plan").document
    assert [step["step"] for step in planned["steps"]] == STEPS
    assert all(step["reason"] for step in planned["steps"])
    assert planned["actions"] == []
    installed = layer.install()
    assert installed.document["steps"] == STEPS
    assert [one["package"] for one in installed.document["actions"]] == ["app-misc/hello"], (
        "the script has brought the system set"
    )
    told = [event.get("step") or event.get("text") for event in installed.events]
    for said in ("bootstrap stage1", "stage1: building tool", "stage2: emerge sys-devel/gcc", "bootstrap stage3"):
        assert said in told
    assert layer.installed() == ["app-misc/hello-1", "sys-libs/libc-2"]
    assert layer.run("plan").out == "nothing to do\n"
    assert layer.run("verify", "--check", "declared").out.startswith("no findings; ")

    # Nothing is left of the bootstrap, and nothing of this machine.
    assert list((layer.upper / "tmp").iterdir()) == []
    for name in (
        ".compatlayer-bootstrap.json",
        "stage1.log",
        "var/db/repos/gentoo",
        "etc/portage/make.conf/0100_bootstrap_prefix_make.conf",
    ):
        assert not (layer.upper / name).exists(), name
    assert not (layer.upper / "etc/portage/make.profile").is_symlink()
    assert (layer.upper / "etc/hosts").readlink().as_posix() == "/etc/hosts", "a copy would be this machine's"
    assert not (layer.root / "gentoo/metadata/timestamp").exists(), "the declared tree was only read"
    assert not (layer.stage / "journal").exists()

    # What resolves now is the Portage in the prefix: only that one says so.
    site.declare("app-misc/hello", "app-misc/extra")
    assert layer.actions() == [("install", "app-misc/extra", "1")]
    (resolver,) = layer.upper.rglob("_emerge/depgraph.py")
    resolver.write_text(f"raise RuntimeError('the prefix was asked')\n{resolver.read_text()}")
    assert "the prefix was asked" in layer.run("plan", code=None).err


def test_the_mirror_keeps_the_script_and_its_sources(site: BootstrappedLayer) -> None:
    filled = site.layer.run("mirror", "fill")
    kept = {path.name for path in (site.layer.state / "mirror/distfiles").iterdir()}
    assert {"bootstrap-prefix-0123456789ab.sh", "tool-1.tar", "prefix-portage-3.tar"} <= kept, filled.out
    assert site.layer.run("check").code == 0
    for path in site.upstream.iterdir():
        path.unlink()
    assert "3" in site.layer.run("mirror", "status").out
