"""Findings in every format that somebody reads them in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

from compatlayer.findings import Finding, Severity
from compatlayer.report.formats import pick, to_json
from compatlayer.report.text import Paint, count, printable, wrapped


def render(findings: Sequence[Finding], format_name: str = "text", paint: Paint | None = None) -> str:
    """All of ``findings`` in the order given, as one document that ends with a newline. Raises ``UsageError`` for an
    unknown format.
    """
    return pick(RENDERERS, format_name)(findings, paint or Paint())


def text(findings: Sequence[Finding], paint: Paint) -> str:
    """One paragraph a finding, its remedy and place indented below; the last line counts them."""
    return "".join(_paragraph(finding, paint) for finding in findings) + f"{summary(findings)}\n"


def as_json(findings: Sequence[Finding], _paint: Paint) -> str:
    """``{findings: [{id, check, severity, …}], summary: {error: n, warning: n, note: n}}``."""
    numbers = Counter(finding.severity.label for finding in findings)
    return to_json(
        {
            "findings": [as_document(finding) for finding in findings],
            "summary": {severity.label: numbers[severity.label] for severity in sorted(Severity, reverse=True)},
        }
    )


def markdown(findings: Sequence[Finding], _paint: Paint) -> str:
    """A table for a pull request's comment or a job's summary; pipes and markup in names are escaped."""
    lines = [f"**{summary(findings)}**"]
    if findings:
        lines += ["", "| severity | what | what to do | check |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {finding.severity.label} | {cell(finding.description)} | {cell(finding.remedy)} | `{finding.identifier}` |"
            for finding in findings
        ]
    return "\n".join(lines) + "\n"


def as_document(finding: Finding) -> dict[str, object]:
    """One finding as plain data: the fields all findings have, and under ``details`` those that only its kind has."""
    common = {field.name for field in fields(Finding)}
    place = finding.location
    return {
        "id": finding.identifier,
        "check": finding.check,
        "severity": finding.severity.label,
        "description": finding.description,
        "package": finding.package,
        "path": finding.path,
        "expected": finding.expected,
        "actual": finding.actual,
        "remedy": finding.remedy,
        "location": {"file": place.file, "line": place.line, "path": place.path} if place else None,
        "details": {field.name: _plain(getattr(finding, field.name)) for field in fields(finding) if field.name not in common},
    }


def summary(findings: Sequence[Finding]) -> str:
    """``no findings``, or how many of each severity, the worst first: ``2 errors, 1 note``."""
    numbers = Counter(finding.severity for finding in findings)
    said = [count(numbers[severity], severity.label) for severity in sorted(Severity, reverse=True) if numbers[severity]]
    return ", ".join(said) or "no findings"


def cell(value: str) -> str:
    """Text for one cell of a Markdown table, showing just what it says."""
    return printable(value).translate(_MARKUP)


def _paragraph(finding: Finding, paint: Paint) -> str:
    label = finding.severity.label
    colour = {Severity.ERROR: paint.bad, Severity.WARNING: paint.doubtful, Severity.NOTE: paint.faint}[finding.severity]
    folded = wrapped(f"{finding.description} [{finding.identifier}]", first=f"{label}: ", indent="  ")
    lines = [colour(f"{label}:") + folded.removeprefix(f"{label}:")]
    if finding.location is not None:
        lines.append(wrapped(str(finding.location), first="  at: ", indent="      "))
    if finding.path and finding.path not in finding.description:
        lines.append(wrapped(finding.path, first="  path: ", indent="        "))
    if finding.remedy:
        lines.append(wrapped(finding.remedy, first="  remedy: ", indent="          "))
    return "\n".join(lines) + "\n"


def _plain(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [_plain(item) for item in items]
    return str(value)


# `@name` would notify a person, `#1` link an issue and `<` open a tag: as HTML entities they are shown and do nothing.
_MARKUP = str.maketrans(
    {mark: f"\\{mark}" for mark in "\\|`*_["} | {mark: f"&#{ord(mark)};" for mark in "@#<"},
)

RENDERERS: Mapping[str, Callable[[Sequence[Finding], Paint], str]] = {
    "text": text,
    "json": as_json,
    "markdown": markdown,
}
