"""What an install did, in every format that somebody reads it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from compatlayer.install import Result
from compatlayer.plan import Kind
from compatlayer.report import plans
from compatlayer.report.formats import pick, to_json
from compatlayer.report.text import Paint, clock, count


def render(result: Result, format_name: str = "text", paint: Paint | None = None) -> str:
    """The result as one document that ends with a newline. Raises ``UsageError`` for an unknown format."""
    return pick(RENDERERS, format_name)(result, paint or Paint())


def text(result: Result, paint: Paint) -> str:
    """What was built or removed, what stays although nothing needs it, and one line that sums up."""
    names = ", ".join(step.name for step in result.steps)
    lines = [f"{paint.good('bootstrapped')}  {names}\n"] if names else []
    for action in result.plan:
        word = paint.faint("kept, not needed") if action.kind is Kind.KEEP else paint.good(_DONE[action.kind])
        lines.append(f"{word}  {action.comparison.name} {action.change}\n")
    built = sum(action.kind.builds for action in result.plan)
    if result.outcome is None:
        said = f"{result.part}: nothing to do, {count(result.packages, 'package')} installed as declared"
    elif result.plan.is_empty and not result.outcome.changed_tasks:
        said = f"{result.part}: nothing has changed, {count(result.packages, 'package')} installed as declared"
    else:
        said = f"{result.part}: {count(built, 'package')} built, {count(result.packages, 'package')} installed as declared"
    return "".join(lines) + f"{said} ({clock(result.elapsed_s)})\n"


def as_json(result: Result, _paint: Paint) -> str:
    """``{part, changed, skipped, actions, packages, elapsed_s, stage, log}``."""
    outcome = result.outcome
    return to_json(
        {
            "part": str(result.part),
            "prefix": str(result.part.prefix),
            "skipped": outcome is None,
            "changed": outcome.changed_tasks if outcome else [],
            "steps": [step.name for step in result.steps],
            "actions": [plans.as_document(action) for action in result.plan],
            "packages": result.packages,
            "elapsed_s": round(result.elapsed_s, 2),
            "stage": str(result.stage_directory),
            "run": str(result.run_directory) if result.run_directory else None,
        }
    )


_DONE: Mapping[Kind, str] = {
    Kind.INSTALL: "installed",
    Kind.UPGRADE: "upgraded",
    Kind.DOWNGRADE: "downgraded",
    Kind.REBUILD: "rebuilt",
    Kind.REMOVE: "removed",
}

RENDERERS: Mapping[str, Callable[[Result, Paint], str]] = {"text": text, "json": as_json}
