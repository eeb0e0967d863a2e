"""Findings that are known and accepted, kept in a file: a verdict then fails on new ones only, and names those that have gone.

The file is JSON, one object with a list ``accepted`` of ``{id, package, path, expected, actual}`` and, for people, ``reason``. A
package stands in it without its version, so that an update does not bring back what was accepted before.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compatlayer.errors import UsageError
from compatlayer.findings import Finding

_KEYS = ("id", "package", "path", "expected", "actual")
_WRITE = "write one: compatlayer verify --write-baseline FILE"
_VERSION = re.compile(r"-\d[^-/]*(-r\d+)?$")


@dataclass(frozen=True, slots=True, order=True)
class Known:
    """One accepted finding; ``reason`` is a person's, and not part of what is compared."""

    id: str
    package: str
    path: str
    expected: str
    actual: str
    reason: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What makes a finding this one."""
        return (self.id, self.package, self.path, self.expected, self.actual)

    @property
    def description(self) -> str:
        """One line, for a list of those that have gone."""
        subject = " ".join(part for part in (self.package, self.path) if part) or "the layer"
        return f"{subject}: {self.actual} [{self.id}]"


class Baseline:
    """What a file accepts. An accepted finding counts once: a second one like it is new."""

    def __init__(self, known: Iterable[Known] = ()) -> None:
        self._known = tuple(known)
        self._left = Counter(one.key for one in self._known)
        self.matched = 0

    def new(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Those of ``findings`` that are not accepted, as they come."""
        for finding in findings:
            key = known(finding).key
            if self._left[key] > 0:
                self._left[key] -= 1
                self.matched += 1
            else:
                yield finding

    def gone(self, checks: Iterable[str], kinds: dict[str, type[Finding]]) -> list[Known]:
        """Accepted findings that were not met, of the ``checks`` that were run; known when all findings have passed."""
        ran, left, gone = set(checks), Counter(self._left), []
        for one in self._known:
            kind = kinds.get(one.id)
            if left[one.key] > 0 and (kind is None or kind.check in ran):
                left[one.key] -= 1
                gone.append(one)
        return sorted(gone)


def known(finding: Finding) -> Known:
    """``finding`` as a baseline keeps it."""
    return Known(finding.identifier, _VERSION.sub("", finding.package), finding.path, finding.expected, finding.actual)


def read(file: Path) -> Baseline:
    """The baseline in ``file``. Raises ``UsageError`` for a file that is missing, or is no baseline."""
    try:
        document = json.loads(file.read_text())
    except OSError as error:
        raise UsageError(f"{file} cannot be read", cause=error.strerror, hint=_WRITE) from error
    except ValueError as error:
        raise UsageError(f"{file} is not JSON", cause=str(error)) from error
    entries = document.get("accepted") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise UsageError(f"{file} is no baseline", cause="it is not an object with a list 'accepted'", hint=_WRITE)
    return Baseline([_known(entry, f"{file}: accepted[{number}]") for number, entry in enumerate(entries)])


def write(file: Path, findings: Iterable[Finding]) -> int:
    """Accept ``findings`` in ``file``, sorted, with the reasons that the file already gives; returns how many."""
    reasons = {}
    if file.exists():
        reasons = {one.key: one.reason for one in read(file)._known}  # noqa: SLF001 - the same module
    accepted = sorted(known(finding) for finding in findings)
    entries = [asdict(one) | {"reason": reasons.get(one.key, "")} for one in accepted]
    text = json.dumps({"accepted": entries}, indent=2) + "\n"
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w") as content:
            content.write(text)
            os.fchmod(content.fileno(), 0o644)
            content.flush()
            os.fsync(content.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return len(accepted)


def _known(entry: Any, place: str) -> Known:
    if not isinstance(entry, dict):
        raise UsageError(f"{place} is not an object")
    wrong = [key for key in (*_KEYS, "reason") if not isinstance(entry.get(key, ""), str)]
    if wrong or not entry.get("id"):
        raise UsageError(f"{place} is no accepted finding", cause=f"{', '.join(wrong) or 'id'} must be text")
    return Known(*(entry.get(key, "") for key in (*_KEYS, "reason")))
