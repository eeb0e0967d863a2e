"""What Portage says goes into a build: every file and setting that reaches it, by real Portage."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from compatlayer.gentoo.client import Worker
from compatlayer.gentoo.failures import ResolutionError
from compatlayer.gentoo.ingredients import Ingredients
from tests.ebuild_repository import TinyRepository, write_root
from tests.package_values import wanted

pytestmark = pytest.mark.integration

CPV = "app-misc/one-1"


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as started:
        yield started


class Place:
    """An ebuild repository with one package, and a configuration root that is written anew for each question."""

    def __init__(self, worker: Worker, path: Path) -> None:
        self.worker, self.root = worker, path / "root"
        self.repository = TinyRepository(path / "tiny")
        self.repository.write("eclass/first.eclass", "# one\n")
        self.repository.write("eclass/second.eclass", "inherit first\n")
        self.repository.write("app-misc/one/files/sub/a.patch", "a\n")
        self.files: dict[str, str] = {"make.conf": 'CFLAGS="-O2"\n'}
        self.extra = ""
        self.ebuild()

    def ebuild(self, **more: Any) -> None:
        values: dict[str, Any] = {"iuse": "static", "distfiles": {"a.tar": b"a"}, "src_uri": "https://example.org/a.tar"}
        text = self.repository.ebuild(CPV, **values | more, cache=False)
        text.write_text(text.read_text().replace("EAPI=8\n", "EAPI=8\ninherit second\n"))

    def ask(self, *, use: str = "") -> Ingredients:
        write_root(
            self.root, [self.repository], extra=self.extra, files={k: v for k, v in self.files.items() if k != "make.conf"}
        )
        (found,) = self.worker.ingredients(self.root, [wanted(CPV, use=use, iuse="static")])
        return found


@pytest.fixture
def place(worker: Worker, tmp_path: Path) -> Place:
    return Place(worker, tmp_path)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_files_are_told_by_their_digests(place: Place) -> None:
    found = place.ask()
    assert found.cpv == CPV
    assert found.ebuild == hashlib.sha256((place.repository.path / "app-misc/one/one-1.ebuild").read_bytes()).hexdigest()
    assert found.eclasses == {"first": sha256("# one\n"), "second": sha256("inherit first\n")}
    assert found.files == {"sub/a.patch": sha256("a\n")}
    assert set(found.sources) == {"a.tar"}
    assert f"SHA512:{hashlib.sha512(b'a').hexdigest()} size:1" in found.sources["a.tar"]
    assert not found.live


def _append(place: Place, name: str, text: str) -> None:
    file = place.repository.path / "profiles/amd64" / name
    file.write_text(file.read_text() + text)


def _property(place: Place) -> None:
    file = place.repository.path / "app-misc/one/one-1.ebuild"
    file.write_text(file.read_text() + 'PROPERTIES="live"\n')


# What is done, and the field of the answer that changes by it.
CHANGES: dict[str, tuple[str, Callable[[Place], Any]]] = {
    "ebuild": ("ebuild", lambda place: place.ebuild(phases="# other\n")),
    "eclasses": ("eclasses", lambda place: place.repository.write("eclass/first.eclass", "# two\n")),
    "files": ("files", lambda place: place.repository.write("app-misc/one/files/b.patch", "b\n")),
    "sources": ("sources", lambda place: place.ebuild(distfiles={"a.tar": b"b"})),
    "make.conf": ("settings", lambda place: setattr(place, "extra", 'CFLAGS="-O3"\n')),
    "profile": ("settings", lambda place: _append(place, "make.defaults", 'LDFLAGS="-Wl,-z,now"\n')),
    "package.env": (
        "settings",
        lambda place: place.files.update({"package.env": "app-misc/one x.conf\n", "env/x.conf": 'EXTRA_ECONF="--x"\n'}),
    ),
    "FEATURES": ("features", lambda place: setattr(place, "extra", 'FEATURES="test"\n')),
    "FEATURES of package.env": (
        "features",
        lambda place: place.files.update({"package.env": "app-misc/one x.conf\n", "env/x.conf": 'FEATURES="nostrip"\n'}),
    ),
    "profile.bashrc": ("hooks", lambda place: place.repository.write("profiles/amd64/profile.bashrc", "true\n")),
    "properties": ("live", _property),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_reaches_the_field_it_belongs_to(place: Place, change: str) -> None:
    field, make = CHANGES[change]
    before = place.ask()
    make(place)
    after = place.ask()
    assert getattr(before, field) != getattr(after, field)


def test_settings_for_other_packages_and_global_use_do_not_count(place: Place) -> None:
    before = place.ask()
    place.files |= {
        "package.env": "app-misc/two x.conf\n",
        "env/x.conf": 'CFLAGS="-O3"\n',
        "package.use": "app-misc/two static\n",
    }
    place.extra = 'USE="X wayland"\nACCEPT_LICENSE="*"\n'
    assert place.ask() == before


def test_a_source_file_without_a_manifest_entry_says_nothing(place: Place) -> None:
    place.ebuild(src_uri="https://example.org/a.tar https://example.org/b.tar")
    assert place.ask().sources["b.tar"] == ""


def test_an_ebuild_that_is_gone_is_refused(place: Place) -> None:
    place.ask()
    (place.repository.path / "app-misc/one/one-1.ebuild").unlink()
    with pytest.raises(ResolutionError):
        place.ask()
