"""Findings for other programs: JUnit for test reports, SARIF for code scanning, GitHub's annotations.

JUnit XML as https://github.com/testmoapp/junitxml describes it; SARIF 2.1.0:
https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html; annotations are workflow commands:
https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as ET

import compatlayer
from compatlayer import baseline
from compatlayer.findings import Finding, Severity
from compatlayer.report.findings import Account, AccountOf, Renderer, as_document
from compatlayer.report.text import Paint, printable

_ROOT_VARIABLE = "GITHUB_WORKSPACE"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}
_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_PREFIX = "PREFIX"


def junit(findings: Iterable[Finding], _paint: Paint, account: AccountOf | None) -> Iterator[str]:
    """One test suite for each check, one test case for each finding; only errors are failures. A check that found nothing has
    one case that passes, so that a report is never empty.
    """
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.check, []).append(finding)
    verdict = account() if account else None
    checks = [*dict.fromkeys((*(verdict.checks if verdict else ()), *found))]
    root = ET.Element("testsuites", name="compatlayer")
    for name in checks or ["findings"]:
        _suite(root, name, found.get(name, []))
    for name, reason in (verdict.left_out if verdict else {}).items():
        suite = ET.SubElement(root, "testsuite", name=name, tests="1", failures="0", errors="0", skipped="1")
        case = ET.SubElement(suite, "testcase", classname=name, name=name)
        ET.SubElement(case, "skipped", message=printable(reason))
    for attribute in ("tests", "failures", "errors", "skipped"):
        root.set(attribute, str(sum(int(suite.get(attribute, "0")) for suite in root)))
    ET.indent(root)
    yield '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, name: str, found: list[Finding]) -> None:
    failures = sum(finding.severity is Severity.ERROR for finding in found)
    suite = ET.SubElement(
        root, "testsuite", name=name, tests=str(len(found) or 1), failures=str(failures), errors="0", skipped="0"
    )
    if not found:
        ET.SubElement(suite, "testcase", classname=name, name="no findings")
    for finding in found:
        subject = printable(" ".join(part for part in (finding.package, finding.path) if part)) or "the layer"
        case = ET.SubElement(suite, "testcase", classname=f"{name}.{finding.identifier}", name=subject)
        if finding.location is not None:
            case.set("file", printable(finding.location.file))
            if finding.location.line is not None:
                case.set("line", str(finding.location.line))
        message = printable(finding.description)
        if finding.severity is Severity.ERROR:
            failure = ET.SubElement(case, "failure", type=finding.identifier, message=message)
            failure.text = f"{message}\nremedy: {printable(finding.remedy)}" if finding.remedy else message
        else:
            ET.SubElement(case, "system-out").text = f"{finding.severity.label}: {message}"


def sarif(findings: Iterable[Finding], _paint: Paint, account: AccountOf | None) -> Iterator[str]:
    """One run; a rule for each kind of finding, with its long explanation; paths of the layer are relative to its prefix."""
    rules: dict[str, dict[str, object]] = {}
    results = [_result(finding, rules) for finding in findings]
    verdict = account() if account else None
    run: dict[str, object] = {
        "tool": {
            "driver": {"name": "compatlayer", "semanticVersion": compatlayer.__version__, "rules": list(rules.values())},
        },
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    if verdict is not None:
        run["originalUriBaseIds"] = {_PREFIX: {"uri": f"file://{quote(str(verdict.layer['prefix']).rstrip('/'))}/"}}
        run["invocations"] = [{"executionSuccessful": True, "toolExecutionNotifications": _left_out(verdict)}]
    yield json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _left_out(verdict: Account) -> list[dict[str, object]]:
    return [
        {"level": "note", "message": {"text": f"the check {name} was left out: {reason}"}}
        for name, reason in verdict.left_out.items()
    ]


def _result(finding: Finding, rules: dict[str, dict[str, object]]) -> dict[str, object]:
    if finding.identifier not in rules:
        rules[finding.identifier] = _rule(type(finding))
    place = finding.location
    physical: dict[str, object]
    if place is not None:
        physical = {"artifactLocation": {"uri": _uri(_from_workspace(place.file))}}
        if place.line is not None:
            physical["region"] = {"startLine": place.line}
    else:
        is_host = finding.path.startswith("/")
        path = finding.path or f"var/db/pkg/{finding.package}"
        physical = {"artifactLocation": {"uri": f"file://{_uri(path)}"} if is_host else {"uri": _uri(path), "uriBaseId": _PREFIX}}
    location: dict[str, object] = {"physicalLocation": physical}
    if finding.package:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.package, "kind": "package"}]
    text = finding.description if not finding.remedy else f"{finding.description}. Remedy: {finding.remedy}"
    fingerprint = hashlib.sha256("\0".join(baseline.known(finding).key).encode("utf-8", "surrogateescape")).hexdigest()
    return {
        "ruleId": finding.identifier,
        "ruleIndex": list(rules).index(finding.identifier),
        "level": _LEVELS[finding.severity],
        "message": {"text": printable(text)},
        "locations": [location],
        "partialFingerprints": {"compatlayer/v1": fingerprint},
        "properties": _printable(as_document(finding)),
    }


def _rule(kind: type[Finding]) -> dict[str, object]:
    first, _, rest = kind.explanation().partition("\n\n")
    return {
        "id": kind.identifier,
        "shortDescription": {"text": " ".join(first.split())},
        "fullDescription": {"text": " ".join((rest or first).split())},
        "help": {"text": f"compatlayer verify --explain {kind.identifier}"},
        "defaultConfiguration": {"level": _LEVELS[kind.severity]},
        "properties": {"tags": [kind.check]},
    }


def _printable(document: Mapping[str, object]) -> dict[str, object]:
    """What a finding holds beyond SARIF's own fields."""
    names = ("check", "package", "path", "expected", "actual")
    return {name: printable(str(document[name])) for name in names}


def github(findings: Iterable[Finding], _paint: Paint, account: AccountOf | None) -> Iterator[str]:
    """One workflow command a finding; on the line of the set file or ebuild at fault, where that is known."""
    for finding in findings:
        place = finding.location
        properties = {"title": finding.identifier}
        if place is not None:
            properties = {"file": _from_workspace(place.file), "line": str(place.line or 1), "title": finding.identifier}
        said = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
        text = finding.description + (f"\nremedy: {finding.remedy}" if finding.remedy else "")
        yield f"::{_COMMANDS[finding.severity]} {said}::{_data(printable(text, lines=True))}\n"
    if account is not None:
        verdict = account()
        for known in verdict.gone:
            yield f"::notice title=no longer found::{_data(printable(known.description))}\n"
        for name, reason in verdict.left_out.items():
            yield f"::notice title=left out::{_data(printable(f'{name}: {reason}'))}\n"


def _from_workspace(file: str) -> str:
    """A file of the declaration as a pull request names it: relative to the checkout, when this runs in one."""
    workspace = os.environ.get(_ROOT_VARIABLE)
    if not workspace:
        return file
    absolute = Path(file).absolute()
    return str(absolute.relative_to(workspace)) if absolute.is_relative_to(workspace) else file


def _uri(path: str) -> str:
    return quote(os.fsencode(path))


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(printable(text)).replace(":", "%3A").replace(",", "%2C")


RENDERERS: Mapping[str, Renderer] = {"junit": junit, "sarif": sarif, "github": github}
