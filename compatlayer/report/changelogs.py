"""Changelogs in every format that somebody reads them in."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence

from compatlayer import changelog
from compatlayer.changelog import Happened, Section
from compatlayer.report.formats import pick, to_json
from compatlayer.report.text import WIDTH, Paint, count, printable, size


def render(sections: Sequence[Section], format_name: str = "text", paint: Paint | None = None) -> str:
    """The sections as one document that ends with a newline. Raises ``UsageError`` for an unknown format."""
    return pick(RENDERERS, format_name)(sections, paint or Paint())


def text(sections: Sequence[Section], paint: Paint) -> str:
    """A paragraph for each section."""
    return "\n".join(one(section, paint) for section in sections) or "no changes\n"


def one(section: Section, paint: Paint) -> str:
    """One section: its head, a line for each package, sonames, and files in sum."""
    origin = [f"{section.date_utc} by {section.operator}"]
    origin += [f"commit {section.commit[:12]}"] if section.commit else []
    origin += [f"pull request {section.pull_request}"] if section.pull_request else []
    lines = [paint.strong(printable(section.title)) + paint.faint(printable(f"  {', '.join(origin)}"))]
    lines += [f"  {printable(section.note)}"] if section.note else []
    for package in section.packages:
        word = _PAINT[package.happened](paint, f"{package.happened.value:10}")
        lines.append(f"  {word}  {printable(package.description)}")
    lines += [f"  {paint.bad('security  ')}  {printable(advisory)}" for advisory in section.advisories]
    for word, names in ((paint.bad("libs gone "), section.sonames_gone), (paint.good("libs new  "), section.sonames_new)):
        # Some packages bring dozens: wrapped, so that the packages stay in sight.
        rows = textwrap.wrap(printable(", ".join(names)), WIDTH - 14, break_long_words=False, break_on_hyphens=False)
        lines += [f"  {' ' * 10 if number else word}  {row}" for number, row in enumerate(rows)]
    return "\n".join([*lines, f"  {_files(section)}", ""])


def as_json(sections: Sequence[Section], _paint: Paint) -> str:
    """``{sections: […]}``, newest first."""
    return to_json({"sections": [section.to_document() for section in sections]})


def markdown(sections: Sequence[Section], _paint: Paint) -> str:
    """As Keep a Changelog has it."""
    heading = f"Changelog of {sections[0].part}" if sections else "Changelog"
    return changelog.markdown(heading, sections)


def _files(section: Section) -> str:
    files = section.files
    sign = "-" if files.growth_bytes < 0 else "+"
    return (
        f"{count(files.added, 'file')} added, {files.changed} changed, {files.removed} removed, "
        f"{sign}{size(abs(files.growth_bytes))}"
    )


_PAINT: Mapping[Happened, Callable[[Paint, str], str]] = {
    Happened.ADDED: Paint.good,
    Happened.REMOVED: Paint.bad,
    Happened.UPGRADED: Paint.good,
    Happened.DOWNGRADED: Paint.doubtful,
    Happened.REBUILT: Paint.doubtful,
}

RENDERERS: Mapping[str, Callable[[Sequence[Section], Paint], str]] = {"text": text, "json": as_json, "markdown": markdown}
