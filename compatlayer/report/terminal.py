"""Progress on a terminal: a bar for the whole, the packages being built, the time gone and the time left, redrawn in
place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from compatlayer.progress import (
    Event,
    Note,
    PackageFinished,
    PackagePhase,
    StepFinished,
    StepStarted,
    Transferred,
)
from compatlayer.report.estimate import Durations
from compatlayer.report.text import about, clock, duration, printable
from compatlayer.report.watch import Silent, sentence, transferred

# More packages than this at a time would push what was said before off a small terminal.
SHOWN_PACKAGES = 4


class TerminalMonitor(Silent):
    """Moving bars below, lasting lines above. ``close`` takes the bars away and leaves the lines."""

    def __init__(
        self,
        stream: IO[str],
        durations: Durations | None = None,
        now: Callable[[], float] = time.monotonic,
        *,
        refresh: bool = True,
    ) -> None:
        super().__init__(durations, now)
        self._lock = threading.RLock()  # rich redraws from its own thread, so that the clock moves while nothing happens
        self._step = ""
        self._running: dict[str, tuple[str, float]] = {}
        self._transfer: Transferred | None = None
        self.console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._live = Live(
            console=self.console,
            get_renderable=self.picture,
            auto_refresh=refresh,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=refresh)

    def tell(self, event: Event) -> None:
        """Redraw; print a lasting line for what is finished and for notes."""
        with self._lock:
            super().tell(event)
            lasting = self._follow(event)
        if lasting is not None:
            self.console.print(lasting, soft_wrap=True)

    def close(self) -> None:
        """Give the terminal back, with its cursor."""
        self._live.stop()
        super().close()

    def picture(self) -> RenderableType:
        """What stands at the bottom of the terminal now."""
        with self._lock:
            lines: list[RenderableType] = [
                _line(Text.assemble(("  " + printable(package), "bold"), f"  {phase}  {clock(self.now() - since)}"))
                for package, (phase, since) in list(self._running.items())[:SHOWN_PACKAGES]
            ]
            hidden = len(self._running) - SHOWN_PACKAGES
            if hidden > 0:
                lines.append(_line(Text(f"  and {hidden} more", style="dim")))
            if self._transfer is not None:
                lines.append(_line(Text("  " + printable(transferred(self._transfer, self.rate)))))
            return Group(self._whole(), *lines)

    def _whole(self) -> RenderableType:
        left = self.estimate.remaining_s()
        said = clock(self.elapsed_s) + (f", {about(left)} left" if left is not None else "")
        row = Table.grid(padding=(0, 1), expand=False)
        row.add_column(no_wrap=True, overflow="ellipsis")
        done, total = self._counted()
        if not total:
            row.add_row(Text(f"{self._step or 'working'}  {said}"))
            return row
        row.add_column(width=24)
        row.add_column(no_wrap=True)
        row.add_row(
            Text(self._step or "building"),
            ProgressBar(total=total, completed=done, width=24),
            Text(f"{done:,}/{total:,}  {said}"),
        )
        return row

    def _counted(self) -> tuple[int, int]:
        if self._transfer is not None and not self._running:
            return self._transfer.done, self._transfer.total
        return self.estimate.done, self.estimate.total

    def _follow(self, event: Event) -> Text | None:
        match event:
            case StepStarted():
                self._step, self._transfer = printable(event.step), None
            case StepFinished():
                self._transfer = None
                colour = "red" if event.outcome == "failed" else "dim"
                return Text(printable(sentence(event) or ""), style=colour)
            case PackagePhase():
                since = self._running.get(event.package, ("", self.now()))[1]
                self._running[event.package] = (printable(event.phase), since)
            case PackageFinished():
                self._running.pop(event.package, None)
                word = "taken " if event.binary else "done "
                return Text.assemble((word, "green"), printable(event.package), f"  {duration(event.elapsed_s)}")
            case Transferred():
                self._transfer = None if event.done == event.total else event
            case Note():
                return Text(printable(event.text))
            case _:
                pass
        return None


def _line(text: Text) -> Text:
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text
