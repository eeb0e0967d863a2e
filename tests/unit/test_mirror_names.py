"""What ``mirror://NAME`` means: the declaration, then the environment, then Debian's own package sources."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from compatlayer.mirror.names import resolve, thirdpartymirrors

DEB822 = """\
Types: deb deb-src
URIs: https://one.example.org/debian/ http://two.example.org/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: https://security.example.org/debian-security
Suites: bookworm-security

Enabled: no
Types: deb
URIs: https://off.example.org/debian
Suites: bookworm

Types: deb
URIs: cdrom:[Debian]/
Suites: bookworm
"""
ONE_LINE = """\
# deb https://commented.example.org/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] https://three.example.org/debian/ bookworm main contrib
deb-src https://three.example.org/debian bookworm main
deb https://third.example.org/party ./
deb copy:/media bookworm main
"""


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    return tmp_path


def on(monkeypatch: pytest.MonkeyPatch, **release: str) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"NAME": "x", **release})


def test_on_debian_its_own_package_sources_are_debians_mirrors(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, ID="debian", VERSION_CODENAME="bookworm")
    assert resolve({}, {}, apt) == {
        "debian": ("https://three.example.org/debian", "https://one.example.org/debian", "http://two.example.org/debian")
    }


@pytest.mark.parametrize("distribution", ["ubuntu", "fedora", "raspbian"])
def test_elsewhere_package_sources_say_nothing_about_debian(
    apt: Path, monkeypatch: pytest.MonkeyPatch, distribution: str
) -> None:
    on(monkeypatch, ID=distribution, ID_LIKE="debian", VERSION_CODENAME="bookworm")
    assert resolve({}, {}, apt) == {}


def test_a_machine_without_os_release_has_no_mirrors_of_its_own(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> dict[str, str]:
        raise FileNotFoundError("/etc/os-release")

    monkeypatch.setattr(platform, "freedesktop_os_release", missing)
    assert resolve({}, {}, apt) == {}


def test_the_environment_wins_over_the_machine_and_the_declaration_over_both(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, ID="debian", VERSION_CODENAME="bookworm")
    environment = {
        "COMPATLAYER_MIRROR_DEBIAN": " https://four.example.org/debian/  file:///srv/debian ",
        "COMPATLAYER_MIRROR_GNU": "https://gnu.example.org",
        "COMPATLAYER_MIRROR_EMPTY": "  ",
        "COMPATLAYER_MIRROR_": "https://nameless.example.org",
        "OTHER": "https://other.example.org",
    }
    assert resolve({}, environment, apt) == {
        "debian": ("https://four.example.org/debian", "file:///srv/debian"),
        "gnu": ("https://gnu.example.org",),
    }
    declared = {"debian": ("https://five.example.org/debian/",), "gnu": ("https://six.example.org",)}
    assert resolve(declared, environment, apt) == {
        "debian": ("https://five.example.org/debian",),
        "gnu": ("https://six.example.org",),
    }


def test_sources_that_cannot_be_read_are_passed_over(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, ID="debian", VERSION_CODENAME="bookworm")
    (apt / "sources.list").unlink()
    (apt / "sources.list.d/broken.list").mkdir()
    (apt / "sources.list.d/odd.list").write_bytes(b"\xff\xfe deb\n")
    assert resolve({}, {}, apt)["debian"] == ("https://one.example.org/debian", "http://two.example.org/debian")


def test_portage_gets_one_line_for_each_name() -> None:
    assert (
        thirdpartymirrors({"gnu": ("https://b", "https://c"), "debian": ("https://a",)})
        == b"debian https://a\ngnu https://b https://c\n"
    )
