"""What a promotion promises: gates, overrides, approvals, receipts that others can read, and nothing half done."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from compatlayer import gates, promote, publish, signing
from compatlayer.errors import CompatlayerError, GateError, RepositoryError, UsageError
from compatlayer.gates import Gate, Question
from compatlayer.promote import Promoted
from compatlayer.signing import PrivateKey
from tests.published_part import TARGET, PublishedLayer

pytestmark = pytest.mark.contract

NAME = f"2026.11-{TARGET.name}"


@pytest.fixture
def layer(tmp_path: Path) -> PublishedLayer:
    layer = PublishedLayer(tmp_path / "ground")
    layer.declare()
    layer.fill()
    publish.publish(layer.layer, layer.stage(), layer.test)
    return layer


@pytest.fixture
def own(tmp_path: Path) -> PrivateKey:
    return signing.make_private_key(tmp_path / "own.pem")


@pytest.fixture
def other(tmp_path: Path) -> PrivateKey:
    return signing.make_private_key(tmp_path / "other.pem")


def question(layer: PublishedLayer, publisher: str) -> Question:
    head = layer.test.head(layer.part)
    assert head is not None
    return Question(layer.layer, layer.version, TARGET, layer.state, layer.test, layer.production, head, publisher)


def run(layer: PublishedLayer, key: PrivateKey, overrides: Mapping[str, str] | None = None, **options: bool) -> Promoted:
    return promote.promote(question(layer, key.keyid), key, overrides, **options)


def approver(layer: PublishedLayer, key: PrivateKey, name: str) -> None:
    """Make a key one of the approvers that ``layer.yaml`` may name as ``keys/NAME.pub``."""
    (layer.root / "keys").mkdir(exist_ok=True)
    (layer.root / f"keys/{name}.pub").write_text(key.public(name).pem)


def refused(layer: PublishedLayer, key: PrivateKey, overrides: Mapping[str, str] | None = None) -> GateError:
    """A promotion must be refused, and change nothing."""
    before = layer.production.head(layer.part)
    with pytest.raises(GateError) as error:
        run(layer, key, overrides)
    assert error.value.exit_code == 7
    assert layer.production.head(layer.part) == before
    assert layer.production.pending() is None
    return error.value


def test_production_is_equal_to_what_was_tested(layer: PublishedLayer, own: PrivateKey) -> None:
    result = run(layer, own, full_readback=True)
    assert result.revision is not None
    assert result.revision.root == result.tested.root
    assert result.revision.origin.promoted_from == result.tested.id
    tested, promoted = layer.test.manifest(result.tested, layer.part), layer.production.manifest(result.revision, layer.part)
    assert not list(tested.differences(promoted))


def test_promoting_what_is_there_says_so_and_does_nothing(layer: PublishedLayer, own: PrivateKey) -> None:
    first = run(layer, own)
    again = run(layer, own)
    assert (again.revision, again.receipt) == (None, None)
    assert layer.production.head(layer.part) == first.revision


def test_a_receipt_says_what_by_whom_from_what(layer: PublishedLayer, own: PrivateKey) -> None:
    result = run(layer, own)
    assert result.receipt is not None
    assert result.revision is not None
    envelope = json.loads(result.receipt.read_bytes())
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert {subject["digest"]["sha256"] for subject in statement["subject"]} == {result.revision.root}
    said = statement["predicate"]
    assert said["test"]["identity"] == result.tested.id
    assert said["production"]["identity"] == result.revision.id
    assert said["production"]["tags"] == [f"{NAME}.1"]
    assert said["pins"] == [{"name": "tiny", "commit": None}]
    assert [gate["gate"] for gate in said["gates"]] == ["prefix"]
    assert said["changelog"]["packages"][0]["name"] == "app-misc/tiny"


def test_another_in_toto_reader_accepts_a_receipt(layer: PublishedLayer, own: PrivateKey) -> None:
    """DSSE's own words (PAE), by hand: no code of ours or of the library that signed."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    receipt = run(layer, own).receipt
    assert receipt is not None
    envelope = json.loads(receipt.read_bytes())
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    load_pem_public_key(own.public("own").pem.encode()).verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed)  # type: ignore[union-attr,call-arg]


