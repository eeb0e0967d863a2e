"""Running the acceptance tests of a layer under synthetic hosts, one after the other."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from compatlayer import acceptance, entering
from compatlayer.acceptance import Result, Selected
from compatlayer.entering import Entrance, Shown
from compatlayer.errors import HostError
from compatlayer.hostlab.description import SyntheticHost
from compatlayer.hostlab.layout import lay_out


class Verdict(StrEnum):
    """How the layer did under one host."""

    PASSED = "passed"
    FAILED = "failed"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class Trial:
    """One host, how the layer did under it, and what each test said; ``why`` tells why a host was left out."""

    host: str
    description: str
    verdict: Verdict
    tests: tuple[Result, ...]
    elapsed_s: float
    why: str = ""

    @property
    def failures(self) -> tuple[Result, ...]:
        """The tests that did not pass."""
        return tuple(one for one in self.tests if one.outcome == "failed")


@contextmanager
def entrance(shown: Shown, host: SyntheticHost) -> Iterator[Entrance]:
    """How commands enter the layer under ``host``, for the length of a ``with`` block. Raises ``HostError``."""
    with tempfile.TemporaryDirectory(prefix="compatlayer-host-") as directory:
        yield entering.bare(shown, lay_out(host, Path(directory)))


def try_hosts(
    layer_root: Path,
    shown: Shown,
    hosts: Sequence[SyntheticHost],
    select: Selected,
    *,
    junit: Path | None = None,
) -> Iterator[Trial]:
    """Run the tests under each host and give the trials as they end.

    ``junit`` is a directory that gets a report for each host. Raises ``UsageError`` when the layer has no tests, or nothing of
    its own to enter it with.
    """
    for host in hosts:
        began = time.monotonic()
        try:
            with entrance(shown, host) as way:
                way.view.check_setup([*way.shell, ":"])
                code, results = acceptance.run_silently(
                    layer_root, shown.part, way, replace(select, junit=junit / f"{host.name}.xml" if junit else None)
                )
        except HostError as error:
            why = error.fact + (f"; {error.hint}" if error.hint else "")
            yield Trial(host.name, host.description, Verdict.LEFT_OUT, (), time.monotonic() - began, why)
            continue
        verdict = Verdict.PASSED if code == acceptance.PASSED else Verdict.FAILED
        why = "no test was selected" if code == acceptance.NO_TESTS else ""
        yield Trial(host.name, host.description, verdict, tuple(results), time.monotonic() - began, why)
