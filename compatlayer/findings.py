"""A finding is a class: its docstring explains it to a person, its fields carry the data, ``description`` says it in one line.

Subclass ``Finding`` once per thing that can be wrong. The class attributes ``identifier`` (stable, kebab-case), ``check`` and
``severity`` make it known to the registry; ``compatlayer verify --explain ID`` prints the docstring.
"""

from __future__ import annotations

import enum
import inspect
from dataclasses import dataclass
from typing import ClassVar

from compatlayer.errors import Location


class Severity(enum.IntEnum):
    """How bad it is; ordered, so that gates can say "error and above"."""

    NOTE = 1
    WARNING = 2
    ERROR = 3

    @property
    def label(self) -> str:
        """The word a person reads: ``note``, ``warning`` or ``error``."""
        return self.name.lower()


_registry: dict[str, type[Finding]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing wrong: the package and path it concerns, what was expected, what is there, and what to do about it.

    ``path`` is relative to the prefix, with a leading slash where it names a host path. ``location`` is the place in the
    declaration that is at fault, where there is one.
    """

    identifier: ClassVar[str] = ""
    check: ClassVar[str] = ""
    severity: ClassVar[Severity] = Severity.ERROR

    package: str = ""
    path: str = ""
    expected: str = ""
    actual: str = ""
    remedy: str = ""
    location: Location | None = None

    def __init_subclass__(cls, **kwargs: object) -> None:
        # @dataclass(slots=True) makes the class twice, so the same name may come again; another class may not take it.
        known = _registry.get(cls.identifier)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"finding {cls.identifier!r} is already taken by {known.__qualname__}")
        if cls.identifier:
            _registry[cls.identifier] = cls

    @property
    def description(self) -> str:
        """One line that a person can act on, without the identifier and the severity."""
        subject = self.package or self.path or "the layer"
        return f"{subject}: expected {self.expected}, found {self.actual}"

    @classmethod
    def explanation(cls) -> str:
        """The long text for ``--explain``: the class's docstring."""
        return inspect.cleandoc(cls.__doc__ or "")


def registered() -> dict[str, type[Finding]]:
    """Every kind of finding whose module has been imported, by identifier, in alphabetical order."""
    return dict(sorted(_registry.items()))