def flipped(envelope: bytes) -> bytes:
    document = json.loads(envelope)
    payload = bytearray(base64.b64decode(document["payload"]))
    payload[len(payload) // 2] ^= 1
    return json.dumps({**document, "payload": base64.b64encode(payload).decode()}).encode()


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        pytest.param(flipped, "signature of .* does not hold", id="payload"),
        pytest.param(lambda content: content[: len(content) // 2], "is not a signed statement", id="truncated"),
        pytest.param(lambda _: b"[]", "is not a signed statement", id="other JSON"),
        pytest.param(
            lambda content: content.replace(b"vnd.in-toto+json", b"vnd.in-toto+jsOn"), "does not hold", id="payload type"
        ),
    ],
)
def test_an_altered_receipt_is_refused(layer: PublishedLayer, own: PrivateKey, alter: object, said: str) -> None:
    receipt = run(layer, own).receipt
    assert receipt is not None
    assert callable(alter)
    receipt.write_bytes(alter(receipt.read_bytes()))
    with pytest.raises(RepositoryError, match=said):
        promote.check_receipt(receipt, [own.public("own")], layer.production, layer.part)


def test_a_receipt_is_valid_with_any_key_that_is_trusted_and_not_with_a_revoked_one(
    layer: PublishedLayer, own: PrivateKey, other: PrivateKey
) -> None:
    receipt = run(layer, own).receipt
    assert receipt is not None
    keys = layer.root / "keys"
    approver(layer, other, "new")
    with pytest.raises(RepositoryError, match="not signed by a key that is trusted"):
        promote.check_receipt(receipt, signing.public_keys(keys), layer.production, layer.part)
    approver(layer, own, "old")
    checked = promote.check_receipt(receipt, signing.public_keys(keys), layer.production, layer.part)
    assert [key.name for key in checked.keys] == ["old.pub"]
    (keys / "revoked").mkdir()
    (keys / "old.pub").rename(keys / "revoked/old.pub")
    with pytest.raises(RepositoryError, match=r"revoked key old\.pub"):
        promote.check_receipt(receipt, signing.public_keys(keys), layer.production, layer.part)


def test_an_earlier_receipt_stays_valid_and_says_that_it_is_earlier(layer: PublishedLayer, own: PrivateKey) -> None:
    first = run(layer, own).receipt
    assert first is not None
    layer.package("app-misc/tiny-2.0", {"usr/bin/tiny": "2.0"})
    publish.publish(layer.layer, layer.stage(), layer.test)
    run(layer, own)
    assert promote.check_receipt(first, [own.public("own")], layer.production, layer.part).standing == (
        "an earlier revision; production holds 2"
    )


def test_a_part_that_was_built_for_another_place_is_refused_whatever_anybody_says(layer: PublishedLayer, own: PrivateKey) -> None:
    record = layer.stage().upper / "usr/share/compatlayer/provenance.json"
    record.write_text(json.dumps({"prefix": "/cvmfs/elsewhere", "repositories": []}))
    publish.publish(layer.layer, layer.stage(), layer.test)
    assert "built for /cvmfs/elsewhere" in str(refused(layer, own))
    with pytest.raises(UsageError, match="the gate 'prefix' cannot be overridden"):
        run(layer, own, {"prefix": "I know better"})


def test_declared_gates_that_cannot_be_asked_refuse(layer: PublishedLayer, own: PrivateKey) -> None:
    layer.declare("{verify: error, acceptance: true}")
    error = refused(layer, own)
    assert (
        error.fact == "promoting revision 1 of " + str(layer.part) + " is refused by verify, acceptance; production is unchanged"
    )
    assert "--override verify" in str(error)


def test_a_gate_is_overridden_by_name_with_a_reason_that_the_receipt_keeps(layer: PublishedLayer, own: PrivateKey) -> None:
    approver(layer, own, "own")
    layer.declare("{approvals: 1, approvers: [keys/own.pub]}")
    with pytest.raises(UsageError, match="needs a reason"):
        run(layer, own, {"approvals": " "})
    with pytest.raises(UsageError, match="the gate 'approval' cannot be overridden"):
        run(layer, own, {"approval": "typo"})
    result = run(layer, own, {"approvals": "it is Sunday; $(reboot) `x` 'y' #z\n -f"})
    assert result.receipt is not None
    said = promote.check_receipt(result.receipt, [own.public("own")], None, None).statement["predicate"]
    assert said["overrides"] == {"approvals": "it is Sunday; $(reboot) `x` 'y' #z\n -f"}


def test_an_override_of_a_gate_that_passes_is_no_override(layer: PublishedLayer, own: PrivateKey, other: PrivateKey) -> None:
    approver(layer, other, "other")
    layer.declare("{approvals: 1, approvers: [keys/other.pub]}")
    gates.approve(question(layer, ""), other, "looked at it")
    result = run(layer, own, {"approvals": "just in case"})
    assert [answer.override for answer in result.answers if answer.gate is Gate.APPROVALS] == [None]


def test_approvals_count_once_for_each_approver_and_never_for_the_publisher(
    layer: PublishedLayer, own: PrivateKey, other: PrivateKey, tmp_path: Path
) -> None:
    third = signing.make_private_key(tmp_path / "third.pem")
    for key, name in ((own, "own"), (other, "other"), (third, "third")):
        approver(layer, key, name)
    layer.declare("{approvals: 2, approvers: [keys/own.pub, keys/other.pub, keys/third.pub]}")
    assert "0 of 2 approvals" in str(refused(layer, own))
    gates.approve(question(layer, ""), own, "my own work")
    assert "own.pub is the publisher's own key" in str(refused(layer, own))
    gates.approve(question(layer, ""), other, "")
    gates.approve(question(layer, ""), other, "again")
    assert "1 of 2 approvals: other.pub" in str(refused(layer, own))
    gates.approve(question(layer, ""), third, "")
    assert run(layer, own).revision is not None


def test_an_approval_by_somebody_else_is_no_approval(layer: PublishedLayer, own: PrivateKey, other: PrivateKey) -> None:
    approver(layer, other, "other")
    layer.declare("{approvals: 1, approvers: [keys/other.pub]}")
    with pytest.raises(UsageError, match="is not an approver's"):
        gates.approve(question(layer, ""), own, "let me in")
    file = gates.approve(question(layer, ""), other, "")
    file.write_bytes(own.sign(base64.b64decode(json.loads(file.read_bytes())["payload"])))
    assert "not signed by a key that is trusted" in str(refused(layer, own))


def test_an_altered_approval_and_one_of_another_revision_do_not_count(
    layer: PublishedLayer, own: PrivateKey, other: PrivateKey
) -> None:
    approver(layer, other, "other")
    layer.declare("{approvals: 1, approvers: [keys/other.pub]}")
    file = gates.approve(question(layer, ""), other, "fine")
    whole = file.read_bytes()
    file.write_bytes(flipped(whole))
    assert "does not hold" in str(refused(layer, own))
    file.write_bytes(whole)
    layer.package("app-misc/tiny-2.0", {"usr/bin/tiny": "2.0"})
    publish.publish(layer.layer, layer.stage(), layer.test)
    head = layer.test.head(layer.part)
    assert head is not None
    elsewhere = layer.test.ledger.approvals / head.id / file.name
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(whole)
    assert "is of another revision" in str(refused(layer, own))


def test_a_key_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path, own: PrivateKey) -> None:
    file = tmp_path / "own.pem"
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with pytest.raises(UsageError, match="others can read the key"):
        signing.private_key(file)
    secret = file.read_text().splitlines()[1]
    file.write_text(file.read_text().replace("PRIVATE", "WRONG"))
    file.chmod(0o600)
    with pytest.raises(UsageError) as error:
        signing.private_key(file)
    assert secret not in str(error.value)
    assert secret not in repr(own)


