"""What holds for every ebuild of this repository's overlay, by their texts and the metadata cache that lies beside them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tiny_layer import SOURCE

OVERLAY = SOURCE / "overlay"
# system() and popen() of the C library run the layer's shell, which is built against it.
BEFORE_THE_SHELL = {"sys-libs/glibc"}


def shells_not_asked_for(overlay: Path) -> list[str]:
    """Packages with the layer's shell compiled in that do not need it: they would be there, and be used by builds, before it is."""
    found = []
    for ebuild in sorted(overlay.glob("*/*/*.ebuild")):
        name = str(ebuild.parent.relative_to(overlay))
        if "${EPREFIX}/bin/sh" in ebuild.read_text() and name not in BEFORE_THE_SHELL:
            entry = f"{ebuild.parent.parent.name}/{ebuild.stem}"
            cached = dict(
                line.split("=", 1) for line in (overlay / "metadata/md5-cache" / entry).read_text().splitlines() if line
            )
            if "app-shells/bash" not in cached.get("RDEPEND", ""):
                found.append(entry)
    return found


def test_what_runs_the_layers_shell_needs_it() -> None:
    assert shells_not_asked_for(OVERLAY) == []


@pytest.mark.parametrize("name", ["dev-build/make", "dev-lang/python", "sys-apps/gawk"])
def test_an_ebuild_that_does_not_ask_for_its_shell_is_found(tmp_path: Path, name: str) -> None:
    category, _, package = name.partition("/")
    shutil.copytree(OVERLAY / name, tmp_path / name)
    entries = sorted((OVERLAY / "metadata/md5-cache" / category).glob(f"{package}-[0-9]*"))
    assert entries
    (tmp_path / "metadata/md5-cache" / category).mkdir(parents=True)
    for entry in entries:
        text = entry.read_text().replace("app-shells/bash", "app-shells/none")
        (tmp_path / "metadata/md5-cache" / category / entry.name).write_text(text)
    assert set(shells_not_asked_for(tmp_path)) == {f"{category}/{entry.name}" for entry in entries}
