"""Which stores of binary packages a command works with: those of ``layer.yaml``, and those named on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compatlayer import signing
from compatlayer.binaries.provide import Stores
from compatlayer.binaries.store import Store, open_place
from compatlayer.cli.context import Session
from compatlayer.cli.repositories import Places
from compatlayer.signing import PublicKey


def of(session: Session, more: Sequence[str], key: Path | None) -> Stores | None:
    """The stores to use; None where none is declared or named. Raises ``UsageError`` for a key that is none."""
    declared = session.layer.binaries
    if declared is None and not more:
        return None
    own = Store(session.layer.root / declared.path, str(declared.path)) if declared and declared.path else None
    names = [*more, *(declared.urls if declared else ())]
    places = Places(session)
    return Stores(own, tuple(map(open_place, names)), trusted(session, key), lambda: places.signing_key(key))


def trusted(session: Session, key: Path | None) -> tuple[PublicKey, ...]:
    """Whose packages count: the declared keys, or else all of ``keys/``; and what we would sign with ourselves.

    Revoked ones among them are known as such.
    """
    declared = session.layer.binaries
    known = Places(session).trusted_keys()
    if declared and declared.keys:
        own = signing.public_keys(session.state / "keys")
        files = tuple(signing.public_key(session.layer.root / file) for file in declared.keys)
        known = (*(one for one in known if one.revoked), *files, *own)
    ours = signing.private_key(key)
    return (*known, ours.public("the signing key")) if ours else known
