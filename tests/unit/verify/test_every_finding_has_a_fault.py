"""No kind of finding without a planted fault that produces it, and no fault that a sound prefix is said to have."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from compatlayer.findings import Severity, registered
from compatlayer.report.findings import render
from compatlayer.verify import declared
from compatlayer.verify.registry import all_checks
from tests.planted_faults import NOBODY, NOT_AS_ROOT, PLANTED
from tests.tiny_prefix import sound
from tests.unit.verify import test_declared

CHECKS = tuple(name for name in all_checks() if name != "declared")
# Kinds of the check `declared` have theirs in test_declared.py: they are made of values, no tree is needed.
DECLARED = {
    one.identifier for one in vars(declared).values() if isinstance(one, type) and getattr(one, "check", "") == "declared"
}


def test_every_registered_finding_of_a_check_has_its_planted_fault() -> None:
    known = {identifier for identifier, kind in registered().items() if kind.check in all_checks()}
    assert known - DECLARED == set(PLANTED), "plant it in tests/planted_faults.py"
    assert DECLARED - {""} >= set(test_declared.FAULTS)


@contextlib.contextmanager
def as_nobody(path: Path) -> Iterator[None]:
    """Where the tests run as root, do what is in the block as a user who may enter ``path`` and no more."""
    if os.geteuid() != 0:
        yield
        return
    for directory in (path, *path.parents):
        if directory.stat().st_mode & 0o005 != 0o005:
            directory.chmod(directory.stat().st_mode | 0o055)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What is found in the sound prefix."""
    prefix = sound(tmp_path_factory.mktemp("clean") / "prefix")
    return {finding.identifier for finding in prefix.findings()}


def test_the_clean_twin_has_no_finding_at_all(clean: set[str]) -> None:
    assert clean == set()


@pytest.mark.parametrize("identifier", PLANTED)
def test_each_planted_fault_is_found(identifier: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = sound(tmp_path / "prefix", monkeypatch.setattr)
    PLANTED[identifier](prefix)
    with as_nobody(tmp_path) if identifier in NOT_AS_ROOT else contextlib.nullcontext():
        every = prefix.findings()
    found = [finding for finding in every if finding.identifier == identifier]
    assert found, [finding.identifier for finding in every]
    for finding in found:
        assert finding.check in CHECKS
        assert finding.path or finding.package
        assert finding.description
        assert all(line.isprintable() for line in render([finding]).splitlines())
        assert finding.remedy or finding.severity is Severity.NOTE


@pytest.mark.parametrize("identifier", sorted(set(registered()) & (set(PLANTED) | DECLARED)))
def test_each_kind_explains_itself_at_length(identifier: str) -> None:
    summary, _, rest = registered()[identifier].explanation().partition("\n\n")
    assert summary.endswith(".")
    assert len(rest) > 100
