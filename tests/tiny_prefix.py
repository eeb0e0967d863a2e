"""A prefix with packages that were never built: files, links and the ``var/db/pkg`` that Portage would have written for them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from compatlayer.declaration.model import TARGETS, EngineName, Part
from compatlayer.findings import Finding
from compatlayer.gentoo import inventory
from compatlayer.verify import registry
from compatlayer.verify.registry import Context

HOME = "/cvmfs/software.example.org/versions/1/compat/linux/x86_64"
PART = Part("tiny", "1", TARGETS["linux-x86_64"], PurePosixPath(HOME))
MTIME_S = 1_780_000_000


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True, slots=True)
class Program:
    """An executable file."""

    content: bytes


What = bytes | Link | Program


class TinyPrefix:
    """A prefix found at ``tree`` whose home is ``HOME``."""

    def __init__(self, tree: Path, patch: Callable[[object, str, object], None] | None = None) -> None:
        self.tree = tree
        # pytest's monkeypatch.setattr, for faults that no file can bring about.
        self.patch = patch or setattr
        tree.mkdir(parents=True, exist_ok=True)
        self.settings: dict[str, object] = {"part": PART, "engine": EngineName.STANDALONE}

    def package(self, cpv: str, files: Mapping[str, What]) -> Path:
        """Install ``files`` as the package ``cpv``; returns its CONTENTS."""
        lines: list[str] = []
        for path, what in files.items():
            self._above(path, lines)
            lines.append(self._install(path, what))
        entry = self.tree / "var/db/pkg" / cpv
        entry.mkdir(parents=True)
        for key, value in {"SLOT": "0", "EAPI": "8", "repository": "tiny", "EPREFIX": HOME}.items():
            (entry / key).write_text(f"{value}\n")
        contents = entry / "CONTENTS"
        contents.write_bytes(os.fsencode("".join(lines)))
        return contents

    def _above(self, path: str, lines: list[str]) -> None:
        for parent in reversed(PurePosixPath(path).parents[:-1]):
            line = f"dir {HOME}/{parent}\n"
            if line not in lines:
                lines.append(line)
        (self.tree / path).parent.mkdir(parents=True, exist_ok=True)

    def _install(self, path: str, what: What) -> str:
        place = self.tree / path
        if isinstance(what, Link):
            place.symlink_to(what.target)
            os.utime(place, (MTIME_S, MTIME_S), follow_symlinks=False)
            return f"sym {HOME}/{path} -> {what.target} {MTIME_S}\n"
        content = what.content if isinstance(what, Program) else what
        place.write_bytes(content)
        place.chmod(0o755 if isinstance(what, Program) else 0o644)
        os.utime(place, (MTIME_S, MTIME_S))
        return f"obj {HOME}/{path} {hashlib.md5(content, usedforsecurity=False).hexdigest()} {MTIME_S}\n"

    def change(self, path: str, content: bytes) -> None:
        """Write other content, with the time as it was, so that only the digest tells."""
        place = self.tree / path
        place.write_bytes(content)
        os.utime(place, (MTIME_S, MTIME_S))

    def context(self, **fields: object) -> Context:
        """The context of a verification; ``fields`` go before ``settings``."""
        return Context(self.tree, inventory.read(self.tree), **(self.settings | fields))  # type: ignore[arg-type]

    def findings(self, *checks: str, **fields: object) -> list[Finding]:
        """What the checks find; ``declared`` has nothing to compare with."""
        return list(registry.findings(self.context(**fields), checks or None))


def sound(tree: Path, patch: Callable[[object, str, object], None] | None = None) -> TinyPrefix:
    """A prefix in which there is nothing to find, with something of everything."""
    prefix = TinyPrefix(tree, patch)
    shell = b"\x7fNOT-ELF a shell"
    prefix.package(
        "app-shells/bash-5.2", {"usr/bin/bash": Program(shell), "usr/bin/sh": Link("bash"), "usr/bin/env": Program(shell)}
    )
    prefix.package(
        "app-misc/tool-1.9",
        {
            "usr/bin/tool": Program(f"#!{HOME}/usr/bin/bash\necho tool\n".encode()),
            "usr/bin/by-env": Program(f"#!{HOME}/usr/bin/env bash\n".encode()),
            "usr/share/tool/data": b"data of the tool\n",
            "usr/share/tool/a name with  spaces": b"1",
            "usr/share/tool/grüße": b"2",
            "usr/share/tool/arrow -> here": b"3",
            "usr/share/tool/empty": b"",
            "usr/share/tool/absolute": Link(f"{HOME}/usr/share/tool/data"),
            "usr/share/tool/null": Link("/dev/null"),
            "etc/tool.conf": b"setting = 1\n",
        },
    )
    prefix.package("app-misc/tool-1.10", {"usr/share/tool-1.10/data": b"more data\n"})
    (prefix.tree / "etc/profile.env").write_text("export CONFIG_PROTECT='/usr/share/protected'\n")
    (prefix.tree / "var/cache").mkdir(parents=True)
    (prefix.tree / "var/cache/anything").write_text("a cache\n")
    return prefix
