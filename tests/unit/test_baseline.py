from __future__ import annotations

import json
from pathlib import Path

import pytest

from compatlayer import baseline
from compatlayer.errors import UsageError
from compatlayer.findings import Finding
from tests.unit.report.test_findings import Odd, Wrong

KINDS: dict[str, type[Finding]] = {"test-report-wrong": Wrong, "test-report-odd": Odd}
ONE = Wrong(package="a/b-1.2-r3", path="usr/bin/b", expected="x", actual="y")
TWO = Odd(path="usr/bin/c", expected="x", actual="y")


def test_what_is_written_is_accepted_and_only_that(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    assert baseline.write(file, [ONE, TWO]) == 2
    accepted = baseline.read(file)
    third = Wrong(package="a/b-1.2-r3", path="usr/bin/b", expected="x", actual="z")
    assert list(accepted.new([ONE, third, TWO])) == [third]
    assert (accepted.matched, accepted.gone(["test"], KINDS)) == (2, [])


def test_an_update_of_the_package_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    baseline.write(file, [ONE])
    updated = Wrong(package="a/b-1.10", path="usr/bin/b", expected="x", actual="y")
    assert list(baseline.read(file).new([updated])) == []


def test_a_second_finding_like_an_accepted_one_is_new(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    baseline.write(file, [ONE])
    assert list(baseline.read(file).new([ONE, ONE])) == [ONE]


def test_accepted_findings_that_have_gone_are_named_unless_their_check_was_not_run(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    baseline.write(file, [ONE, TWO])
    accepted = baseline.read(file)
    assert list(accepted.new([TWO])) == []
    assert [one.description for one in accepted.gone(["test"], KINDS)] == ["a/b usr/bin/b: y [test-report-wrong]"]
    assert accepted.gone(["other"], KINDS) == []
    assert [one.id for one in accepted.gone(["other"], {})] == ["test-report-wrong"]


def test_writing_again_is_stable_and_keeps_the_reasons(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    baseline.write(file, [TWO, ONE])
    first = file.read_text()
    baseline.write(file, [ONE, TWO])
    assert file.read_text() == first
    document = json.loads(first)
    document["accepted"][0]["reason"] = "the vendor ships it so"
    file.write_text(json.dumps(document))
    baseline.write(file, [ONE, TWO])
    assert json.loads(file.read_text())["accepted"][0]["reason"] == "the vendor ships it so"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["baseline.json"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "is no baseline"),
        ('{"accepted": {}}', "is no baseline"),
        ('{"accepted": [3]}', "accepted[0] is not an object"),
        ('{"accepted": [{"id": "x", "path": 3}]}', "accepted[0] is no accepted finding"),
        ('{"accepted": [{"path": "x"}]}', "accepted[0] is no accepted finding"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "b.json"
    file.write_text(content)
    with pytest.raises(UsageError) as caught:
        baseline.read(file)
    assert said in str(caught.value)


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        baseline.read(tmp_path / "none.json")
    assert "--write-baseline" in str(caught.value)
