"""What a store holds is checked, and what may go goes: nothing else, and nothing that somebody is about to name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from compatlayer import signing
from compatlayer.binaries import upkeep
from compatlayer.binaries.upkeep import Verdict
from compatlayer.report import binaries as report
from tests.binary_values import Filled, key

ONE, TWO = key("app-misc/one-1", prefix="/p"), key("app-misc/two-1", "2" * 64, prefix="/p")


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    return Filled(tmp_path)


def verdicts(filled: Filled) -> list[tuple[str, Verdict]]:
    return [(one.line.claimed.cpv, one.verdict) for one in upkeep.inspect(filled.store, filled.trusted).checked]


def test_a_whole_store_has_nothing_wrong(filled: Filled) -> None:
    entry = filled.add(ONE)
    found = upkeep.inspect(filled.store, filled.trusted)
    assert found.is_whole
    assert [(one.verdict, one.signer) for one in found.checked] == [(Verdict.GOOD, "builder")]
    assert report.verified(found) == f"1 package, {entry.size_bytes / 1024:.1f} KiB\n"
    assert "app-misc/one-1  111111111111\n" in report.listed(found)


def test_damage_a_stranger_and_garbage_are_told_apart(filled: Filled, tmp_path: Path) -> None:
    entry = filled.add(ONE)
    filled.add(TWO, signer=signing.make_private_key(tmp_path / "stranger.pem"))
    (filled.store.root / entry.path).write_bytes(b"x" * entry.size_bytes)
    with (filled.store.root / "index.jsonl").open("a") as index:
        index.write("garbage\n")
    assert verdicts(filled) == [("app-misc/one-1", Verdict.DAMAGED), ("app-misc/two-1", Verdict.UNTRUSTED)]
    found = upkeep.inspect(filled.store, filled.trusted)
    assert not found.is_whole
    said = report.verified(found)
    assert "damaged  app-misc/one-1: the file is not what was signed\n" in said
    assert "untrusted  app-misc/two-1: its entry is not signed by a key that is trusted: signed by" in said
    assert "unreadable  index, line 3: " in said
    assert said.endswith(", 1 damaged, 1 untrusted\n")
    document = json.loads(report.verified(found, "json"))
    assert [one["verdict"] for one in document["packages"]] == ["damaged", "untrusted"]
    # A stranger alone is no damage: a store may be shared with builders whom not everybody trusts.
    (filled.store.root / entry.path).unlink()
    assert verdicts(filled)[0] == ("app-misc/one-1", Verdict.DAMAGED)


def test_pruning_keeps_the_newest_builds_of_each_package_for_each_prefix(filled: Filled) -> None:
    for number in range(5):
        filled.add(key(f"app-misc/one-{number}", f"{number}" * 64, prefix="/p"), b"%d" % number)
    filled.add(key("app-misc/one-0", "8" * 64, prefix="/q"), b"q")
    filled.add(TWO, b"two")
    age(filled)
    found, gone = upkeep.inspect(filled.store, filled.trusted), upkeep.superfluous(filled.store.index(), 2)
    said = report.pruned(found, gone, None)
    assert said.count("newer builds have replaced it") == 3
    assert said.endswith("3 entries to delete; run it again with --yes to delete\n")
    assert len(verdicts(filled)) == 7

    freed = upkeep.prune(filled.store, found, gone)
    assert freed > 0
    assert [cpv for cpv, _ in verdicts(filled)] == ["app-misc/one-3", "app-misc/one-4", "app-misc/one-0", "app-misc/two-1"]
    assert {verdict for _, verdict in verdicts(filled)} == {Verdict.GOOD}
    assert len(list(filled.store.root.rglob("*.gpkg.tar"))) == 4
    assert report.pruned(upkeep.inspect(filled.store, filled.trusted), (), 0) == "nothing to delete\n"


def test_pruning_removes_what_is_damaged_or_was_left_behind_and_nothing_that_is_under_way(filled: Filled) -> None:
    damaged, kept = filled.add(ONE), filled.add(TWO)
    (filled.store.root / damaged.path).write_bytes(b"garbage")
    index = filled.store.root / "index.jsonl"
    index.write_bytes(index.read_bytes() + b"garbage\n")
    left = filled.store.root / "incoming" / "half"
    left.write_text("half")
    age(filled)
    fresh = filled.store.root / "packages/app-misc/new-1" / f"{'f' * 64}.gpkg.tar"
    fresh.parent.mkdir(parents=True)
    fresh.write_text("about to be named")
    found = upkeep.inspect(filled.store, filled.trusted)
    assert found.strangers == (left,)
    upkeep.prune(filled.store, found, ())
    names = {str(path.relative_to(filled.store.root)) for path in filled.store.root.rglob("*") if path.is_file()}
    assert names == {"index.jsonl", "lock", kept.path, str(fresh.relative_to(filled.store.root))}
    assert verdicts(filled) == [("app-misc/two-1", Verdict.GOOD)]


def age(filled: Filled) -> None:
    """Everything in the store was written two hours ago."""
    for path in filled.store.root.rglob("*"):
        if path.is_file():
            before = path.stat().st_mtime - 7200
            os.utime(path, (before, before))
