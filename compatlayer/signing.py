"""Signed statements: in-toto statements in DSSE envelopes, ed25519 keys in PEM files.

Sources: in-toto Attestation Framework v1 (https://github.com/in-toto/attestation), DSSE v1
(https://github.com/secure-systems-lab/dsse). ``securesystemslib`` signs and verifies; other in-toto tools can read what
is written here.

A key is named by its key id (SHA-256 of its public part). Private keys come from a file, or as PEM text from the
environment variable ``COMPATLAYER_SIGNING_KEY``; they are never logged or printed.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compatlayer.errors import RepositoryError, UsageError
from compatlayer.journal import write_atomically

STATEMENT = "https://in-toto.io/Statement/v1"
PAYLOAD = "application/vnd.in-toto+json"
VARIABLE = "COMPATLAYER_SIGNING_KEY"
_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies; ``revoked`` ones are known only to be named when they come up."""

    keyid: str
    pem: str
    name: str
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs. Its secret part is not shown by ``repr``."""

    keyid: str
    _pem: bytes

    def __repr__(self) -> str:
        return f"PrivateKey({self.keyid[:12]})"

    def sign(self, payload: bytes) -> bytes:
        """A DSSE envelope over ``payload``, as JSON."""
        from securesystemslib.dsse import Envelope  # noqa: PLC0415  (half a second that most verbs do not need)

        envelope = Envelope(payload=payload, payload_type=PAYLOAD, signatures={})
        envelope.sign(_signer(self._pem))
        return json.dumps(envelope.to_dict(), sort_keys=True).encode() + b"\n"

    def public(self, name: str) -> PublicKey:
        """Its public half."""
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

        key = _load_private(self._pem, name).public_key()
        pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return PublicKey(self.keyid, pem.decode(), name)


@dataclass(frozen=True, slots=True)
class Verified:
    """A statement whose signature holds, and the keys that made it."""

    statement: Mapping[str, Any]
    keys: tuple[PublicKey, ...]


def statement(subjects: Sequence[Mapping[str, Any]], predicate_type: str, predicate: Mapping[str, Any]) -> bytes:
    """An in-toto statement: what it is about (names and digests), what it says, as canonical JSON."""
    document = {"_type": STATEMENT, "subject": list(subjects), "predicateType": predicate_type, "predicate": dict(predicate)}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def verify(envelope: bytes, keys: Sequence[PublicKey], name: str, predicate_type: str) -> Verified:
    """Check an envelope against ``keys``. Raises ``RepositoryError`` unless one that is not revoked has signed it."""
    from securesystemslib.dsse import Envelope  # noqa: PLC0415
    from securesystemslib.exceptions import VerificationError  # noqa: PLC0415

    if len(envelope) > _MAX_BYTES:
        raise RepositoryError(f"{name} is larger than any statement")
    try:
        parsed = Envelope.from_dict(json.loads(envelope))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RepositoryError(f"{name} is not a signed statement", cause=f"not a DSSE envelope: {error!r}"[:300]) from error
    by_id = {key.keyid: key for key in keys}
    signed_by = set(parsed.signatures)
    revoked = [by_id[keyid] for keyid in signed_by if keyid in by_id and by_id[keyid].revoked]
    valid = [by_id[keyid] for keyid in signed_by if keyid in by_id and not by_id[keyid].revoked]
    if not valid:
        cause = (
            f"signed by the revoked key {revoked[0].name}"
            if revoked
            else f"signed by {_short(signed_by)}, trusted are {_short(by_id)}"
        )
        raise RepositoryError(f"{name} is not signed by a key that is trusted", cause=cause, hint="add the public key to keys/")
    try:
        accepted = parsed.verify([_verifier(key) for key in valid], 1)
    except VerificationError as error:
        raise RepositoryError(
            f"the signature of {name} does not hold", cause="it was altered after it was signed, or signed with another key"
        ) from error
    return Verified(_statement(parsed.payload, parsed.payload_type, name, predicate_type), tuple(by_id[one] for one in accepted))


def private_key(file: Path | None) -> PrivateKey | None:
    """The key in ``file``, or else in the environment; None when neither is given. Raises ``UsageError``."""
    if file is not None:
        try:
            mode = file.stat().st_mode
            pem = file.read_bytes()
        except OSError as error:
            raise UsageError(f"the key {file} cannot be read", cause=error.strerror) from error
        if stat.S_IMODE(mode) & 0o077:
            raise UsageError(f"others can read the key {file}", hint=f"chmod 600 {file}")
        return _private(pem, str(file))
    pem = os.environ.get(VARIABLE, "").encode()
    return _private(pem, VARIABLE) if pem.strip() else None


def make_private_key(file: Path) -> PrivateKey:
    """A new key in ``file`` (mode 0600), with its public half beside it as ``.pub``."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = _private(pem, str(file))
    write_atomically(file, pem, mode=0o600)
    write_atomically(file.with_suffix(".pub"), key.public(file.name).pem.encode())
    return key


def public_key(file: Path, *, revoked: bool = False) -> PublicKey:
    """The public key in a PEM file. Raises ``UsageError`` when there is none."""
    try:
        pem = file.read_bytes()
        return PublicKey(_keyid(pem), pem.decode(), file.name, revoked)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{file} is not a public key", cause=str(error), hint="a PEM file with an ed25519 key is needed"
        ) from error


def public_keys(directory: Path) -> tuple[PublicKey, ...]:
    """The keys ``*.pub`` in a directory, and the revoked ones in ``revoked/`` below it."""
    valid = tuple(public_key(path) for path in sorted(directory.glob("*.pub")))
    return valid + tuple(public_key(path, revoked=True) for path in sorted((directory / "revoked").glob("*.pub")))


def _statement(payload: bytes, payload_type: str, name: str, predicate_type: str) -> Mapping[str, Any]:
    try:
        document = json.loads(payload)
        kind = document["predicateType"] if payload_type == PAYLOAD and document["_type"] == STATEMENT else payload_type
    except (ValueError, KeyError, TypeError) as error:
        raise RepositoryError(f"{name} does not hold an in-toto statement") from error
    if kind != predicate_type:
        raise RepositoryError(f"{name} is a statement of another kind", cause=f"it is a {kind}, a {predicate_type} is needed")
    found: Mapping[str, Any] = document
    return found


def _private(pem: bytes, name: str) -> PrivateKey:
    key = _load_private(pem, name)
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PrivateKey(_keyid(public), pem)


def _load_private(pem: bytes, name: str) -> Any:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        # Without the cause: it could quote the key.
        raise UsageError(f"{name} holds no ed25519 private key without a password (PEM, PKCS #8)")
    return key


def _signer(pem: bytes) -> Any:
    from securesystemslib.signer import CryptoSigner  # noqa: PLC0415

    return CryptoSigner(_load_private(pem, "the signing key"))


def _verifier(key: PublicKey) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    from securesystemslib.signer import SSlibKey  # noqa: PLC0415

    return SSlibKey.from_crypto(load_pem_public_key(key.pem.encode()), keyid=key.keyid)


def _keyid(pem: bytes) -> str:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    from securesystemslib.signer import SSlibKey  # noqa: PLC0415

    key = SSlibKey.from_crypto(load_pem_public_key(pem))
    if key.keytype != "ed25519":
        raise ValueError(f"a key of type {key.keytype}")
    return str(key.keyid)


def _short(keyids: Any) -> str:
    return ", ".join(sorted(keyid[:12] for keyid in keyids)) or "nobody"
