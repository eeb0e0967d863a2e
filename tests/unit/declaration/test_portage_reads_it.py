"""Real Portage finds the rendered sets through the overlay, and reads the directories made of config/."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import sys
from pathlib import Path

import pytest

from compatlayer import process
from compatlayer.declaration import configuration, sets
from compatlayer.declaration.load import load
from compatlayer.declaration.model import TARGETS
from tests.unit.declaration.example import Site

PORTAGE = Path(sys.prefix)
EBUILD = """\
EAPI=8
DESCRIPTION="A package to declare"
HOMEPAGE="https://example.org/"
SLOT=0
KEYWORDS="amd64"
IUSE="one two three"
"""
# Everything below is what Portage needs besides the declaration: paths inside the root and one architecture.
SETTINGS = (
    "ARCH=amd64\nACCEPT_KEYWORDS=amd64\nCHOST=x86_64-pc-linux-gnu\n"
    f"PORTAGE_USERNAME={pwd.getpwuid(os.getuid()).pw_name}\nPORTAGE_GRPNAME={grp.getgrgid(os.getgid()).gr_name}\n"
)


@pytest.fixture
def root(site: Site) -> Path:
    """A prefix whose only repository is the layer's overlay, and whose etc/portage comes from config/ alone."""
    site.replace("layer.yaml", site.file.read_text().partition("    tree: ")[2].partition("\n")[0], "REMOVED")
    site.replace("layer.yaml", "    tree: REMOVED\n", "")
    site.replace("layer.yaml", '    profile: "gentoo:default/{os}/{keyword}"\n', "")
    site.write(
        "sets/2026.11.yaml",
        "name: s\npackages:\n  - {name: app-misc/foo, version: '1', overlay: example, include_on: [linux-x86_64], reason: x}\n",
    )
    site.write("config/common/make.conf", 'USE="one"\n')
    site.write("config/linux-x86_64/make.conf", 'USE="${USE} two"\n')
    site.write("config/common/package.use", "app-misc/foo three\n")
    site.write("config/linux-x86_64/package.use/later", "app-misc/foo -three\n")
    site.write("config/common/package.mask", ">app-misc/foo-2\n")
    site.write("config/common/profile/package.provided", "app-misc/bar-1\n")
    for version in (1, 2, 3):
        site.write(f"overlay/app-misc/foo/foo-{version}.ebuild", EBUILD)
    site.write("overlay/profiles/repo_name", "example\n")
    site.write("overlay/profiles/arch.list", "amd64\n")
    site.write("overlay/profiles/categories", "app-misc\n")
    site.write("overlay/profiles/linux/x86_64/eapi", "8\n")
    site.write("overlay/profiles/linux/x86_64/make.defaults", SETTINGS)
    site.write("overlay/metadata/layout.conf", "masters =\nprofile-formats = portage-2\nthin-manifests = true\n")
    layer = load(site.file)
    sets.write_layer(layer)
    root = site.root / "root"
    shutil.copytree(PORTAGE / "share/portage/config/sets", root / "share/portage/config/sets")
    shutil.copy(PORTAGE / "share/portage/config/make.globals", root / "share/portage/config/make.globals")
    (root / "share/portage/config/repos.conf").mkdir()
    for path, content in configuration.portage_files(layer, TARGETS["linux-x86_64"]).items():
        file = root / "etc/portage" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (root / "etc/portage/repos.conf").write_text(f"[DEFAULT]\nmain-repo = example\n[example]\nlocation = {site.root}/overlay\n")
    (root / "etc/portage/make.profile").symlink_to(site.root / "overlay/profiles/linux/x86_64")
    return root


def emerge(root: Path, *arguments: str) -> process.Completed:
    work = root / "work"
    work.mkdir(exist_ok=True)
    directories = ("DISTDIR", "PKGDIR", "PORTAGE_TMPDIR", "EMERGE_LOG_DIR", "PORTAGE_LOGDIR")
    environment = {"PORTAGE_OVERRIDE_EPREFIX": str(root), **dict.fromkeys(directories, str(work))}
    command = [sys.executable, str(PORTAGE / "bin/emerge"), "--color=n", "--pretend", "--verbose", *arguments]
    return process.run(command, env=environment, check=False)


def test_a_rendered_set_is_found_with_the_settings_of_both_sides(root: Path) -> None:
    done = emerge(root, "@s-linux-x86_64")
    assert done.returncode == 0, done.stderr
    # Exactly the declared version; USE of the target added to common's; the target's package.use after common's.
    assert 'app-misc/foo-1::example  USE="one two -three"' in done.stdout
    assert "Total: 1 package" in done.stdout


def test_masks_and_provided_packages_arrive(root: Path) -> None:
    assert "app-misc/foo-2::example" in emerge(root, "app-misc/foo").stdout
    done = emerge(root, "=app-misc/foo-3")
    assert done.returncode == 1
    assert "masked by: package.mask" in done.stderr + done.stdout
    # Nobody has an ebuild for it; it is there all the same.
    assert emerge(root, "--noreplace", "app-misc/bar").returncode == 0


def test_a_set_that_is_empty_on_a_target_is_known_and_has_nothing_to_do(root: Path) -> None:
    done = emerge(root, "@s-linux-aarch64")
    assert done.returncode == 0, done.stderr
    assert "Total: 0 packages" in done.stdout
    unknown = emerge(root, "@s-linux-riscv64")
    assert unknown.returncode == 1
    assert "There are no sets to satisfy" in unknown.stdout + unknown.stderr
