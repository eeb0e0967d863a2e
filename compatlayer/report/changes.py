"""A change list in every format that somebody reads it in: what publishing a stage would change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from compatlayer.report.formats import pick, to_json
from compatlayer.report.text import Paint, count, printable, size
from compatlayer.tree.beneath import ROOT, order
from compatlayer.tree.changes import ChangeList, Put
from compatlayer.tree.entries import Kind


def render(changes: ChangeList, format_name: str = "text", paint: Paint | None = None) -> str:
    """The change list as one document that ends with a newline. Raises ``UsageError`` for an unknown format."""
    return pick(RENDERERS, format_name)(changes, paint or Paint())


def text(changes: ChangeList, paint: Paint) -> str:
    """One line a path, in canonical order, and a sum.

    ``+`` sets a path, ``-`` takes it away, ``!`` is a directory that loses what it held before. A directory that is put
    only because something in it changes has no line: the list is about what changes. JSON has it all.
    """
    marked = [(order(put.path), _put(put, put.path in changes.opaque, paint)) for put in _telling(changes)]
    marked += [(order(path), paint.bad(f"- {printable(path)}")) for path in changes.deletes]
    lines = [line for _, line in sorted(marked)]
    return "\n".join([*lines, summary(changes)]) + "\n"


def as_json(changes: ChangeList, _paint: Paint) -> str:
    """``{puts: [{path, kind, mode, size_bytes}], deletes: [path], opaque: [path], size_bytes}``; modes are octal
    digits.
    """
    return to_json(
        {
            "puts": [
                {"path": put.path, "kind": put.kind.value, "mode": f"{put.mode:04o}", "size_bytes": put.size_bytes}
                for put in changes.puts
            ],
            "deletes": list(changes.deletes),
            "opaque": list(changes.opaque),
            "size_bytes": changes.size_bytes,
        }
    )


def summary(changes: ChangeList) -> str:
    """``no changes``, or ``12 files (1.5 MiB), 3 links, 1 directory set; 2 paths deleted``."""
    numbers = Counter(put.kind for put in _telling(changes))
    words = {
        Kind.FILE: f"{count(numbers[Kind.FILE], 'file')} ({size(changes.size_bytes)})",
        Kind.SYMLINK: count(numbers[Kind.SYMLINK], "link"),
        Kind.DIRECTORY: count(numbers[Kind.DIRECTORY], "directory", "directories"),
    }
    said = [", ".join(words[kind] for kind in words if numbers[kind]) + " set"] if numbers else []
    if changes.deletes:
        said.append(f"{count(len(changes.deletes), 'path')} deleted")
    return "; ".join(said) or "no changes"


def _telling(changes: ChangeList) -> list[Put]:
    """Puts without the directories that are there only for what is in them; the root tells nothing unless it is opaque."""
    above = {path.rpartition("/")[0] for path in (*(put.path for put in changes.puts), *changes.deletes)}
    return [
        put
        for put in changes.puts
        if put.kind is not Kind.DIRECTORY or (put.path not in above and put.path != ROOT) or put.path in changes.opaque
    ]


def _put(put: Put, opaque: bool, paint: Paint) -> str:
    path = printable(put.path)
    match put.kind:
        case Kind.DIRECTORY if opaque:
            return paint.doubtful(f"! {path}/  {put.mode:04o}, replaces what was there")
        case Kind.DIRECTORY:
            return paint.good(f"+ {path}/  {put.mode:04o}")
        case Kind.SYMLINK:
            return paint.good(f"+ {path}  link")
        case Kind.FILE:
            return paint.good(f"+ {path}") + f"  {put.mode:04o} {size(put.size_bytes)}"


RENDERERS: Mapping[str, Callable[[ChangeList, Paint], str]] = {"text": text, "json": as_json}
