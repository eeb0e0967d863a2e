"""A package that was not written to its end, or was damaged since, is recognised by its own Manifest."""

from __future__ import annotations

from pathlib import Path

from compatlayer.binaries.gpkg import flaw
from tests.binary_values import gpkg


def test_a_whole_package_has_no_flaw(tmp_path: Path) -> None:
    assert flaw(gpkg(tmp_path / "one.gpkg.tar")) is None


def test_every_truncation_is_seen(tmp_path: Path) -> None:
    content = gpkg(tmp_path / "one.gpkg.tar").read_bytes()
    # What follows the last member is only tar's padding.
    end = content.rindex(b"SHA512") + 8 + 128
    for size in range(0, end, 97):
        (tmp_path / "cut").write_bytes(content[:size])
        assert flaw(tmp_path / "cut"), size


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    file = gpkg(tmp_path / "one.gpkg.tar", image=b"an image")
    file.write_bytes(file.read_bytes().replace(b"an image", b"an imago"))
    assert flaw(file) == "image.tar in it is damaged"


def test_anything_else_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a tar")
    assert flaw(tmp_path / "text") is not None
    assert flaw(tmp_path / "missing") is not None
