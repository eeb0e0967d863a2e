"""Trials under synthetic hosts as text and JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from compatlayer.hostlab.description import SyntheticHost
from compatlayer.hostlab.laboratory import Trial, Verdict
from compatlayer.report.formats import pick, to_json
from compatlayer.report.text import Paint, count, duration, printable, wrapped

_WIDTH = 24
_INDENT = " " * 9
_SHOWN = 5


def line(trial: Trial, paint: Paint) -> str:
    """One trial, with what failed and why, for a person; ends with a newline."""
    passed = sum(one.outcome == "passed" for one in trial.tests)
    match trial.verdict:
        case Verdict.PASSED:
            said = f"{paint.good('ok')}       {trial.host:{_WIDTH}} {count(passed, 'test')}, {duration(trial.elapsed_s)}\n"
        case Verdict.LEFT_OUT:
            said = f"{paint.faint('left out')} {trial.host}\n{_indented(trial.why)}\n"
        case Verdict.FAILED:
            said = f"{paint.bad('failed')}   {trial.host:{_WIDTH}} {len(trial.failures)} of {count(len(trial.tests), 'test')}\n"
            said += f"{_indented(f'the host: {trial.description}')}\n"
            said += "".join(f"{_INDENT}{printable(text)}\n" for text in _failures(trial))
    return said


def _indented(text: str) -> str:
    return wrapped(text, first=_INDENT, indent=_INDENT)


def _failures(trial: Trial) -> Sequence[str]:
    if not trial.tests:
        return [trial.why]
    found = []
    for one in trial.failures[:_SHOWN]:
        found.append(one.name)
        found += [f"  {text}" for text in one.detail.strip().splitlines()[-3:]]
    if len(trial.failures) > _SHOWN:
        found.append(f"and {len(trial.failures) - _SHOWN} more; see --format json, or --junit")
    return found


def listing(hosts: Sequence[SyntheticHost]) -> str:
    """The hosts and what is special about each."""
    return "\n".join(f"{host.name:{_WIDTH}} {host.description}" for host in hosts)


def _text(trials: Sequence[Trial], _paint: Paint) -> str:
    counts = {verdict: sum(trial.verdict is verdict for trial in trials) for verdict in Verdict}
    words = [f"{number} {verdict.value}" for verdict, number in counts.items() if number]
    return f"{count(len(trials), 'host')}: {', '.join(words)}, {duration(sum(trial.elapsed_s for trial in trials))}\n"


def _json(trials: Sequence[Trial], _paint: Paint) -> str:
    return to_json({"hosts": [asdict(trial) | {"verdict": trial.verdict.value} for trial in trials]})


RENDERERS: Mapping[str, Callable[[Sequence[Trial], Paint], str]] = {"text": _text, "json": _json}


def render(trials: Sequence[Trial], format_name: str, paint: Paint) -> str:
    """All trials: in text only the closing line, for their own come while they run. Raises ``UsageError``."""
    return pick(RENDERERS, format_name)(trials, paint)
