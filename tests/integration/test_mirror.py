"""The mirror from end to end: real Portage, real nginx, and a layer that is built with the network cut."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from compatlayer.engine import settings
from compatlayer.mirror import layout
from tests import misbehaving_server as bad
from tests.ebuild_repository import TinyRepository, write_root
from tests.misbehaving_server import MisbehavingServer
from tests.tiny_layer import TARGET, TinyLayer, tiny_layer, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.real]

# Installs what was fetched, so that an installed file proves where its bytes came from.
INSTALL_IT = """
S=${WORKDIR}
src_install() {
	insinto /usr/share/tiny
	newins "${DISTDIR}/${P}.data" "${PN}"
}
"""
DOWNLOADS = """
src_compile() {
	wget -q -T 5 -t 1 -O stolen "%s" || die "no network"
}
"""


@dataclass
class Site(TinyLayer):
    """Another machine, with the same declaration and a state directory of its own."""

    place: str = "state"

    def __post_init__(self) -> None:
        self.environment: dict[str, str] = {}  # the repository is there already

    @property
    def state(self) -> Path:
        return self.directory / self.place


@pytest.fixture
def layer() -> Iterator[TinyLayer]:
    with tiny_layer() as layer:
        yield layer


@pytest.fixture
def upstream() -> Iterator[MisbehavingServer]:
    with MisbehavingServer() as server:
        yield server


def publish(repository: TinyRepository, upstream: MisbehavingServer, cpv: str, *, phases: str = "", **metadata: str) -> bytes:
    """A package whose only source is a file that ``upstream`` has."""
    name = cpv.partition("/")[2]
    content = f"the source of {cpv}\n".encode() * 100
    url = upstream.serve(f"/{name}.data", content)
    files = {f"{name}.data": content}
    repository.ebuild(cpv, src_uri=url, distfiles=files, phases=INSTALL_IT + phases, **metadata)  # type: ignore[arg-type]
    return content


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


@contextmanager
def served(layer: TinyLayer) -> Iterator[str]:
    """``mirror serve``, on a port of the loopback that is free; ended as a person would end it."""
    port = free_port()
    with layer.running("mirror", "serve", "--listen", f"127.0.0.1:{port}") as process:

        def is_up() -> bool:
            if process.poll() is not None:
                raise AssertionError(process.communicate()[1])
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_for(is_up, "nginx")
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said


def status_of(url: str, method: str = "GET") -> int:
    request = urllib.request.Request(url, method=method, data=b"x" if method in ("PUT", "POST") else None)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_real_portage_fetches_from_the_served_mirror_and_from_nowhere_else(
    layer: TinyLayer, upstream: MisbehavingServer, tmp_path: Path
) -> None:
    content = publish(layer.repository, upstream, "app-misc/one-1")
    layer.declare("app-misc/one")
    layer.run("mirror", "fill")
    asked = len(upstream.log)
    root = write_root(tmp_path / "root", [layer.repository], arch=layer.repository.arches[0])
    upstream.serve("/one-1.data", content, bad.status(404))
    fetched = root / "var/cache/distfiles/one-1.data"
    with served(layer) as url:
        said = emerge_fetch(root, url)
        assert f"{url}/distfiles/{layout.OURS.path('one-1.data')}" in said
        assert fetched.read_bytes() == content
    fetched.unlink()
    assert "Local mirror has file" in emerge_fetch(root, str(layer.state / "mirror" / "distfiles"))
    assert fetched.read_bytes() == content
    assert len(upstream.log) == asked, "upstream was asked although the mirror has the file"


def emerge_fetch(root: Path, mirror: str) -> str:
    """What real Portage says while it fetches app-misc/one with ``mirror`` as GENTOO_MIRRORS."""
    done = subprocess.run(
        [sys.executable, str(Path(sys.prefix) / "bin" / "emerge"), "--fetchonly", "--color=n", "app-misc/one"],
        env={
            "PATH": "/usr/bin:/bin", "HOME": str(root), "LC_ALL": "C.UTF-8", "PORTAGE_OVERRIDE_EPREFIX": str(root),
            "PORTAGE_USERNAME": pwd.getpwuid(os.getuid()).pw_name,
            "PORTAGE_GRPNAME": grp.getgrgid(os.getgid()).gr_name, "PORTAGE_INST_UID": str(os.getuid()),
            "PORTAGE_INST_GID": str(os.getgid()), "FEATURES": settings.FEATURES, "FETCHCOMMAND": settings.FETCH,
            "RESUMECOMMAND": settings.RESUME, "GENTOO_MIRRORS": mirror,
        },
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.userns
def test_a_layer_installs_with_the_network_cut_from_a_mirror_that_was_filled_exported_imported_and_served(
    layer: TinyLayer, upstream: MisbehavingServer
) -> None:
    publish(layer.repository, upstream, "app-misc/library-1")
    content = publish(layer.repository, upstream, "app-misc/one-1", rdepend="app-misc/library", bdepend="app-misc/tool")
    publish(layer.repository, upstream, "app-misc/tool-2")
    layer.declare("app-misc/one")
    layer.install()
    online = layer.content()
    assert len(upstream.log) == 3

    bundle = layer.directory / "mirror.tar"
    site, builder = Site(layer.directory, place="site"), Site(layer.directory, place="builder")
    assert layer.run("--format", "json", "mirror", "export", str(bundle)).document["files"] == 3
    site.run("mirror", "import", str(bundle))
    with served(site) as url:
        builder.environment["COMPATLAYER_MIRROR_LOCAL"] = url
        filled = builder.run("--format", "json", "mirror", "fill").document
    assert {one["origin"] for one in filled["fetched"]} == {"own mirror"}
    assert len(upstream.log) == 3, "upstream was asked although our mirror has everything"
    assert len(builder.install("--offline").document["actions"]) == 3

    assert builder.installed() == layer.installed() == ["app-misc/library-1", "app-misc/one-1", "app-misc/tool-2"]
    assert (builder.upper / "usr/share/tiny/one").read_bytes() == content
    assert builder.content() == online
    assert len(upstream.log) == 3


@pytest.mark.userns
def test_install_offline_names_what_the_mirror_lacks_and_fetches_nothing(layer: TinyLayer, upstream: MisbehavingServer) -> None:
    publish(layer.repository, upstream, "app-misc/one-1")
    layer.declare("app-misc/one")
    ended = layer.run("install", "--offline", code=6)
    assert "one-1.data (for app-misc/one-1)\n    it is not in the mirror, and nothing is fetched" in ended.err
    assert "mirror export" in ended.err
    assert not upstream.log
    assert not layer.installed()


@pytest.mark.userns
def test_a_package_that_downloads_while_it_is_built_fails_with_its_name(layer: TinyLayer, upstream: MisbehavingServer) -> None:
    upstream.serve("/more", b"more")
    publish(layer.repository, upstream, "app-misc/thief-1", phases=DOWNLOADS % f"{upstream.url}/more")
    layer.declare("app-misc/thief")
    layer.run("mirror", "fill")
    ended = layer.run("install", "--offline", code=3)
    assert "app-misc/thief-1" in ended.err
    assert "no network" in ended.err
    assert not upstream.requests_for("/more")
    assert not layer.installed()


@pytest.mark.userns
def test_install_says_what_upstream_said_and_builds_nothing(layer: TinyLayer, upstream: MisbehavingServer) -> None:
    content = publish(layer.repository, upstream, "app-misc/one-1")
    publish(layer.repository, upstream, "app-misc/two-1")
    upstream.serve("/one-1.data", content, bad.instead(bytes(len(content))))
    layer.declare("app-misc/one", "app-misc/two")
    ended = layer.run("install", code=6)
    assert f"{upstream.url}/one-1.data: wrong BLAKE2B and SHA512" in ended.err
    assert not layer.installed()
    assert "2 files from" not in layer.run("mirror", "status", code=6).out, "what could be had was kept"


class TestServing:
    def test_a_port_that_is_taken_is_named_in_one_sentence(self, layer: TinyLayer) -> None:
        layer.declare()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            place = f"127.0.0.1:{taken.getsockname()[1]}"
            ended = layer.run("mirror", "serve", "--listen", place, code=2)
        assert ended.err.splitlines()[0] == f"error: nobody can listen on {place}"
        for wrong in ("8085", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:http"):
            assert "is not where a server can listen" in layer.run("mirror", "serve", "--listen", wrong, code=2).err

    def test_only_what_may_be_given_away_is_served_and_only_to_be_read(
        self, layer: TinyLayer, upstream: MisbehavingServer
    ) -> None:
        content = publish(layer.repository, upstream, "app-misc/free-1")
        publish(layer.repository, upstream, "app-misc/closed-1", restrict="mirror")
        layer.declare("app-misc/free", "app-misc/closed")
        filled = layer.run("--format", "json", "mirror", "fill").document
        assert filled["restricted"] == [{"name": "closed-1.data", "restrict": ["mirror"]}]
        with served(layer) as url:
            with urllib.request.urlopen(f"{url}/distfiles/free-1.data") as answer:
                assert answer.read() == content
            assert status_of(f"{url}/distfiles/{layout.OURS.path('free-1.data')}") == 200
            assert status_of(f"{url}/distfiles/closed-1.data") == 404
            assert status_of(f"{url}/private/closed-1.data") == 404
            assert status_of(f"{url}/distfiles/../index.sqlite") in (400, 404)
            assert status_of(f"{url}/index.sqlite") == 404
            for method in ("PUT", "POST", "DELETE"):
                assert status_of(f"{url}/distfiles/free-1.data", method) == 403

    def test_a_store_that_was_changed_since_it_was_verified_is_not_served(
        self, layer: TinyLayer, upstream: MisbehavingServer
    ) -> None:
        publish(layer.repository, upstream, "app-misc/one-1")
        layer.declare("app-misc/one")
        layer.run("mirror", "fill")
        (layer.state / "mirror" / "distfiles" / "stranger.tar").write_bytes(b"?")
        os.utime(layer.state / "mirror" / "distfiles" / "one-1.data", (1, 1))
        ended = layer.run("mirror", "serve", "--listen", f"127.0.0.1:{free_port()}", code=6)
        assert "distfiles/stranger.tar: not in the index" in ended.err
        assert "one-1.data: missing, or changed since it was hashed" in ended.err

    def test_the_printed_configuration_is_one_that_nginx_accepts(self, layer: TinyLayer, tmp_path: Path) -> None:
        layer.declare()
        (layer.state / "mirror" / "serve").mkdir(parents=True)
        printed = layer.run("mirror", "serve", "--print-config", "--listen", "127.0.0.1:8085").out
        file = tmp_path / "nginx.conf"
        file.write_text(printed)
        done = subprocess.run(
            ["nginx", "-t", "-q", "-e", "stderr", "-c", file], capture_output=True, text=True, check=False,
            env={"PATH": "/usr/sbin:/usr/bin"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "listen 127.0.0.1:8085;" in printed


def test_the_command_line_fills_verifies_repairs_and_prunes(layer: TinyLayer, upstream: MisbehavingServer) -> None:
    publish(layer.repository, upstream, "app-misc/one-1")
    publish(layer.repository, upstream, "app-misc/two-1")
    layer.declare("app-misc/one", "app-misc/two")
    assert "2 source files: 0 there already, 2 files from upstream" in layer.run("mirror", "fill").out
    assert layer.run("mirror", "fill").out == "2 source files: 2 there already\n"
    (layer.state / "mirror" / "distfiles" / "one-1.data").write_bytes(b"rot")
    damaged = layer.run("--format", "json", "mirror", "verify", code=6).document
    assert [one["name"] for one in damaged["damaged"]] == ["one-1.data"]
    assert Path(damaged["damaged"][0]["quarantined"]).read_bytes() == b"rot"
    assert "missing  one-1.data (for app-misc/one-1)" in layer.run("mirror", "status", code=6).out
    repaired = layer.run("--format", "json", "mirror", "verify", "--repair").document
    assert repaired["repaired"] == ["one-1.data"]
    assert layer.run("mirror", "verify").out.startswith("2 files verified")
    layer.declare("app-misc/one")
    assert "unneeded  two-1.data: since" in layer.run("mirror", "status").out
    assert "0 files" in layer.run("mirror", "prune", "--yes").out
    assert "would delete  two-1.data" in layer.run("mirror", "prune", "--grace", "0").out
    assert (layer.state / "mirror" / "distfiles" / "two-1.data").exists()
    assert "deleted  two-1.data" in layer.run("mirror", "prune", "--grace", "0", "--yes").out
    assert not (layer.state / "mirror" / "distfiles" / "two-1.data").exists()
    assert layer.run("mirror", "status").out.startswith("1 of 1 source file held")


REPOSITORIES = """\
repositories:
  test: {backend: ostree, path: repositories/test}
  production: {backend: ostree, path: repositories/production}
