"""Looking after a store: whether everything in it holds, and what may go."""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from compatlayer import signing
from compatlayer.binaries.entry import BINARY, Line
from compatlayer.binaries.store import Index, Store, digest_of, parse_index
from compatlayer.errors import RepositoryError
from compatlayer.gentoo.versions import parse_cpv
from compatlayer.signing import PublicKey

# How many builds of one package (category/name, for one prefix) are kept: the present one, and a way back.
KEEP = 3


class Verdict(enum.StrEnum):
    """How one entry of a store stands."""

    GOOD = "good"
    UNTRUSTED = "untrusted"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Checked:
    """One entry: how it stands, who signed it (a key's name; empty: nobody who is trusted), and what is wrong with it."""

    line: Line
    verdict: Verdict
    signer: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """A store as it was found: its entries, lines that are none, and files that no entry names."""

    checked: tuple[Checked, ...]
    unreadable: tuple[str, ...]
    strangers: tuple[Path, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every entry that is trusted can be used, and every line can be read."""
        return not self.unreadable and all(one.verdict is not Verdict.DAMAGED for one in self.checked)


def inspect(store: Store, trusted: Sequence[PublicKey], *, files: bool = True) -> Inspection:
    """Check every signature, and every file where ``files`` are to be read. Raises ``UnusableError`` for an unreadable index."""
    index = store.index()
    strangers = store.strangers({line.claimed.sha256 for line in index}) if files else []
    checked = tuple(_check(store, line, trusted, files=files) for line in index)
    return Inspection(checked, index.unreadable, tuple(sorted(strangers)))


def superfluous(index: Index, keep: int = KEEP) -> frozenset[bytes]:
    """The lines that newer builds of the same package for the same prefix have replaced: all but the last ``keep``."""
    builds: dict[tuple[str, str], list[bytes]] = {}
    for line in index:
        package = parse_cpv(line.claimed.cpv).cp
        builds.setdefault((package, line.claimed.key.parts.get("prefix", "")), []).append(line.raw)
    return frozenset(raw for lines in builds.values() for raw in lines[: max(len(lines) - keep, 0)])


def prune(store: Store, found: Inspection, superfluous: Collection[bytes]) -> int:
    """Delete superfluous and damaged entries, lines that are none, and files that no entry names; returns the bytes freed.

    What has come in since ``found`` stays. Raises ``RepositoryError`` when the store cannot be written.
    """
    gone = {*superfluous, *(one.line.raw for one in found.checked if one.verdict is Verdict.DAMAGED)}
    return store.keep(lambda raw: raw not in gone and bool(parse_index(raw).lines))


def _check(store: Store, line: Line, trusted: Sequence[PublicKey], *, files: bool) -> Checked:
    try:
        signer = signing.verify(line.raw, trusted, "its entry", BINARY).keys[0].name
    except RepositoryError as error:
        reason = f"{error.fact}: {error.cause}" if error.cause else error.fact
        return Checked(line, Verdict.UNTRUSTED, "", reason)
    if not files:
        return Checked(line, Verdict.GOOD, signer)
    file = store.root / line.claimed.path
    try:
        right = file.stat().st_size == line.claimed.size_bytes and digest_of(file) == line.claimed.sha256
    except OSError as error:
        return Checked(line, Verdict.DAMAGED, signer, error.strerror or str(error))
    return Checked(line, Verdict.GOOD if right else Verdict.DAMAGED, signer, "" if right else "the file is not what was signed")
