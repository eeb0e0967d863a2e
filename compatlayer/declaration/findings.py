"""What ``check`` finds in a declaration that can be read: rendered sets that are not up to date, reasons still to be
written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compatlayer.findings import Finding, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFinding(Finding):
    """A rendered file differs from what the declaration says. ``location`` names the file."""

    check: ClassVar[str] = "sets"
    severity: ClassVar[Severity] = Severity.ERROR

    @property
    def description(self) -> str:
        """One line: the file, what was expected, what is there."""
        file = self.location.file if self.location else "the rendered set"
        return f"{file}: expected {self.expected}, found {self.actual}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleSet(SetFinding):
    """A rendered set (or sets.conf) is older than the declaration.

    Portage reads the rendered files below the overlay's ``metadata/sets/``, not ``sets/*.yaml``. Whoever builds from
    this state builds something else than is declared. Render the sets and commit them together with the change.
    """

    identifier: ClassVar[str] = "stale-set"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrenderedSet(SetFinding):
    """A declared set has not been rendered, so Portage does not know it: ``emerge @set`` fails for this target.

    Render the sets and commit them.
    """

    identifier: ClassVar[str] = "unrendered-set"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftoverSet(SetFinding):
    """A rendered set is no longer declared: its set, version or target is gone, or was renamed.

    Portage still offers it. Rendering the sets removes it.
    """

    identifier: ClassVar[str] = "leftover-set"


@dataclass(frozen=True, slots=True, kw_only=True)
class TodoReason(Finding):
    """A package is declared with ``reason: TODO``.

    Such a reason comes from taking over another project's list (``init --from-eessi``) or from a hurry. A layer grows
    too fat one unexplained package at a time; say in one sentence who needs this one, or remove it.
    """

    identifier: ClassVar[str] = "todo-reason"
    check: ClassVar[str] = "sets"
    severity: ClassVar[Severity] = Severity.ERROR

    @property
    def description(self) -> str:
        """One line: the package that nobody has explained yet."""
        return f"{self.package}: expected {self.expected}, found {self.actual}"
