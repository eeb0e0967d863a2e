"""An expected failure as a person reads it, and as a program does."""

from __future__ import annotations

from compatlayer.errors import CompatlayerError, DeclarationError
from compatlayer.report.formats import to_json
from compatlayer.report.text import Paint, printable


def text(error: CompatlayerError, paint: Paint | None = None) -> str:
    """``error: `` and the fact, its cause below it, then ``hint:``; a declaration's mistakes one after the other. Ends
    with a newline.

    Lines are not folded: a cause quotes a program's own words, and a hint may be a command to copy.
    """
    paint = paint or Paint()
    parts = error.mistakes if isinstance(error, DeclarationError) else (error,)
    return "".join(f"{paint.bad('error:')} {_lines(str(part), paint)}\n" for part in parts)


def as_json(error: CompatlayerError) -> str:
    """``{"error": {kind, exit_code, fact, cause, hint, mistakes: [{file, line, path, fact, hint}]}}``."""
    mistakes = error.mistakes if isinstance(error, DeclarationError) else ()
    return to_json(
        {
            "error": {
                "kind": type(error).__name__,
                "exit_code": error.exit_code,
                "fact": error.fact,
                "cause": error.cause,
                "hint": error.hint,
                "mistakes": [
                    {
                        "file": mistake.location.file,
                        "line": mistake.location.line,
                        "path": mistake.location.path,
                        "fact": mistake.fact,
                        "hint": mistake.hint,
                    }
                    for mistake in mistakes
                ],
            }
        }
    )


def _lines(said: str, paint: Paint) -> str:
    first, *rest = printable(said, lines=True).split("\n")
    shown = [first]
    for line in rest:
        head, mark, tail = line.partition("hint:")
        shown.append(f"{head}{paint.strong(mark)}{tail}" if mark and not head.strip() else line)
    return "\n".join(shown)
