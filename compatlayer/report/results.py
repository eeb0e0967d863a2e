"""What an install did, in every format that somebody reads it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from compatlayer.binaries.choose import Choice
from compatlayer.install import Result
from compatlayer.plan import Kind
from compatlayer.report import plans
from compatlayer.report.formats import pick, to_json
from compatlayer.report.text import Paint, clock, count, wrapped


def render(result: Result, format_name: str = "text", paint: Paint | None = None) -> str:
    """The result as one document that ends with a newline. Raises ``UsageError`` for an unknown format."""
    return pick(RENDERERS, format_name)(result, paint or Paint())


def text(result: Result, paint: Paint) -> str:
    """What was built, taken from a binary package or removed, what stays although nothing needs it, and one line to sum up."""
    names = ", ".join(step.name for step in result.steps)
    lines = [f"{paint.good('bootstrapped')}  {names}\n"] if names else []
    origins = {one.cpv: one for one in result.origins}
    for action in result.plan:
        word = paint.faint("kept, not needed") if action.kind is Kind.KEEP else paint.good(_DONE[action.kind])
        lines.append(f"{word}  {action.comparison.name} {action.change}\n")
        origin = origins.get(action.comparison.package.id.cpv)
        if origin is not None and action.kind.builds:
            lines += [paint.faint(line) + "\n" for line in wrapped(_from(origin), first=_INDENT, indent=_INDENT).splitlines()]
    taken = sum(origin.entry is not None for origin in result.origins)
    built = sum(action.kind.builds for action in result.plan) - taken
    if result.outcome is None:
        said = f"{result.part}: nothing to do, {count(result.packages, 'package')} installed as declared"
    elif result.plan.is_empty and not result.outcome.changed_tasks:
        said = f"{result.part}: nothing has changed, {count(result.packages, 'package')} installed as declared"
    else:
        merged = f"{count(built, 'package')} built"
        if taken:
            merged = f"{count(taken, 'package')} from binary packages, {built:,} built"
        said = f"{result.part}: {merged}, {count(result.packages, 'package')} installed as declared"
    return "".join(lines) + f"{said} ({clock(result.elapsed_s)})\n"


def _from(origin: Choice) -> str:
    """Where a package came from: which store, or why it was built."""
    return f"binary package from {origin.place}" if origin.entry else f"built: {origin.because}"


def as_json(result: Result, _paint: Paint) -> str:
    """``{part, changed, skipped, actions, packages, binaries, elapsed_s, stage, run}``; ``binaries`` null: no store was used."""
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
            "binaries": _binaries(result),
            "elapsed_s": round(result.elapsed_s, 2),
            "stage": str(result.stage_directory),
            "run": str(result.run_directory) if result.run_directory else None,
        }
    )


def _binaries(result: Result) -> dict[str, object] | None:
    """``{packages: [{package, origin, store, key, because}], refused, stored, not_stored}``."""
    provision = result.provision
    if provision is None:
        return None
    return {
        "packages": [
            {
                "package": one.cpv,
                "origin": "binary" if one.entry else "source",
                "store": one.place or None,
                "key": one.entry.key.digest if one.entry else None,
                "tested": one.entry.key.tested if one.entry else None,
                "because": one.because or None,
            }
            for one in result.origins
        ],
        "refused": [{"package": one.cpv or None, "store": one.place, "reason": one.reason} for one in provision.refusals],
        "stored": provision.stored,
        "not_stored": [{"package": cpv, "reason": reason} for cpv, reason in provision.not_stored.items()],
    }


_INDENT = " " * 11

_DONE: Mapping[Kind, str] = {
    Kind.INSTALL: "installed",
    Kind.UPGRADE: "upgraded",
    Kind.DOWNGRADE: "downgraded",
    Kind.REBUILD: "rebuilt",
    Kind.REMOVE: "removed",
}

RENDERERS: Mapping[str, Callable[[Result, Paint], str]] = {"text": text, "json": as_json}
