"""What Portage said last time: the fetch maps of a part, for as long as nothing they depend on has changed.

Resolving takes a second or more; a mirror that has everything should say so at once. The key covers the configuration that
Portage would read, every file of the ebuild repositories (by commit, or by name, size and time), and the programs that answer.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from compatlayer import __version__
from compatlayer.gentoo import decode
from compatlayer.gentoo.packages import FetchMap
from compatlayer.gentoo.portage_configuration import digest_of
from compatlayer.journal import write_atomically
from compatlayer.selection import Selection, repository_directory, resolver_files


def key(chosen: Selection, state: Path) -> str:
    """A digest over everything that the fetch maps of this part depend on."""
    digest = hashlib.sha256(f"{__version__}\0{_portage()}\0{json.dumps(chosen.atoms)}\0".encode())
    digest.update(digest_of(resolver_files(chosen, state)).encode())
    for repository in chosen.version.repositories:
        directory = repository_directory(chosen.layer, repository, state)
        if repository.commit is not None:
            digest.update(f"{repository.name} {repository.commit}\0".encode())
            continue
        for line in sorted(_files(directory, "")):
            digest.update(line.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()


def _portage() -> str:
    """What tells one installed Portage from another: the name of its metadata directory, which holds the version.

    ``importlib.metadata`` would say it too, after reading the e-mail format that it is written in.
    """
    found = importlib.util.find_spec("portage")
    assert found is not None, "Portage is a dependency"
    assert found.origin is not None, "Portage is a package"
    place = Path(found.origin)
    beside = sorted(path.name for path in place.parents[1].glob("portage-*.*-info"))
    return f"{beside} {place.stat().st_mtime_ns}"


def recall(state: Path, part: str, wanted: str) -> tuple[FetchMap, ...] | None:
    """The fetch maps that were remembered under this key; None when there are none, or they cannot be read."""
    try:
        document = json.loads(_file(state, part).read_text(encoding="utf-8"))
        return tuple(map(decode.fetch_map, document["maps"])) if document["key"] == wanted else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(state: Path, part: str, wanted: str, maps: Sequence[FetchMap]) -> None:
    """Keep them for next time."""
    document = {"key": wanted, "maps": [_raw(one) for one in maps]}
    write_atomically(_file(state, part), json.dumps(document).encode())


def _file(state: Path, part: str) -> Path:
    return state / "resolve" / f"{part.replace('/', '-')}.distfiles.json"


def _raw(one: FetchMap) -> dict[str, object]:
    """As the worker would say it."""
    document = asdict(one)
    for file in document["distfiles"]:
        file["size"] = file.pop("size_bytes")
    return document


def _files(directory: str | Path, below: str) -> Iterator[str]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != ".git":
                    yield from _files(entry.path, f"{below}{entry.name}/")
            else:
                status = entry.stat(follow_symlinks=False)
                yield f"{below}{entry.name} {status.st_size} {status.st_mtime_ns}"
