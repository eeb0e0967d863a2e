"""Fetch maps and metadata caches, by real Portage."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from compatlayer.gentoo.client import Worker
from compatlayer.gentoo.failures import ResolutionError
from compatlayer.gentoo.packages import FetchMap, SourceUri
from tests.ebuild_repository import TinyRepository, write_root
from tests.package_values import wanted

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as started:
        yield started


@pytest.fixture
def tree(tmp_path: Path) -> TinyRepository:
    return TinyRepository(tmp_path / "tiny")


SRC_URI = (
    "https://example.org/lua-5.4.tar.gz mirror://debian/pool/main/l/lua/lua-5.4.tar.gz "
    "readline? ( fetch+https://example.org/patches/7 -> lua-readline.patch ) mirror+https://example.org/extra.txt local.bin"
)


def fetch_map(worker: Worker, tree: TinyRepository, root: Path, use: str = "") -> FetchMap:
    write_root(root, [tree], files={"mirrors": "debian https://one.example.org/debian/ https://two.example.org/d\n"})
    (found,) = worker.fetch_maps(root, [wanted("dev-lang/lua-5.4", use=use)])
    return found


def test_a_fetch_map_names_every_place_in_order_and_what_the_manifest_says(
    worker: Worker, tree: TinyRepository, tmp_path: Path
) -> None:
    content = b"source"
    tree.ebuild("dev-lang/lua-5.4", iuse="readline", src_uri=SRC_URI, restrict="mirror", distfiles={"lua-5.4.tar.gz": content})
    found = fetch_map(worker, tree, tmp_path / "root")
    assert (found.cpv, found.repository, found.restrict) == ("dev-lang/lua-5.4", "tiny", ("mirror",))
    tarball, extra, local = found.distfiles
    assert (tarball.name, tarball.size_bytes) == ("lua-5.4.tar.gz", 6)
    assert tarball.hashes == {"BLAKE2B": hashlib.blake2b(content).hexdigest(), "SHA512": hashlib.sha512(content).hexdigest()}
    assert tarball.uris == (
        SourceUri("https://example.org/lua-5.4.tar.gz"),
        SourceUri(
            "mirror://debian/pool/main/l/lua/lua-5.4.tar.gz",
            "debian",
            "pool/main/l/lua/lua-5.4.tar.gz",
            (
                "https://one.example.org/debian/pool/main/l/lua/lua-5.4.tar.gz",
                "https://two.example.org/d/pool/main/l/lua/lua-5.4.tar.gz",
            ),
        ),
    )
    assert (extra.name, extra.uris) == ("extra.txt", (SourceUri("https://example.org/extra.txt", unrestricted="mirror"),))
    assert (extra.size_bytes, extra.hashes) == (None, {})
    assert (local.name, local.uris) == ("local.bin", ())


def test_use_flags_select_files_and_restrictions(worker: Worker, tree: TinyRepository, tmp_path: Path) -> None:
    tree.ebuild("dev-lang/lua-5.4", iuse="readline", src_uri=SRC_URI, restrict="readline? ( fetch )")
    assert "lua-readline.patch" not in [file.name for file in fetch_map(worker, tree, tmp_path / "root").distfiles]
    found = fetch_map(worker, tree, tmp_path / "root", use="readline")
    patch = next(file for file in found.distfiles if file.name == "lua-readline.patch")
    assert patch.uris == (SourceUri("https://example.org/patches/7", unrestricted="fetch"),)
    assert found.restrict == ("fetch",)


def test_an_unknown_mirror_has_no_expansions(worker: Worker, tree: TinyRepository, tmp_path: Path) -> None:
    tree.ebuild("dev-lang/lua-5.4", src_uri="mirror://nobody/x.tar.gz")
    (file,) = fetch_map(worker, tree, tmp_path / "root").distfiles
    assert file.uris == (SourceUri("mirror://nobody/x.tar.gz", "nobody", "x.tar.gz"),)


def test_an_ebuild_that_is_gone_is_refused(worker: Worker, tree: TinyRepository, tmp_path: Path) -> None:
    tree.ebuild("dev-lang/lua-5.3")
    with pytest.raises(ResolutionError) as caught:
        fetch_map(worker, tree, tmp_path / "root")
    assert str(caught.value) == "=dev-lang/lua-5.4::tiny: its ebuild is gone"


def test_a_source_uri_that_cannot_be_parsed_is_refused(worker: Worker, tree: TinyRepository, tmp_path: Path) -> None:
    tree.ebuild("dev-lang/lua-5.4", src_uri="readline? ( https://example.org/x")
    with pytest.raises(ResolutionError, match=r"=dev-lang/lua-5\.4::tiny: "):
        fetch_map(worker, tree, tmp_path / "root")


def entries(tree: TinyRepository) -> dict[str, bytes]:
    cache = tree.path / "metadata/md5-cache"
    return {str(path.relative_to(cache)): path.read_bytes() for path in sorted(cache.rglob("*")) if path.is_file()}


def test_the_cache_is_what_egencache_writes(worker: Worker, tree: TinyRepository, tmp_path: Path) -> None:
    tree.write("eclass/tiny.eclass", 'IUSE="from-eclass"\n')
    tree.ebuild("dev-lang/lua-5.4", iuse="+a", rdepend="a? ( dev-build/make )", cache=False, phases="inherit tiny\n")
    tree.ebuild("dev-build/make-4", keywords="", cache=False)
    root = write_root(tmp_path / "root", [tree])
    assert worker.metadata_cache(root, "tiny", jobs=2).entries == 2
    ours = entries(tree)
    assert set(ours) == {"dev-lang/lua-5.4", "dev-build/make-4"}
    assert b"_eclasses_=tiny\t" in ours["dev-lang/lua-5.4"]
    for name in ours:
        (tree.path / "metadata/md5-cache" / name).unlink()
    egencache = Path(sys.prefix) / "bin/egencache"
    subprocess.run(
        [egencache, "--update", "--repo=tiny", f"--config-root={root}"],
        env={"PORTAGE_OVERRIDE_EPREFIX": str(root), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        check=True,
        capture_output=True,
    )
    assert entries(tree) == ours


def test_the_tests_own_cache_is_what_portage_would_write(worker: Worker, tree: TinyRepository, tmp_path: Path) -> None:
    tree.ebuild(
        "dev-lang/lua-5.4", slot="5.4/1", iuse="+a b", bdepend="x/y", rdepend="x/z", restrict="mirror", src_uri="https://e.org/x"
    )
    ours = entries(tree)
    (tree.path / "metadata/md5-cache/dev-lang/lua-5.4").unlink()
    worker.metadata_cache(write_root(tmp_path / "root", [tree]), "tiny")
    assert entries(tree) == ours


def test_a_current_cache_is_left_untouched_and_a_stale_entry_is_replaced(
    worker: Worker, tree: TinyRepository, tmp_path: Path
) -> None:
    tree.ebuild("dev-lang/lua-5.4")
    tree.ebuild("dev-build/make-4")
    tree.ebuild("dev-build/gone-1")
    root = write_root(tmp_path / "root", [tree])
    worker.metadata_cache(root, "tiny")
    before = (tree.path / "metadata/md5-cache/dev-lang/lua-5.4").stat().st_mtime_ns
    tree.ebuild("dev-build/make-4", iuse="new", cache=False)
    (tree.path / "dev-build/gone/gone-1.ebuild").unlink()
    assert worker.metadata_cache(root, "tiny").entries == 2
    assert (tree.path / "metadata/md5-cache/dev-lang/lua-5.4").stat().st_mtime_ns == before
    assert b"IUSE=new\n" in entries(tree)["dev-build/make-4"]
    assert "dev-build/gone-1" not in entries(tree)


def test_an_ebuild_that_cannot_be_sourced_is_named_and_the_others_are_done(
    worker: Worker, tree: TinyRepository, tmp_path: Path
) -> None:
    tree.ebuild("dev-lang/lua-5.4", cache=False)
    tree.ebuild("dev-build/bad-1", cache=False, phases="\ndie 'no'\n")
    found = worker.metadata_cache(write_root(tmp_path / "root", [tree]), "tiny", jobs=2)
    assert (found.entries, found.failed) == (1, ("dev-build/bad-1",))
    assert set(entries(tree)) == {"dev-lang/lua-5.4"}


def test_an_ebuild_without_a_cache_is_sourced_in_a_directory_of_the_workers_own(tree: TinyRepository, tmp_path: Path) -> None:
    """Portage's own place for that, /var/tmp/portage, belongs to whoever has built there first: other users cannot use it."""
    tree.ebuild("dev-lang/lua-5.4", phases=f'echo "${{SANDBOX_LOG}}" > {tmp_path}/where\n')
    shutil.rmtree(tree.path / "metadata/md5-cache")
    with Worker() as worker:
        fetch_map(worker, tree, tmp_path / "root")
        pid = worker.pid
    where = (tmp_path / "where").read_text()
    own = Path(tempfile.gettempdir(), f"compatlayer-portage-{pid}-")
    assert where.startswith(str(own))
    assert not list(own.parent.glob(f"{own.name}*")), "nothing is left behind"


def test_an_unknown_repository_is_refused(worker: Worker, tree: TinyRepository, tmp_path: Path) -> None:
    with pytest.raises(ResolutionError, match="has no repository 'other'"):
        worker.metadata_cache(write_root(tmp_path / "root", [tree]), "other")
