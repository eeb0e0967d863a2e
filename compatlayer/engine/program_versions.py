"""Which versions the host's programs are: asked once, and remembered for as long as they are the same files.

Asking two dozen programs takes longer than everything else that a command with nothing to do does.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path

from compatlayer import process
from compatlayer.journal import write_atomically

MEMORY = "resolve/programs.json"
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_UNKNOWN = "0"
_AUTOMAKE = r"""
if (/unshift \(\@INC, '(\/[^']+)'\)/) { unshift @INC, $1; require Automake::Config; print $Automake::Config::VERSION; exit }
"""
# How a program tells its version, where `--version` is not the way.
_ASK: Mapping[str, tuple[str, ...]] = {
    "gcc": ("gcc", "-dumpfullversion"),
    "g++": ("g++", "-dumpfullversion"),
    "bzip2": ("bzip2", "--help"),
    "perl": ("perl", "-e", "printf '%vd', $^V"),
    # Asked itself it loads all of automake, which takes longer than all other programs together.
    "automake": ("perl", "-ne", _AUTOMAKE, "/usr/bin/automake"),
}


def of(places: Mapping[str, str], memory: Path) -> dict[str, str]:
    """The upstream version of each program, by name; ``places`` are their absolute paths.

    ``memory`` is a file that holds what they said; one that is missing, damaged or cannot be written costs time only.
    """
    known = _recall(memory)
    identities = {name: _identity(name, place) for name, place in places.items()}
    unknown = {name: identity for name, identity in identities.items() if identity not in known}
    if unknown:
        # What another engine asks stays known; what a program was before does not.
        known = {identity: version for identity, version in known.items() if identity.split(" ", 1)[0] not in unknown}
        known |= _ask(unknown)
        _remember(memory, {identity: version for identity, version in known.items() if version != _UNKNOWN})
    return {name: known[identity] for name, identity in identities.items()}


def _identity(name: str, place: str) -> str:
    """What is another when the program is: package managers keep a file's time of change, but nobody can keep the inode's."""
    found = Path(place).stat()
    return f"{name} {place} {found.st_dev} {found.st_ino} {found.st_size} {found.st_ctime_ns}"


def _ask(identities: Mapping[str, str]) -> dict[str, str]:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  (most runs have nothing to ask)

    with ThreadPoolExecutor(8) as pool:
        return dict(zip(identities.values(), pool.map(lambda one: _said(*one), identities.items()), strict=True))


@functools.cache
def _said(name: str, identity: str) -> str:  # noqa: ARG001  (a program that was replaced is asked again)
    """What a program says its version is, asked once: several parts in one run look at the same machine."""
    for question in (_ASK.get(name), (name, "--version")):
        if question is not None:
            said = process.run(question, check=False, timeout_s=20)
            found = _VERSION.search(said.stdout + said.stderr)
            if found:
                return found.group()
    return _UNKNOWN


def _recall(memory: Path) -> dict[str, str]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    right = isinstance(known, dict) and all(isinstance(version, str) for version in known.values())
    return known if right else {}


def _remember(memory: Path, known: Mapping[str, str]) -> None:
    try:
        write_atomically(memory, json.dumps(known, indent=1, sort_keys=True).encode())
    except OSError:
        return