def test_a_key_comes_from_the_environment(tmp_path: Path, own: PrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    assert signing.private_key(None) is None
    monkeypatch.setenv(signing.VARIABLE, (tmp_path / "own.pem").read_text())
    found = signing.private_key(None)
    assert found is not None
    assert found.keyid == own.keyid


def test_on_the_command_line_a_refusal_ends_with_7_and_a_valid_receipt_with_0(layer: PublishedLayer, own: PrivateKey) -> None:
    approver(layer, own, "own")
    layer.declare("{approvals: 1, approvers: [keys/own.pub]}")
    done = layer.run("promote", code=7)
    assert "approvals: 0 of 1 approvals" in done.stderr
    assert not (layer.root / "changelogs").exists()
    promoted = json.loads(layer.run("--format", "json", "promote", "--override", "approvals=a test").stdout)
    assert promoted["gates"][1] == {
        "gate": "approvals", "passed": False, "reason": "0 of 1 approvals", "override": "a test",
    }  # fmt: skip
    checked = layer.run("receipt", "verify", promoted["receipt"])
    assert "overridden  approvals: a test" in checked.stdout
    assert "this is     what production holds now" in checked.stdout
    assert "private" not in (done.stderr + checked.stdout + checked.stderr).lower()


def test_on_the_command_line_a_colleague_approves_and_the_promotion_passes(
    layer: PublishedLayer, own: PrivateKey, tmp_path: Path
) -> None:
    colleague = signing.make_private_key(tmp_path / "colleague.pem")
    approver(layer, own, "own")
    approver(layer, colleague, "colleague")
    layer.declare("{approvals: 1, approvers: [keys/own.pub, keys/colleague.pub]}")
    with_key = ["--key", str(tmp_path / "colleague.pem")]
    approved = layer.run("approve", "head", *with_key, "--comment", 'looked at "$(it)"; fine')
    assert f"approved revision 1 of {layer.part} with key {colleague.keyid[:12]}" in approved.stderr
    promoted = json.loads(layer.run("--format", "json", "promote").stdout)
    assert promoted["gates"][1]["passed"]
    assert promoted["gates"][1]["reason"].startswith("1 of 1 approvals")
    stranger = signing.make_private_key(tmp_path / "stranger.pem")
    refusal = layer.run("approve", "head", "--key", str(tmp_path / "stranger.pem"), code=2).stderr
    assert stranger.keyid[:12] in refusal


def test_errors_of_this_house_only(layer: PublishedLayer, own: PrivateKey) -> None:
    with pytest.raises(CompatlayerError):
        promote.check_receipt(Path(os.devnull), [own.public("own")], None, None)
