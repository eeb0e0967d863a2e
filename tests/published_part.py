"""A tiny part to publish: a layer with two repositories, and stages that are filled by hand instead of built.

What is in a stage are real trees with real package databases; nothing here needs Portage, so that a test takes a
fraction of a second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from compatlayer.cli.context import this_machine
from compatlayer.declaration import load
from compatlayer.declaration.model import TARGETS, Layer, Part, Version
from compatlayer.publish import base_name
from compatlayer.repository import PRODUCTION, TEST, open_repository
from compatlayer.repository.base import Repository
from compatlayer.stage import Stage, drop, find_stage, open_stage
from tests.cvmfs_publishers import PRODUCTION_DOMAIN, TEST_DOMAIN

TARGET = TARGETS[this_machine()]
PREFIX = "versions/{version}/compat/{os}/{arch}"
SOURCE = Path(__file__).resolve().parent.parent


@dataclass
class PublishedLayer:
    """A layer in ``directory``, its state beside it."""

    directory: Path
    test_domain: str = TEST_DOMAIN
    production_domain: str = PRODUCTION_DOMAIN

    @property
    def domains(self) -> tuple[str, str]:
        """The names of the CernVM-FS repositories, where it has any."""
        return (self.test_domain, self.production_domain)

    @property
    def root(self) -> Path:
        return self.directory / "layer"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def declare(self, gates: str = "{}", backend: str = "ostree") -> None:
        """Write ``layer.yaml`` with these gates, and both repositories on that backend; ``mixed`` promotes OSTree to CernVM-FS."""
        ostree = ("{backend: ostree, path: repositories/test}", "{backend: ostree, path: repositories/production}")
        repositories = {
            "ostree": ostree,
            "mixed": (ostree[0], f"{{backend: cvmfs, name: {self.production_domain}}}"),
            "cvmfs": tuple(f"{{backend: cvmfs, name: {domain}}}" for domain in self.domains),
        }
        test, production = repositories[backend]
        self.root.mkdir(parents=True, exist_ok=True)
        overlay = self.root / "overlay"
        (overlay / "profiles").mkdir(parents=True, exist_ok=True)
        (overlay / "profiles/repo_name").write_text("tiny\n")
        (self.root / "set.yaml").write_text("name: tiny\npackages:\n  - {name: app-misc/tiny, reason: a test needs it}\n")
        (self.root / "layer.yaml").write_text(
            f"""\
name: tiny
targets: [{TARGET.name}]
prefix: /cvmfs/{self.production_domain}/{PREFIX}
versions:
  "2026.11":
    status: live
    engine: guest
    sets: [set.yaml]
    overlays:
      - {{name: tiny, path: overlay}}
repositories:
  test: {test}
  production: {production}
gates: {gates}
"""
        )

    @property
    def layer(self) -> Layer:
        return load.load(self.root / "layer.yaml")

    @property
    def version(self) -> Version:
        return self.layer.versions[0]

    @property
    def part(self) -> Part:
        return self.layer.part(self.version, TARGET)

    @property
    def test(self) -> Repository:
        return open_repository(self.layer, TEST, self.state)

    @property
    def production(self) -> Repository:
        return open_repository(self.layer, PRODUCTION, self.state)

    def stage(self) -> Stage:
        """The stage, begun on nothing when there is none."""
        return find_stage(self.state, self.part) or open_stage(self.state, self.part)

    def over(self) -> Stage:
        """A new stage on the head of the test repository; the former one goes."""
        old = find_stage(self.state, self.part)
        if old is not None:
            drop(old)
        head = self.test.head(self.part)
        assert head is not None
        return open_stage(self.state, self.part, lower=self.test.tree(head, self.part), base=base_name(self.test, head))

    def package(self, cpv: str, files: Mapping[str, str], *, sonames: str = "", built: int = 1) -> None:
        """Put a package into the stage, as Portage would: its files, and its entry in the database."""
        upper = self.stage().upper
        for name, content in files.items():
            place = upper / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.write_text(content)
        entry = upper / "var/db/pkg" / cpv
        entry.mkdir(parents=True, exist_ok=True)
        values = {"SLOT": "0", "EAPI": "8", "repository": "tiny", "BUILD_TIME": str(built), "SIZE": "10"}
        if sonames:
            values["PROVIDES"] = f"x86_64: {sonames}"
        for name, value in values.items():
            (entry / name).write_text(f"{value}\n")

    def fill(self) -> None:
        """A first state: two packages, links, an empty directory, a file that cannot be written, and a record."""
        self.package("app-misc/tiny-1.0", {"usr/bin/tiny": "#!/bin/sh\necho 1.0\n", "usr/share/tiny/one": "one\n"})
        self.package("sys-libs/libtiny-3", {"usr/lib/libtiny.so.3": "library\n" * 100}, sonames="libtiny.so.3")
        upper = self.stage().upper
        (upper / "usr/bin/tiny").chmod(0o755)
        (upper / "usr/share/tiny/locked").write_text("locked\n")
        (upper / "usr/share/tiny/locked").chmod(0o444)
        (upper / "usr/lib/libtiny.so").symlink_to("libtiny.so.3")
        (upper / "var/empty").mkdir()
        record = upper / "usr/share/compatlayer/provenance.json"
        record.parent.mkdir()
        record.write_text(json.dumps({"prefix": str(self.part.prefix), "repositories": [{"name": "tiny", "commit": None}]}))

    def command(self, *arguments: str) -> list[str]:
        """The argument list of a command line on this layer."""
        places = ["--layer", str(self.root / "layer.yaml"), "--state", str(self.state)]
        return [sys.executable, "-m", "compatlayer", *places, *arguments]

    def run(
        self, *arguments: str, code: int = 0, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command line to its end; it must end with ``code``."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=SOURCE,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.directory),
                "COMPATLAYER_OPERATOR": "ops@tests",
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done
