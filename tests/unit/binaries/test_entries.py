"""The lines of an index: signed, read back, and refused for every reason there is."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from compatlayer import signing
from compatlayer.binaries.entry import Entry, read_line, verified
from compatlayer.binaries.store import parse_index
from compatlayer.errors import RepositoryError
from tests.binary_values import Filled, key

ENTRY = Entry(replace(key("app-misc/one-1", ebuild="0"), tested=True), "a" * 64, 7)


@pytest.fixture
def builder(tmp_path: Path) -> Filled:
    return Filled(tmp_path)


def test_an_entry_is_read_back_as_it_was_signed(builder: Filled) -> None:
    line = read_line(ENTRY.signed(builder.signer))
    assert line.claimed == ENTRY
    assert verified(line, builder.trusted) == ENTRY
    assert ENTRY.path == f"packages/app-misc/one-1/{'a' * 64}.gpkg.tar"


def test_an_entry_is_an_in_toto_statement_about_the_file(builder: Filled) -> None:
    envelope = json.loads(ENTRY.signed(builder.signer))
    statement = json.loads(base64.standard_b64decode(envelope["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": ENTRY.path, "digest": {"sha256": "a" * 64}}]


def altered(line: bytes, old: str, new: str) -> bytes:
    envelope = json.loads(line)
    payload = base64.standard_b64decode(envelope["payload"]).decode()
    assert old in payload
    envelope["payload"] = base64.standard_b64encode(payload.replace(old, new).encode()).decode()
    return json.dumps(envelope).encode()


@pytest.mark.parametrize(("old", "new"), [("1" * 64, "2" * 64), ("a" * 64, "b" * 64), ('"tested":true', '"tested":false')])
def test_an_altered_entry_is_refused(builder: Filled, old: str, new: str) -> None:
    line = read_line(altered(ENTRY.signed(builder.signer), old, new))
    with pytest.raises(RepositoryError, match="the signature of its entry does not hold"):
        verified(line, builder.trusted)


def test_an_entry_of_somebody_else_and_one_without_a_signature_are_refused(builder: Filled, tmp_path: Path) -> None:
    stranger = signing.make_private_key(tmp_path / "stranger.pem")
    unsigned = json.loads(ENTRY.signed(builder.signer)) | {"signatures": []}
    for line in (ENTRY.signed(stranger), json.dumps(unsigned).encode()):
        with pytest.raises(RepositoryError, match="is not signed by a key that is trusted"):
            verified(read_line(line), builder.trusted)


def test_an_entry_of_a_revoked_key_is_refused(builder: Filled) -> None:
    revoked = replace(builder.signer.public("builder.pub"), revoked=True)
    with pytest.raises(RepositoryError) as refused:
        verified(read_line(ENTRY.signed(builder.signer)), [revoked])
    assert refused.value.cause == "signed by the revoked key builder.pub"


def test_a_receipt_is_no_entry(builder: Filled) -> None:
    payload = json.loads(base64.standard_b64decode(json.loads(ENTRY.signed(builder.signer))["payload"]))
    other = builder.signer.sign(signing.statement(payload["subject"], "urn:compatlayer:promotion:v1", payload["predicate"]))
    with pytest.raises(RepositoryError, match="is a statement of another kind"):
        verified(read_line(other.strip()), builder.trusted)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("app-misc/one-1", "../../one-1"),
        ("app-misc/one-1", "app-misc/one"),
        ("a" * 64, "../../../etc/passwd" + "a" * 45),
        ("a" * 64, "A" * 64),
        ('"size_bytes":7', '"size_bytes":"x"'),
    ],
)
def test_a_name_that_leads_elsewhere_is_no_entry(builder: Filled, old: str, new: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (whatever it says)
        read_line(altered(ENTRY.signed(builder.signer), old, new))


def test_a_damaged_line_does_not_hide_the_others(builder: Filled) -> None:
    good = ENTRY.signed(builder.signer)
    index = parse_index(b"\n".join([b"{", good, b"[]", b'{"payload": "AAAA"}', b"\xff\xfe", good[:40], b"[" * 100_000]))
    assert [line.claimed for line in index] == [ENTRY]
    assert [said.partition(":")[0] for said in index.unreadable] == [f"line {number}" for number in (1, 3, 4, 5, 6, 7)]
