from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from compatlayer.baseline import Known
from compatlayer.errors import Location, UsageError
from compatlayer.findings import Finding
from compatlayer.report.findings import Account, render, stream
from tests.unit.report.test_findings import FINDINGS, Odd, Wrong

# The whole schema is not ours to carry; this is its part about the objects that we write, and stricter.
SCHEMA = json.loads((Path(__file__).parent / "sarif-2.1.0-excerpt.json").read_text())
EVIL = Wrong(
    package="a/b-1",
    path="usr/share/a b\n%0A::error::x\udc80/ü",
    expected="x,y:z",
    actual="100% \x1b[2J]]>&<\x00",
    remedy="line\r\nline",
    location=Location("sets/a,b:c.yaml", 2),
)


def account(**fields: Any) -> Account:
    values: dict[str, Any] = {
        "layer": {"prefix": "/cvmfs/x y/1", "name": "x"},
        "checks": ("test", "other"),
        "left_out": {"declared": "there is no declaration of this prefix"},
        "packages": 3,
        "entries": 40,
        "files_read": 20,
        "bytes_read": 2048,
    }
    return Account(**(values | fields))


def whole(name: str, findings: tuple[Finding, ...] = FINDINGS, **fields: Any) -> str:
    return "".join(stream(findings, name, None, lambda: account(**fields)))


def test_sarif_keeps_to_its_schema_whatever_a_file_is_called() -> None:
    for findings in ((), FINDINGS, (*FINDINGS, EVIL)):
        for text in (render(findings, "sarif"), whole("sarif", findings)):
            document = json.loads(text)
            jsonschema.validate(document, SCHEMA)
            assert len(document["runs"][0]["results"]) == len(findings)


def test_the_schema_is_no_rubber_stamp() -> None:
    document = json.loads(render(FINDINGS, "sarif"))
    document["runs"][0]["results"][0]["level"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)


def test_a_sarif_result_is_at_its_line_or_at_its_path_below_the_prefix() -> None:
    run = json.loads(whole("sarif"))["runs"][0]
    first, second = (result["locations"][0] for result in run["results"])
    assert first["physicalLocation"] == {"artifactLocation": {"uri": "sets/a.yaml"}, "region": {"startLine": 3}}
    assert first["logicalLocations"] == [{"fullyQualifiedName": "app-arch/bzip2", "kind": "package"}]
    assert second["physicalLocation"]["artifactLocation"] == {"uri": "evil%1B%5B2J%7C%3Cb%3E", "uriBaseId": "PREFIX"}
    assert run["originalUriBaseIds"] == {"PREFIX": {"uri": "file:///cvmfs/x%20y/1/"}}
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["test-report-wrong", "test-report-odd"]
    assert [result["ruleIndex"] for result in run["results"]] == [0, 1]


def test_a_sarif_fingerprint_outlives_an_update_of_the_package() -> None:
    def fingerprint(finding: Finding) -> str:
        (result,) = json.loads(render([finding], "sarif"))["runs"][0]["results"]
        return str(result["partialFingerprints"]["compatlayer/v1"])

    old, new, other = (Odd(package=cpv, path="p", expected="a", actual="b") for cpv in ("a/b-1", "a/b-2-r1", "a/c-1"))
    assert fingerprint(old) == fingerprint(new) != fingerprint(other)


def test_junit_has_a_suite_for_every_check_and_only_errors_fail() -> None:
    root = ET.fromstring(whole("junit"))
    suites = {suite.get("name"): suite for suite in root}
    assert {name: (suite.get("tests"), suite.get("failures"), suite.get("skipped")) for name, suite in suites.items()} == {
        "test": ("2", "1", "0"),
        "other": ("1", "0", "0"),
        "declared": ("1", "0", "1"),
    }
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("4", "1", "1")
    case, odd = suites["test"]
    assert (case.get("classname"), case.get("name")) == ("test.test-report-wrong", "app-arch/bzip2 usr/lib/libbz2.so.1")
    assert (case.get("file"), case.get("line")) == ("sets/a.yaml", "3")
    assert [child.tag for child in odd] == ["system-out"]


def test_no_name_breaks_xml_or_a_workflow_command() -> None:
    assert ET.fromstring(render([EVIL], "junit")).get("failures") == "1"
    (line,) = render([EVIL], "github").splitlines()
    assert line.startswith("::error file=sets/a%2Cb%3Ac.yaml,line=2,title=test-report-wrong::")
    assert line.count("::") == 2 + EVIL.description.count("::")
    assert "%25" in line
    assert "\x1b" not in line


def test_an_annotation_stands_on_the_line_of_the_declaration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert render(FINDINGS[:1], "github") == (
        "::error file=sets/a.yaml,line=3,title=test-report-wrong::app-arch/bzip2: expected 1.0.8, found 1.0.6"
        "%0Aremedy: run compatlayer install\n"
    )
    (tmp_path / "layers/mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "layers/mine")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    assert "file=layers/mine/sets/a.yaml," in render(FINDINGS[:1], "github")


def test_warnings_and_notes_are_annotated_as_such() -> None:
    assert render(FINDINGS[1:], "github").startswith("::warning title=test-report-odd::")


@pytest.mark.parametrize("name", ["text", "github", "json"])
def test_findings_are_said_as_soon_as_they_are_found(name: str) -> None:
    asked = []

    def slowly() -> Iterator[Finding]:
        for finding in FINDINGS:
            asked.append(finding)
            yield finding

    pieces = stream(slowly(), name)
    said = ""
    while FINDINGS[0].identifier not in said:
        said += next(pieces)
    assert len(asked) == 1


def test_json_gives_counts_what_was_read_and_the_layer() -> None:
    document = json.loads(whole("json", accepted=2, gone=(Known("some-id", "a/b", "p", "", ""),)))
    assert document["summary"] == {
        "error": 1,
        "warning": 1,
        "note": 0,
        "checks": {"test": {"error": 1, "warning": 1, "note": 0}, "other": {"error": 0, "warning": 0, "note": 0}},
        "packages": 3,
        "entries": 40,
        "files_read": 20,
        "bytes_read": 2048,
        "files_trusted": 0,
        "accepted": 2,
        "gone": [{"id": "some-id", "package": "a/b", "path": "p"}],
        "left_out": {"declared": "there is no declaration of this prefix"},
    }
    assert document["layer"]["name"] == "x"
    assert [one["id"] for one in document["findings"]] == ["test-report-wrong", "test-report-odd"]


def test_text_ends_with_what_was_looked_at_and_what_was_not() -> None:
    said = whole("text", files_trusted=5, accepted=2, gone=(Known("some-id", "a/b", "p", "", "gone"),)).splitlines()
    assert said[-3:] == [
        "no longer found: a/b p: gone [some-id]",
        "1 error, 1 warning; 3 packages, 40 paths, 20 files (2.0 KiB) read, 5 files not read again: unchanged since the last full "
        "verify, 2 findings accepted by the baseline",
        "left out: declared, there is no declaration of this prefix",
    ]


def test_an_unknown_format_is_refused_before_anything_is_looked_at() -> None:
    with pytest.raises(UsageError, match="unknown format 'sarf'") as caught:
        stream(iter(()), "sarf")
    assert caught.value.hint == "did you mean --format sarif?"
