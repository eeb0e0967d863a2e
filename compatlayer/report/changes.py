"""What a stage would change, in every format that somebody reads it in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from compatlayer.report.findings import cell
from compatlayer.report.formats import pick, to_json
from compatlayer.report.text import Paint, count, printable, size
from compatlayer.tree.entries import Kind
from compatlayer.tree.rows import Change, Row

_MARKS = {Change.ADDED: "+", Change.CHANGED: "~", Change.REPLACED: "!", Change.DELETED: "-"}


def render(rows: Sequence[Row], format_name: str = "text", paint: Paint | None = None) -> str:
    """The rows in the order given, as one document that ends with a newline. Raises ``UsageError`` for an unknown format."""
    return pick(RENDERERS, format_name)(rows, paint or Paint())


def text(rows: Sequence[Row], paint: Paint) -> str:
    """One line a path and a sum: ``+`` added, ``~`` changed, ``!`` replaced by another kind of thing, ``-`` deleted."""
    return "".join(f"{_line(row, paint)}\n" for row in rows) + f"{summary(rows)}\n"


def as_json(rows: Sequence[Row], _paint: Paint) -> str:
    """``{changes: [{change, path, kind, size_bytes, size_before_bytes}], summary: {added: n, …}, growth_bytes}``."""
    numbers = Counter(row.change for row in rows)
    return to_json(
        {
            "changes": [
                {
                    "change": row.change.value,
                    "path": row.path,
                    "kind": row.kind.value,
                    "size_bytes": row.size_bytes,
                    "size_before_bytes": row.size_before_bytes,
                }
                for row in rows
            ],
            "summary": {change.value: numbers[change] for change in Change},
            "growth_bytes": growth_bytes(rows),
        }
    )


def markdown(rows: Sequence[Row], _paint: Paint) -> str:
    """A table for a pull request's comment or a job's summary."""
    lines = [f"**{summary(rows)}**"]
    if rows:
        lines += ["", "| change | path | kind | size |", "| --- | --- | --- | --- |"]
        lines += [f"| {row.change} | {cell(row.path)} | {row.kind} | {_size(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def summary(rows: Sequence[Row]) -> str:
    """``no changes``, or how many paths there are of each change and what they weigh: ``3 paths added, 1 deleted, +1.5 MiB``."""
    numbers = Counter(row.change for row in rows)
    said = [(numbers[change], change.value) for change in Change if numbers[change]]
    if not said:
        return "no changes"
    (number, word), *rest = said
    grown = growth_bytes(rows)
    weight = f"{'+' if grown >= 0 else '-'}{size(abs(grown))}"
    return ", ".join([f"{count(number, 'path')} {word}", *(f"{more:,} {other}" for more, other in rest), weight])


def growth_bytes(rows: Sequence[Row]) -> int:
    """By how much the layer grows. A deleted or emptied directory counts nothing: what was in it was not looked at."""
    return sum((0 if row.change is Change.DELETED else row.size_bytes) - row.size_before_bytes for row in rows)


def _line(row: Row, paint: Paint) -> str:
    colour = {Change.ADDED: paint.good, Change.DELETED: paint.bad}.get(row.change, paint.doubtful)
    path = printable(row.path) + ("/" if row.kind is Kind.DIRECTORY else "")
    line = colour(f"{_MARKS[row.change]} {path}")
    remark = _size(row) if row.kind is not Kind.SYMLINK else "link"
    if row.kind is Kind.DIRECTORY and row.change is Change.REPLACED:
        remark = "with nothing of what was in it"
    return f"{line}  {paint.faint(remark)}" if remark else line


def _size(row: Row) -> str:
    if row.kind is not Kind.FILE:
        return ""
    if row.change is Change.CHANGED and row.size_before_bytes != row.size_bytes:
        return f"{size(row.size_before_bytes)} → {size(row.size_bytes)}"
    return size(row.size_bytes)


RENDERERS: Mapping[str, Callable[[Sequence[Row], Paint], str]] = {"text": text, "json": as_json, "markdown": markdown}
