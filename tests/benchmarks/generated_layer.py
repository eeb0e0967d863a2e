"""A layer for measuring: packages with a real ``var/db/pkg``, files of the sizes that installed systems have, in seconds.

Usage: python tests/benchmarks/generated_layer.py DIRECTORY [PACKAGES [FILES]]     makes DIRECTORY; prints its home

The same arguments give the same bytes, modification times included. A directory that was made with them before is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

HOME = "/cvmfs/software.example.org/versions/2026.11/compat/linux/x86_64"
MTIME_S = 1_780_000_000
# Share of files, and their sizes in bytes: what /usr of a Debian with development tools holds, without what is over 1 MiB.
SIZES = (
    (0.30, 16, 1 << 10),
    (0.30, 1 << 10, 1 << 12),
    (0.25, 1 << 12, 1 << 14),
    (0.11, 1 << 14, 1 << 16),
    (0.04, 1 << 16, 1 << 18),
)
PLACES = ("usr/lib64/{name}", "usr/share/{name}", "usr/share/{name}/data", "usr/include/{name}", "usr/share/doc/{name}-{version}")
# What var/db/pkg holds beside CONTENTS.
VALUES = {"SLOT": "0", "EAPI": "8", "repository": "generated", "IUSE": "", "USE": "amd64", "KEYWORDS": "amd64"}


@dataclass(frozen=True, slots=True)
class Shape:
    """How big it is."""

    packages: int = 600
    files: int = 120_000


def generate(directory: Path, shape: Shape) -> Path:
    """Make the layer below ``directory`` unless it is there, and return the prefix's own directory.

    The prefix lies at its home below ``directory``, so that programs which take a ROOT find it where CONTENTS says.
    """
    stamp = directory / "shape.json"
    tree = directory / HOME[1:]
    wanted = json.dumps(asdict(shape) | {"edition": 2})
    if stamp.is_file() and stamp.read_text() == wanted:
        return tree
    if directory.exists() and any(directory.iterdir()):
        raise SystemExit(f"{directory} holds something else; remove it, or name another directory")
    dice = random.Random(2026)
    noise = dice.randbytes(1 << 20)
    for number in range(shape.packages):
        share = shape.files // shape.packages + (number < shape.files % shape.packages)
        _package(tree, number, share, dice, noise)
    stamp.write_text(wanted)
    return tree


def _package(tree: Path, number: int, files: int, dice: random.Random, noise: bytes) -> None:
    name, version = f"package{number:04d}", "1.2.3"
    entry = tree / f"var/db/pkg/app-generated/{name}-{version}"
    entry.mkdir(parents=True)
    lines: list[str] = []
    made: set[str] = set()
    latest: dict[str, str] = {}
    for index in range(files):
        # Every twentieth package has a deeper tree, as language runtimes do.
        place = PLACES[index % len(PLACES)].format(name=name, version=version)
        if number % 20 == 0:
            place += f"/part{index % 12:02d}"
        for depth in range(1, place.count("/") + 2):
            above = "/".join(place.split("/")[:depth])
            if above not in made:
                made.add(above)
                (tree / above).mkdir(parents=True, exist_ok=True)
                lines.append(f"dir {HOME}/{above}\n")
        path = f"{place}/file{index:05d}.dat"
        target = latest.get(place)
        if index % 25 == 24 and target:
            (tree / path).symlink_to(target)
            os.utime(tree / path, (MTIME_S, MTIME_S), follow_symlinks=False)
            lines.append(f"sym {HOME}/{path} -> {target} {MTIME_S}\n")
            continue
        latest[place] = f"file{index:05d}.dat"
        content = _content(dice, noise, f"{path}\n".encode())
        with open(tree / path, "wb") as file:
            file.write(content)
        os.utime(tree / path, (MTIME_S, MTIME_S))
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        lines.append(f"obj {HOME}/{path} {digest} {MTIME_S}\n")
    (entry / "CONTENTS").write_text("".join(lines))
    for key, value in {**VALUES, "PF": f"{name}-{version}", "CATEGORY": "app-generated", "EPREFIX": HOME, "SIZE": "1"}.items():
        (entry / key).write_text(f"{value}\n")


def _content(dice: random.Random, noise: bytes, head: bytes) -> bytes:
    ((_, smallest, biggest),) = dice.choices(SIZES, weights=[share for share, _, _ in SIZES])
    # Sizes are spread evenly over their orders of magnitude.
    size = int(smallest * (biggest / smallest) ** dice.random())
    start = dice.randrange(len(noise) // 2)
    return (head + noise[start : start + size])[: max(size, len(head))]


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[2:]]
    print(generate(Path(sys.argv[1]), Shape(*numbers)))
