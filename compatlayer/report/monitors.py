"""Choosing the monitor that suits a stream: moving bars, plain lines, JSON lines, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from compatlayer.progress import Monitor
from compatlayer.report.estimate import Durations
from compatlayer.report.watch import JsonMonitor, LogMonitor, Silent


def choose(
    format_name: str,
    stream: IO[str],
    *,
    no_progress: bool = False,
    quiet: bool = False,
    history: Path | None = None,
) -> Monitor:
    """The monitor that suits ``stream`` (standard error).

    ``format_name`` ``json`` asks for JSON lines; otherwise a terminal gets moving bars and anything else plain lines.
    ``no_progress`` turns the bars into plain lines; ``quiet`` shows nothing. ``history`` is the file that remembers how
    long each package took, for the estimate; it is written when the monitor is closed, in quiet runs too.
    """
    durations = Durations.load(history)
    if quiet:
        return Silent(durations)
    if format_name == "json":
        return JsonMonitor(stream, durations)
    if not no_progress and stream.isatty():
        # rich takes 0.1 s to import, which only a terminal's owner gets something for.
        from compatlayer.report.terminal import TerminalMonitor  # noqa: PLC0415

        return TerminalMonitor(stream, durations)
    return LogMonitor(stream, durations)
