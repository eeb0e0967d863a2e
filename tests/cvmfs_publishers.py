"""A CernVM-FS publisher for tests: the stand-in, with all that it holds below one directory, which may be copied."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compatlayer.repository import cvmfs
from compatlayer.repository.cvmfs import CvmfsRepository
from compatlayer.tree.entries import scan
from compatlayer.tree.manifest import Manifest

STAND_IN = Path(__file__).resolve().parent / "standin_cvmfs_server"
TEST_DOMAIN, PRODUCTION_DOMAIN = "test.example.org", "software.example.org"


def make_stand_in(directory: Path, *domains: str) -> Path:
    """Install the stand-in in a directory and make repositories on it; gives its ``cvmfs_server``."""
    program = directory / "cvmfs_server"
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("standin", "cvmfs"):
        (directory / name).mkdir()
    program.write_text(
        f'#!/bin/sh\nhere=$(dirname "$0")\nexec "{sys.executable}" -ES "{STAND_IN}" "$here/standin" "$here/cvmfs" "$@"\n'
    )
    program.chmod(0o755)
    for domain in domains:
        subprocess.run([program, "mkfs", domain], check=True)
    return program


class StandInRepository(CvmfsRepository):
    """A repository on the stand-in in ``directory``; told none, a state directory's ``DIRECTORY/state`` is in it."""

    def __init__(self, name: str, domain: str, ledger: Path, directory: Path | None = None) -> None:
        directory = directory or ledger.parents[2]
        super().__init__(
            name,
            domain,
            ledger,
            program=str(directory / "cvmfs_server"),
            mounts=directory / "cvmfs",
            storage=directory / "srv",
            spool=directory / "spool",
            settings=directory / "settings",
        )


def stand_in_repository(directory: Path, name: str, domain: str, ledger: Path) -> CvmfsRepository:
    """A repository of the stand-in in that directory."""
    return StandInRepository(name, domain, ledger, directory)


def use_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let layers whose state directory is ``DIRECTORY/state`` publish to the stand-in of ``DIRECTORY``."""
    monkeypatch.setattr(cvmfs, "CvmfsRepository", StandInRepository)


def without_marks(directory: Path) -> Manifest:
    """What a directory holds, but for the marks that a publisher makes where nested catalogs begin."""
    return Manifest.of(entry for entry in scan(directory) if not entry.path.endswith(".cvmfscatalog"))
