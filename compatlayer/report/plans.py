"""A plan in every format that somebody reads it in: what would be done, to what, and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from compatlayer.plan import Action, Kind, Plan
from compatlayer.report.findings import cell
from compatlayer.report.formats import pick, to_json
from compatlayer.report.text import Paint, count, wrapped

# What is going to be done, in the sentence that sums it up.
_DONE = {
    Kind.INSTALL: "to install",
    Kind.UPGRADE: "to upgrade",
    Kind.DOWNGRADE: "to downgrade",
    Kind.REBUILD: "to rebuild",
    Kind.REMOVE: "to remove",
    Kind.KEEP: "no longer needed, kept",
}

_VERB_WIDTH = max(len(kind.value) for kind in Kind)


def render(plan: Plan, format_name: str = "text", paint: Paint | None = None) -> str:
    """The plan as one document that ends with a newline. Raises ``UsageError`` for an unknown format."""
    return pick(RENDERERS, format_name)(plan, paint or Paint())


def render_all(plans: Mapping[str, Plan], format_name: str = "text", paint: Paint | None = None) -> str:
    """Several plans, by the name of their target, as one document: with headings, or as one JSON object by target."""
    if format_name == "json":
        return to_json({target: json.loads(as_json(plan, Paint())) for target, plan in plans.items()})
    paint = paint or Paint()
    heading = "## {}\n\n" if format_name == "markdown" else paint.strong("{}") + "\n"
    return "\n".join(heading.format(target) + render(plan, format_name, paint) for target, plan in plans.items())


def text(plan: Plan, paint: Paint) -> str:
    """Two lines an action, in build order: what, and below it why. The last line sums up."""
    steps = "".join(_lines("bootstrap", step.name, step.reason, paint.good, paint) for step in plan.steps)
    return steps + "".join(_action(action, paint) for action in plan) + f"{summary(plan)}\n"


def as_json(plan: Plan, _paint: Paint) -> str:
    """``{steps: [{step, reason}], actions: [{action, package, atom, change, reason, verdict, wanted, installed}], summary}``."""
    return to_json(_document(plan))


def markdown(plan: Plan, _paint: Paint) -> str:
    """A table for a pull request's comment or a job's summary."""
    lines = [f"**{summary(plan)}**"]
    if plan.steps:
        lines += [
            "",
            "| bootstrap | why |",
            "| --- | --- |",
            *(f"| {cell(one.name)} | {cell(one.reason)} |" for one in plan.steps),
        ]
    if plan.actions:
        lines += ["", "| action | package | change | why |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {action.kind} | {cell(action.comparison.name)} | {cell(action.change)} | {cell(action.reason)} |"
            for action in plan
        ]
    return "\n".join(lines) + "\n"


def as_document(action: Action) -> dict[str, object]:
    """One action as plain data; ``wanted`` and ``installed`` are ``category/name-version`` or null."""
    comparison = action.comparison
    return {
        "action": action.kind.value,
        "package": comparison.name,
        "atom": action.atom,
        "change": action.change,
        "reason": action.reason,
        "verdict": comparison.verdict.value,
        "wanted": comparison.wanted.id.cpv if comparison.wanted else None,
        "installed": comparison.installed.id.cpv if comparison.installed else None,
    }


def summary(plan: Plan) -> str:
    """``nothing to do``, or how many packages each kind of action concerns: ``2 packages to install, 1 to rebuild``."""
    if plan.steps:
        return f"{count(len(plan.steps), 'step')} of the bootstrap, then the packages, as the prefix's own Portage resolves them"
    numbers = {kind: len(plan.of(kind)) for kind in Kind if plan.of(kind)}
    if not numbers:
        return "nothing to do"
    (first, number), *rest = numbers.items()
    said = ", ".join([f"{count(number, 'package')} {_DONE[first]}", *(f"{n:,} {_DONE[kind]}" for kind, n in rest)])
    return f"nothing to do; {said}" if plan.is_empty else said


def _document(plan: Plan) -> dict[str, object]:
    return {
        "steps": [{"step": step.name, "reason": step.reason} for step in plan.steps],
        "actions": [as_document(action) for action in plan],
        "summary": {kind.value: len(plan.of(kind)) for kind in Kind},
    }


def _action(action: Action, paint: Paint) -> str:
    colour = {Kind.INSTALL: paint.good, Kind.REMOVE: paint.bad, Kind.KEEP: paint.faint}.get(action.kind, paint.doubtful)
    return _lines(action.kind.value, f"{action.comparison.name} {action.change}", action.reason, colour, paint)


def _lines(verb: str, what: str, why: str, colour: Callable[[str], str], paint: Paint) -> str:
    """What is done to what, and below it why."""
    verb, indent = verb.ljust(_VERB_WIDTH), " " * (_VERB_WIDTH + 2)
    what = wrapped(what, first=f"{verb}  ", indent=indent)
    why = wrapped(why, first=indent, indent=indent)
    return f"{colour(verb)}{what.removeprefix(verb)}\n" + "".join(f"{paint.faint(line)}\n" for line in why.splitlines())


RENDERERS: Mapping[str, Callable[[Plan, Paint], str]] = {"text": text, "json": as_json, "markdown": markdown}
