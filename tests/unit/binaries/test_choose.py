"""A stored package is used where its key is the same and everything about it holds; otherwise the reason is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from compatlayer import signing
from compatlayer.binaries.choose import Choice, Refusal, Search, file_of, sentences
from compatlayer.binaries.premises import Keyring
from compatlayer.binaries.store import Store
from tests.binary_values import Filled, key, ring

ONE = key("app-misc/one-1", ebuild="0", eclass="1")


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    return Filled(tmp_path)


def search(filled: Filled, keyring: Keyring | None = None, *more: Store) -> Search:
    return Search(keyring or ring(ONE), (filled.store, *more), filled.trusted)


def choose(looking: Search, tmp_path: Path, cpv: str = "app-misc/one-1", **known: str) -> Choice:
    return looking.choose(cpv, {name.replace("_", "/", 1) + "-1": value for name, value in known.items()}, tmp_path / "target")


def test_a_package_whose_key_matches_is_laid_out(filled: Filled, tmp_path: Path) -> None:
    entry = filled.add(ONE)
    looking = search(filled)
    assert choose(looking, tmp_path) == Choice("app-misc/one-1", entry, filled.store.name, "")
    assert (tmp_path / "target").stat().st_size == entry.size_bytes
    assert looking.refusals == []


def test_without_one_it_is_said_what_the_nearest_differs_in(filled: Filled, tmp_path: Path) -> None:
    assert choose(search(filled), tmp_path).because == "none is stored"
    filled.add(key("app-misc/one-1", "3" * 64, ebuild="1", eclass="2"))
    filled.add(key("app-misc/one-1", "4" * 64, ebuild="1", eclass="1"))
    assert choose(search(filled), tmp_path).because == "the stored one differs in ebuild"
    many = key("app-misc/one-1", "5" * 64, a="1", b="2", c="3", d="4")
    assert choose(search(filled, ring(many)), tmp_path).because == "the stored one differs in a, b, c and 3 more"
    assert not (tmp_path / "target").exists()


def test_a_damaged_package_is_refused_and_the_next_place_is_asked(filled: Filled, tmp_path: Path) -> None:
    entry = filled.add(ONE)
    (filled.store.root / entry.path).write_bytes(b"garbage")
    looking = search(filled)
    assert choose(looking, tmp_path).because == f"the one in {filled.store.name} cannot be used"
    assert sentences(looking.refusals) == [
        f"the binary package app-misc/one-1 in {filled.store.name} cannot be used: it has 7 bytes instead of {entry.size_bytes}"
    ]
    other = Filled(tmp_path / "other")
    better = other.add(ONE, signer=filled.signer)
    assert choose(search(filled, None, other.store), tmp_path).entry == better


def test_what_replaced_a_damaged_package_is_found_first(filled: Filled, tmp_path: Path) -> None:
    damaged = filled.add(ONE, b"first")
    (filled.store.root / damaged.path).write_bytes(b"garbage")
    entry = filled.add(ONE, b"second")
    looking = search(filled)
    assert choose(looking, tmp_path).entry == entry
    assert looking.refusals == []


def test_a_package_of_an_untrusted_builder_is_refused(filled: Filled, tmp_path: Path) -> None:
    filled.add(ONE, signer=signing.make_private_key(tmp_path / "stranger.pem"))
    looking = search(filled)
    assert choose(looking, tmp_path).entry is None
    assert "is not signed by a key that is trusted: signed by" in looking.refusals[0].reason


def test_a_package_that_was_renamed_to_another_key_is_refused(filled: Filled, tmp_path: Path) -> None:
    filled.add(key("app-misc/one-1", "9" * 64))
    index = filled.store.root / "index.jsonl"
    import base64
    import json

    envelope = json.loads(index.read_text())
    payload = base64.standard_b64decode(envelope["payload"]).replace(b"9" * 64, b"1" * 64)
    index.write_text(json.dumps({**envelope, "payload": base64.standard_b64encode(payload).decode()}))
    looking = search(filled)
    assert choose(looking, tmp_path).entry is None
    assert looking.refusals[0].reason.startswith("the signature of its entry does not hold")


def test_a_store_that_cannot_be_read_is_told_once_and_the_others_are_used(filled: Filled, tmp_path: Path) -> None:
    broken = Store(tmp_path / "broken")
    (broken.root / "index.jsonl").mkdir(parents=True)
    entry = filled.add(ONE)
    looking = Search(ring(ONE), (broken, filled.store), filled.trusted)
    assert choose(looking, tmp_path).entry == entry
    assert choose(looking, tmp_path).entry == entry
    assert [refusal.place for refusal in looking.refusals] == [broken.name]


def test_a_package_without_a_key_is_built(filled: Filled, tmp_path: Path) -> None:
    looking = search(filled, ring(without={"app-misc/live-1": "the ebuild is live"}))
    assert choose(looking, tmp_path, "app-misc/live-1").because == "the ebuild is live"


def test_a_package_is_built_where_what_it_needs_is_something_else(filled: Filled, tmp_path: Path) -> None:
    filled.add(ONE)
    keyring = ring(ONE, key("app-misc/library-1", "7" * 64), needs={"app-misc/one-1": {"app-misc/library-1"}})
    stranger = "app-misc/library-1 was not installed from what is declared now"
    assert choose(search(filled, keyring), tmp_path).because == stranger
    assert choose(search(filled, keyring), tmp_path, **{"app-misc_library": "8" * 64}).because == stranger
    assert choose(search(filled, keyring), tmp_path, **{"app-misc_library": "7" * 64}).entry is not None


def test_packages_that_are_refused_for_one_reason_are_told_in_one_sentence() -> None:
    refusals = [Refusal(f"a/{name}-1", "bins", "because") for name in "bcdef"]
    assert sentences([*refusals, Refusal("a/b-1", "bins", "other"), Refusal("", "there", "404")]) == [
        "5 binary packages in bins (a/b-1, a/c-1, a/d-1 and 2 more) cannot be used: because",
        "the binary package a/b-1 in bins cannot be used: other",
        "the binary packages in there cannot be used: 404",
    ]


def test_a_package_lies_where_portage_looks_for_it() -> None:
    assert file_of(Path("/p"), "app-misc/one-1.2-r3") == Path("/p/app-misc/one/one-1.2-r3-1.gpkg.tar")
