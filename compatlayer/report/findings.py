"""Findings in every format that somebody reads them in.

A renderer takes findings as they come and yields text: ``text``, ``github`` and ``json`` say each as soon as it is found, the
others need all of them. ``Account`` is what a verdict says beyond its findings, and is asked for when they have ended.
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from compatlayer.baseline import Known
from compatlayer.findings import Finding, Severity
from compatlayer.report.formats import pick
from compatlayer.report.text import Paint, count, printable, size, wrapped

_WORST_FIRST = sorted(Severity, reverse=True)


@dataclass(frozen=True, slots=True)
class Account:
    """What was looked at, and what not. ``layer`` names it (part, prefix, …); ``checks`` were run; ``left_out`` were not, each
    with the reason. ``accepted`` findings were in the baseline, those in ``gone`` are no longer met.
    """

    layer: Mapping[str, object]
    checks: tuple[str, ...]
    left_out: Mapping[str, str]
    packages: int
    entries: int
    files_read: int
    bytes_read: int
    files_trusted: int = 0
    accepted: int = 0
    gone: tuple[Known, ...] = ()


AccountOf = Callable[[], Account]
Renderer = Callable[[Iterable[Finding], Paint, AccountOf | None], Iterator[str]]


def render(findings: Iterable[Finding], format_name: str = "text", paint: Paint | None = None) -> str:
    """All of ``findings`` in the order given, as one document that ends with a newline. Raises ``UsageError`` for an
    unknown format.
    """
    return "".join(stream(findings, format_name, paint))


def stream(
    findings: Iterable[Finding], format_name: str = "text", paint: Paint | None = None, account: AccountOf | None = None
) -> Iterator[str]:
    """The same piece by piece, as findings come. Raises ``UsageError`` for an unknown format at once, before the first one."""
    return pick(renderers(), format_name)(findings, paint or Paint(), account)


def renderers() -> Mapping[str, Renderer]:
    """Every format that findings come in, by name."""
    from compatlayer.report import exchange  # noqa: PLC0415 - it needs what stands here

    return {**RENDERERS, **exchange.RENDERERS}


class Tally:
    """Counts findings on their way."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self._findings = findings
        self.numbers: Counter[Severity] = Counter()
        self.checks: dict[str, Counter[Severity]] = {}

    def __iter__(self) -> Iterator[Finding]:
        for finding in self._findings:
            self.numbers[finding.severity] += 1
            self.checks.setdefault(finding.check, Counter())[finding.severity] += 1
            yield finding

    @property
    def line(self) -> str:
        """``no findings``, or how many of each severity, the worst first: ``2 errors, 1 note``."""
        said = [count(self.numbers[severity], severity.label) for severity in _WORST_FIRST if self.numbers[severity]]
        return ", ".join(said) or "no findings"


def text(findings: Iterable[Finding], paint: Paint, account: AccountOf | None) -> Iterator[str]:
    """One paragraph a finding, its remedy and place indented below; the last lines count, and say what was looked at."""
    tally = Tally(findings)
    for finding in tally:
        yield _paragraph(finding, paint)
    if account is None:
        yield f"{tally.line}\n"
        return
    verdict = account()
    for known in verdict.gone:
        yield wrapped(f"no longer found: {known.description}", indent="  ") + "\n"
    yield f"{tally.line}{_beside(verdict)}\n"
    for name, reason in verdict.left_out.items():
        yield wrapped(f"left out: {name}, {reason}", indent="  ") + "\n"


def as_json(findings: Iterable[Finding], _paint: Paint, account: AccountOf | None) -> Iterator[str]:
    """``{findings: [{id, check, severity, …}], summary: {error: n, warning: n, note: n, checks: {…}, …}, layer: {…}}``."""
    tally = Tally(findings)
    yield '{\n  "findings": ['
    separator = "\n"
    for finding in tally:
        yield separator + textwrap.indent(json.dumps(as_document(finding), indent=2), "    ")
        separator = ",\n"
    yield "]" if separator == "\n" else "\n  ]"
    summary: dict[str, object] = dict(_by_severity(tally.numbers))
    summary["checks"] = {name: _by_severity(numbers) for name, numbers in sorted(tally.checks.items())}
    last: dict[str, object] = {"summary": summary}
    if account is not None:
        verdict = account()
        summary["checks"] = {name: _by_severity(tally.checks.get(name, Counter())) for name in verdict.checks}
        names = ("packages", "entries", "files_read", "bytes_read", "files_trusted", "accepted")
        summary |= {name: getattr(verdict, name) for name in names}
        summary["gone"] = [{"id": one.id, "package": one.package, "path": one.path} for one in verdict.gone]
        summary["left_out"] = dict(verdict.left_out)
        last["layer"] = dict(verdict.layer)
    for key, value in last.items():
        yield f',\n  "{key}": ' + textwrap.indent(json.dumps(value, indent=2), "  ").lstrip()
    yield "\n}\n"


def markdown(findings: Iterable[Finding], _paint: Paint, account: AccountOf | None) -> Iterator[str]:
    """A table for a pull request's comment or a job's summary; pipes and markup in names are escaped."""
    tally = Tally(findings)
    rows = [
        f"| {finding.severity.label} | {cell(finding.description)} | {cell(finding.remedy)} | `{finding.identifier}` |"
        for finding in tally
    ]
    yield f"**{tally.line}**\n"
    if rows:
        yield "\n".join(["", "| severity | what | what to do | check |", "| --- | --- | --- | --- |", *rows]) + "\n"
    if account is None:
        return
    verdict = account()
    notes = [f"no longer found: {cell(known.description)}" for known in verdict.gone]
    notes += [f"left out: {name}, {cell(reason)}" for name, reason in verdict.left_out.items()]
    if notes:
        yield "\n" + "\n".join(f"- {note}" for note in notes) + "\n"


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
    tally = Tally(findings)
    for _ in tally:
        pass
    return tally.line


def cell(value: str) -> str:
    """Text for one cell of a Markdown table, showing just what it says."""
    return printable(value).translate(_MARKUP)


def _beside(verdict: Account) -> str:
    looked = [count(verdict.packages, "package"), count(verdict.entries, "path")] if verdict.entries else []
    looked = looked or [count(verdict.packages, "package")]
    if verdict.files_read:
        looked.append(f"{count(verdict.files_read, 'file')} ({size(verdict.bytes_read)}) read")
    if verdict.files_trusted:
        looked.append(f"{count(verdict.files_trusted, 'file')} not read again: unchanged since the last full verify")
    if verdict.accepted:
        looked.append(f"{count(verdict.accepted, 'finding')} accepted by the baseline")
    return f"; {', '.join(looked)}"


def _by_severity(numbers: Mapping[Severity, int]) -> dict[str, int]:
    return {severity.label: numbers.get(severity, 0) for severity in _WORST_FIRST}


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

RENDERERS: Mapping[str, Renderer] = {
    "text": text,
    "json": as_json,
    "markdown": markdown,
}
