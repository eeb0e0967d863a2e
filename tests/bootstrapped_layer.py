"""A layer with engine ``bootstrap``: a stand-in for Gentoo's script, the files it asks for, and a tree with a system set.

What the stand-in makes is a prefix with the Portage of this environment in it, run by the prefix's own Python.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.tiny_layer import PART, TARGET, USER_ID, TinyLayer, tiny_layer

SCRIPT = Path(__file__).parent / "standin_bootstrap.sh"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
STAGES = ("stage1", "stage2", "stage3")


class BootstrappedLayer:
    """The layer, its ``upstream`` directory with the script and its sources, and what is declared of them."""

    def __init__(self, layer: TinyLayer) -> None:
        self.layer = layer
        self.tree = layer.new_repository("gentoo")
        shutil.rmtree(layer.root / "tiny")
        self.upstream = layer.directory / "upstream"
        self.upstream.mkdir()
        shutil.copy(SCRIPT, self.upstream / f"bootstrap-prefix-{COMMIT}.sh")
        with tarfile.open(self.upstream / "tool-1.tar", "w") as archive:
            _add(archive, "tool", b"#!/bin/sh\n")
        _pack_portage(self.upstream / "prefix-portage-3.tar")
        self.tree.ebuild("sys-libs/libc-2")
        self.tree.ebuild("app-misc/hello-1", rdepend="sys-libs/libc")
        self.tree.ebuild("app-misc/extra-1")
        self.tree.write(f"profiles/{TARGET.keyword}/packages", "*sys-libs/libc\n")
        self.declare("app-misc/hello")

    @property
    def build(self) -> Path:
        """Where the stand-in looks for what it shall do in the middle of a stage."""
        directory = self.layer.state / "build" / PART
        directory.mkdir(parents=True, exist_ok=True)
        for path in (self.layer.state, directory.parent, directory):
            os.chown(path, self.layer.user_id, -1)
        return directory

    def declare(self, *packages: str, leave_out: str = "") -> None:
        """Declare packages, and all of ``upstream`` but one file."""
        self.layer.declare(*packages, repositories=())
        document = yaml.safe_load((self.layer.root / "layer.yaml").read_text())
        version = document["versions"]["2026.11"]
        names = [name for name in ("tool-1.tar", "prefix-portage-3.tar") if name != leave_out]
        version |= {
            "engine": "bootstrap",
            "tree": {"name": "gentoo", "path": "gentoo"},
            "overlays": [],
            "bootstrap": {
                "script": {**self.source("bootstrap-prefix-{commit}.sh"), "commit": COMMIT},
                "sources": [self.source(name) for name in names],
            },
        }
        self.layer.write("layer.yaml", yaml.safe_dump(document, sort_keys=False))

    def source(self, name: str) -> dict[str, object]:
        """What is declared of a file of ``upstream``."""
        path = self.upstream / name.format(commit=COMMIT)
        content = path.read_bytes()
        return {
            "url": f"file://{self.upstream}/{name}",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_bytes": len(content),
        }

    def do(self, what: str, stage: str, *, undo: bool = False) -> None:
        """``fail`` or ``pause`` in the middle of a stage."""
        file = self.build / f"{what}-{stage}"
        if undo:
            file.unlink()
        else:
            file.touch()


@contextmanager
def bootstrapped_layer() -> Iterator[BootstrappedLayer]:
    """A new layer, worked on by an ordinary user: the script does not run as root."""
    with tiny_layer(USER_ID if os.geteuid() == 0 else None) as layer:
        yield BootstrappedLayer(layer)


def _pack_portage(archive: Path) -> None:
    """The Portage of this environment as a prefix holds it, with a Python that finds it where it is unpacked."""
    own, packages = Path(sys.prefix), Path(sysconfig.get_path("purelib"))
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    with tarfile.open(archive, "w") as packed:
        for name in ("portage", "_emerge"):
            packed.add(packages / name, packages.relative_to(own) / name, filter=_without_bytecode)
        for name in ("lib/portage", "share/portage"):
            packed.add(own / name, name)
        for name in ("emerge", "env-update"):
            packed.add(own / "bin" / name, f"bin/{name}")
        _add(packed, "pyvenv.cfg", f"home = {base.parent}\ninclude-system-site-packages = false\n".encode())
        link = tarfile.TarInfo("bin/python3")
        link.type, link.linkname = tarfile.SYMTYPE, str(base)
        packed.addfile(link)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o755
    archive.addfile(entry, io.BytesIO(content))


def _without_bytecode(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in entry.name else entry
