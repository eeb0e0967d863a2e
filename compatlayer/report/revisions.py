"""Revisions, promotions and receipts, in every format that somebody reads them in."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from compatlayer.changelog import Section
from compatlayer.past import MOST_TAGS, Kept, Lived
from compatlayer.promote import Checked, Promoted
from compatlayer.publish import Published
from compatlayer.report import changelogs
from compatlayer.report.formats import pick, to_json
from compatlayer.report.text import WIDTH, Paint, count, printable
from compatlayer.repository.base import Pending, Revision


def published(result: Published, format_name: str, paint: Paint) -> str:
    """What publishing did."""
    revision = result.revision
    if _wants_json(format_name):
        return to_json({"part": str(result.part), "revision": _document(revision), "section": _section(result.section)})
    if revision is None or result.section is None:
        return f"{result.part}: nothing to publish, {result.repository} holds this already\n"
    said = f"published to {result.repository}: revision {revision.number} of {result.part}"
    return changelogs.one(result.section, paint) + _facts(said, revision, paint)


def promoted(result: Promoted, format_name: str, paint: Paint) -> str:
    """What promoting did."""
    if _wants_json(format_name):
        return to_json(
            {
                "part": str(result.part),
                "tested": _document(result.tested),
                "revision": _document(result.revision),
                "section": _section(result.section),
                "gates": [
                    {"gate": one.gate.value, "passed": one.passed, "reason": one.reason, "override": one.override}
                    for one in result.answers
                ],
                "receipt": str(result.receipt) if result.receipt else None,
            }
        )
    if result.revision is None or result.section is None:
        return f"{result.part}: nothing to promote, production holds revision {result.tested.number} of test already\n"
    lines = []
    for answer in result.answers:
        word = paint.good("passed") if answer.passed else paint.doubtful("overridden")
        why = f" ({answer.override})" if answer.override else ""
        lines.append(f"gate {answer.gate}: {word}, {printable(answer.reason, lines=True)}{printable(why)}\n")
    said = f"promoted to production: revision {result.revision.number} of {result.part}, revision {result.tested.number} of test"
    facts = _facts(said, result.revision, paint) + f"  receipt   {result.receipt}\n"
    return "".join(lines) + changelogs.one(result.section, paint) + facts


def rolled_back(
    name: str, target: Revision, revision: Revision | None, section: Section | None, format_name: str, paint: Paint
) -> str:
    """What a rollback did."""
    if _wants_json(format_name):
        return to_json({"repository": name, "restored": _document(target), "revision": _document(revision)})
    if revision is None or section is None:
        return f"nothing to do: {name} holds the content of revision {target.number} already\n"
    said = f"rolled back {name}: revision {revision.number} is revision {target.number} again"
    return changelogs.one(section, paint) + _facts(said, revision, paint)


def receipt(checked: Checked, format_name: str, paint: Paint) -> str:
    """What a receipt says."""
    if _wants_json(format_name):
        keys = [{"keyid": key.keyid, "name": key.name} for key in checked.keys]
        return to_json({"statement": checked.statement, "keys": keys, "standing": checked.standing})
    said: Mapping[str, Any] = checked.statement["predicate"]
    part, test, production = said["part"], said["test"], said["production"]
    lines = [
        f"{paint.good('valid')}: {part['version']}/{part['target']}, test {test['number']} → production {production['number']}",
        f"  signed by   {', '.join(f'{key.name} ({key.keyid[:12]})' for key in checked.keys)}",
        f"  operator    {said['operator']}, {said['published_at_utc']}",
        f"  root        {production['root']}, in both repositories",
        f"  test        {test['backend']} {test['identity']}",
        f"  production  {production['backend']} {production['identity']}",
        f"  gates       {', '.join(one['gate'] for one in said['gates'])}",
        *(f"  overridden  {gate}: {reason}" for gate, reason in said["overrides"].items()),
        f"  this is     {checked.standing}",
    ]
    return "".join(f"{printable(line) if 'valid' not in line else line}\n" for line in lines)


def history(found: Sequence[Lived], format_name: str, paint: Paint) -> str:
    """A line for each revision: test, production, date, by whom, what."""
    if _wants_json(format_name):
        rows = [
            {"test": _document(one.tested), "production": [_document(two) for two in one.promoted], "live": one.is_live}
            for one in found
        ]
        return to_json({"revisions": rows})
    if not found:
        return "nothing was published yet\n"
    lines = [f"{'test':>5}  {'production':12}  {'date (UTC)':16}  by"]
    for one in found:
        shown = one.tested or one.promoted[0]
        numbers = ", ".join(str(two.number) for two in one.promoted)
        live = paint.good(f"{numbers + ' *':12}") if one.is_live else f"{numbers:12}"
        number = str(one.tested.number) if one.tested else "-"
        lines.append(f"{number:>5}  {live}  {shown.created_at_utc:%Y-%m-%d %H:%M}  {printable(shown.origin.operator)}")
        message = textwrap.wrap(printable(shown.message), WIDTH - 7, break_long_words=False, break_on_hyphens=False)
        lines += [paint.faint(f"{'':7}{row}") for row in message]
        for two in one.promoted:
            what = "rolled back" if two.origin.restored_from else "promoted"
            said = f"{what} {two.created_at_utc:%Y-%m-%d %H:%M} by {two.origin.operator}: {', '.join(two.tags)}"
            lines.append(paint.faint(f"{'':7}{printable(said)}"))
    return "\n".join([*lines, "* what production holds now", ""])


def tags(found: Mapping[str, Sequence[Kept]], format_name: str) -> str:
    """The tags that are kept in each repository, and why."""
    if _wants_json(format_name):
        return to_json({name: [{"tag": one.tag, "reason": one.reason} for one in kept] for name, kept in found.items()})
    lines = []
    for name, kept in found.items():
        lines.append(f"{name}: {count(len(kept), 'tag')}, at most {MOST_TAGS}")
        lines += [f"  {one.tag:40}  {one.reason}" for one in kept]
    return "\n".join([*lines, ""])


def pending(found: Mapping[str, Pending | None], format_name: str, paint: Paint) -> str:
    """What is under way in each repository."""
    if _wants_json(format_name):
        return to_json({name: _pending(one) if one else None for name, one in found.items()})
    lines = []
    for name, one in found.items():
        if one is None:
            lines.append(f"{name}: nothing is open")
            continue
        lines.append(f"{paint.doubtful(name)}: {printable(one.part)}, begun by {printable(one.operator)} at {one.since_utc}")
        lines.append(f"  {printable(one.line)}")
        lines.append(f"  steps     {', '.join(one.steps)}")
        left = "nobody: it was left open; the next publish or promote takes it up, or: compatlayer transaction abort"
        lines.append(f"  at work   {printable(one.holder) if one.holder else left}")
    return "\n".join([*lines, ""])


def _facts(said: str, revision: Revision, paint: Paint) -> str:
    tags = ", ".join(revision.tags)
    return f"{paint.strong(said)}\n  tag       {tags}\n  identity  {revision.id}\n  root      {revision.root}\n"


def _wants_json(format_name: str) -> bool:
    return pick({"text": False, "json": True}, format_name)


def _section(section: Section | None) -> dict[str, Any] | None:
    return section.to_document() if section else None


def _pending(one: Pending) -> dict[str, Any]:
    return {
        "part": one.part,
        "operator": one.operator,
        "since_utc": one.since_utc,
        "line": one.line,
        "steps": list(one.steps),
        "holder": one.holder,
    }


def _document(revision: Revision | None) -> dict[str, Any] | None:
    if revision is None:
        return None
    return {
        "id": revision.id,
        "number": revision.number,
        "tags": list(revision.tags),
        "created_at_utc": revision.created_at_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "message": revision.message,
        "root": revision.root,
        "operator": revision.origin.operator,
        "commit": revision.origin.commit,
        "promoted_from": revision.origin.promoted_from,
        "restored_from": revision.origin.restored_from,
    }
