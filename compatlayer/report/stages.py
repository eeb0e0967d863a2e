"""The stages under a state directory, in every format that somebody reads them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from compatlayer.lock import Holder
from compatlayer.report.formats import pick, to_json
from compatlayer.report.text import Paint, count, printable
from compatlayer.stage import Stage

Found = Sequence[tuple[Stage, Holder | None]]


def render(found: Found, format_name: str = "text", paint: Paint | None = None) -> str:
    """All stages as one document that ends with a newline. Raises ``UsageError`` for an unknown format."""
    return pick(RENDERERS, format_name)(found, paint or Paint())


def text(found: Found, paint: Paint) -> str:
    """A paragraph a stage: its part, prefix, what it stands on, and who works on it."""
    lines = []
    for stage, holder in found:
        lines.append(f"{paint.strong(str(stage.part))}\n")
        lines.append(f"  prefix     {stage.part.prefix}\n")
        lines.append(f"  stands on  {printable(stage.base) if stage.base else 'nothing'}\n")
        lines.append(f"  directory  {printable(str(stage.directory))}\n")
        if holder is not None:
            lines.append(f"  {paint.doubtful('in use')}     {printable(str(holder))}\n")
    return "".join(lines) + f"{count(len(found), 'stage')}\n"


def as_json(found: Found, _paint: Paint) -> str:
    """``{stages: [{version, target, prefix, base, directory, holder}]}``."""
    return to_json(
        {
            "stages": [
                {
                    "version": stage.part.version,
                    "target": stage.part.target.name,
                    "prefix": str(stage.part.prefix),
                    "base": stage.base,
                    "directory": str(stage.directory),
                    "holder": str(holder) if holder else None,
                }
                for stage, holder in found
            ]
        }
    )


RENDERERS: Mapping[str, Callable[[Found, Paint], str]] = {"text": text, "json": as_json}
