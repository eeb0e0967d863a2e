"""One line of a store's index: a signed statement about one binary package, as receipts are signed.

An in-toto statement in a DSSE envelope (``compatlayer.signing``): the subject is the file with its SHA-256, the predicate says
which package it is, under which key, and what went into that. Each line stands for itself, so that stores can be merged and
several builders can write to one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compatlayer import signing
from compatlayer.binaries.key import Key
from compatlayer.errors import RepositoryError
from compatlayer.gentoo.versions import parse_cpv
from compatlayer.signing import PrivateKey, PublicKey

BINARY = "urn:compatlayer:binary-package:v1"
_DIGEST_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored package: which one, its key with the parts it was made of, and the file."""

    key: Key
    sha256: str
    size_bytes: int

    @property
    def cpv(self) -> str:
        """``category/name-version``."""
        return self.key.cpv

    @property
    def path(self) -> str:
        """Where the file lies below the store: never what an index says, so that none can lead elsewhere."""
        return f"packages/{self.cpv}/{self.sha256}.gpkg.tar"

    def signed(self, key: PrivateKey) -> bytes:
        """The line of an index, without its end."""
        subject = {"name": self.path, "digest": {"sha256": self.sha256}}
        predicate = {
            "package": self.cpv,
            "key": self.key.digest,
            "parts": dict(self.key.parts),
            "tested": self.key.tested,
            "size_bytes": self.size_bytes,
        }
        return key.sign(signing.statement([subject], BINARY, predicate)).strip()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an index as it was read: what it claims, which nobody has checked yet."""

    raw: bytes
    claimed: Entry


def read_line(raw: bytes) -> Line:
    """What a line claims. Raises ``ValueError`` for one that is no statement about a binary package."""
    try:
        envelope = json.loads(raw)
        return Line(raw, _entry(json.loads(base64.standard_b64decode(envelope["payload"]))))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a signed statement about a binary package: {error!r}") from error


def verified(line: Line, keys: Sequence[PublicKey]) -> Entry:
    """The entry, once its signature holds for one of ``keys``. Raises ``RepositoryError``."""
    statement = signing.verify(line.raw, keys, "its entry", BINARY).statement
    try:
        return _entry(statement)
    except (KeyError, TypeError, ValueError) as error:  # signed by somebody trusted, and still not what we understand
        raise RepositoryError("its entry cannot be read", cause=str(error)) from error


def _entry(statement: Mapping[str, Any]) -> Entry:
    said, subject = statement["predicate"], statement["subject"][0]
    cpv, sha256 = str(said["package"]), str(subject["digest"]["sha256"])
    if parse_cpv(cpv).cpv != cpv or len(sha256) != _DIGEST_LENGTH or set(sha256) - set("0123456789abcdef"):
        raise ValueError(f"{cpv!r} with digest {sha256!r} is not a package")
    parts = {str(name): str(value) for name, value in said["parts"].items()}
    return Entry(Key(cpv, str(said["key"]), parts, tested=said["tested"] is True), sha256, int(said["size_bytes"]))