gates: {}
"""


@pytest.mark.userns
def test_what_a_published_revision_was_built_from_is_kept_whatever_is_declared_later(
    layer: TinyLayer, upstream: MisbehavingServer
) -> None:
    """From the published tree itself: that its version is not declared any more changes nothing."""
    publish(layer.repository, upstream, "app-misc/one-1")
    publish(layer.repository, upstream, "app-misc/two-1")
    publish(layer.repository, upstream, "app-misc/three-1")
    layer.declare("app-misc/one", "app-misc/two", more=REPOSITORIES)
    layer.install()
    layer.run("publish")
    layer.run("promote")
    layer.declare("app-misc/two", "app-misc/three", more=REPOSITORIES)
    layer.run("mirror", "fill")
    assert "kept  one-1.data: only for test:1 of 2026.11" in layer.run("mirror", "status").out
    (layer.root / "layer.yaml").write_text((layer.root / "layer.yaml").read_text().replace('"2026.11":', '"2027.02":'))
    kept = layer.run("--format", "json", "mirror", "status").document["kept"]
    part = f"2026.11/{TARGET.name}"
    assert kept == [{"name": "one-1.data", "held": True, "revisions": [f"test:1 of {part}", f"production:1 of {part}"]}]
    layer.run("mirror", "prune", "--grace", "0", "--yes")
    assert (layer.state / "mirror" / "distfiles" / "one-1.data").exists()

    shutil.rmtree(layer.root / "repositories")
    assert "deleted  one-1.data" in layer.run("mirror", "prune", "--grace", "0", "--yes").out
    assert sorted(path.name for path in (layer.state / "mirror" / "distfiles").glob("*.data")) == ["three-1.data", "two-1.data"]


@pytest.mark.userns
def test_nothing_is_pruned_while_a_published_revision_does_not_say_what_it_was_built_from(
    layer: TinyLayer, upstream: MisbehavingServer
) -> None:
    publish(layer.repository, upstream, "app-misc/one-1")
    layer.declare("app-misc/one", more=REPOSITORIES)
    layer.install()
    (layer.upper / "var/db/pkg/app-misc/one-1/environment.bz2").write_bytes(b"no archive")
    assert "warning: it cannot be told what test:1 of" in layer.run("publish").err
    layer.package("app-misc/other-1")
    layer.declare("app-misc/other", more=REPOSITORIES)
    refused = layer.run("mirror", "prune", "--grace", "0", "--yes", code=6)
    assert "var/db/pkg/app-misc/one-1/environment.bz2: Invalid data stream" in refused.err
    assert (layer.state / "mirror" / "distfiles" / "one-1.data").exists()


def test_status_asks_upstream_only_when_told_and_names_sole_copies(layer: TinyLayer, upstream: MisbehavingServer) -> None:
    content = publish(layer.repository, upstream, "app-misc/one-1")
    publish(layer.repository, upstream, "app-misc/two-1")
    layer.declare("app-misc/one", "app-misc/two")
    layer.run("mirror", "fill")
    upstream.serve("/one-1.data", content, bad.status(404))
    asked = len(upstream.log)
    assert "0 sole copies" in layer.run("mirror", "status").out
    assert len(upstream.log) == asked
    told = layer.run("--format", "json", "mirror", "status", "--probe").document
    assert told["sole_copies"] == ["one-1.data"]
    assert {command for command, *_ in upstream.log[asked:]} == {"HEAD"}
    assert "sole copy  one-1.data" in layer.run("mirror", "status").out
    assert not layer.run("mirror", "fill").err.count("missing"), "what is gone upstream is not fetched again"
