"""What can go wrong, each kind with its exit code.

An error states a fact, its cause and the next step. It is raised deep and printed once, by ``__main__``; nothing else turns
an error into text for a person.

Exit codes (the command line's contract): 1 a bug, 2 usage or declaration, 3 converging, 4 findings, 5 repository,
transaction or lock, 6 distfiles, 7 a promotion gate, 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file that a person wrote.

    ``file`` is shown as given (relative to the layer's root where that is possible), ``line`` counts from 1, ``path`` is the
    key path inside the document, such as ``packages[3].include_on``. Both of the latter may be unknown.
    """

    file: str
    line: int | None = None
    path: str = ""

    @property
    def line_in_file(self) -> str:
        """``FILE:LINE``, or the file alone."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    def __str__(self) -> str:
        return f"{self.line_in_file}: {self.path}" if self.path else self.line_in_file


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong in a declaration: where, what, and what to do about it."""

    location: Location
    fact: str
    hint: str | None = None

    def __str__(self) -> str:
        return render(f"{self.location}: {self.fact}", None, self.hint)


class CompatlayerError(Exception):
    """The family of every expected failure: ``fact``, ``cause`` (may run over lines), ``hint`` (the next step)."""

    exit_code: ClassVar[int] = 1

    def __init__(self, fact: str, *, cause: str | None = None, hint: str | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        self.cause = cause
        self.hint = hint

    def __str__(self) -> str:
        return render(self.fact, self.cause, self.hint)


class UsageError(CompatlayerError):
    """The command line asks for something that does not exist or does not go together."""

    exit_code = 2


class DeclarationError(CompatlayerError):
    """The declaration cannot be read; carries every mistake found, in file and line order."""

    exit_code = 2

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        if not mistakes:
            raise ValueError("a DeclarationError needs at least one mistake")
        super().__init__(f"{mistakes[0].location}: {mistakes[0].fact}", hint=mistakes[0].hint)
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        return "\n".join(str(mistake) for mistake in self.mistakes)


class ConvergeError(CompatlayerError):
    """The stage could not be brought to the declared state."""

    exit_code = 3


class HostError(ConvergeError):
    """This machine lacks something building needs: a program, a namespace, a writable path."""


class ResolveError(ConvergeError):
    """Portage finds no way to install what is declared, or its worker failed."""


class RepositoryError(CompatlayerError):
    """A repository or transaction is not in the state that was asked for."""

    exit_code = 5


class LockHeldError(RepositoryError):
    """Somebody else holds what this run needs."""


class StageError(RepositoryError):
    """A stage cannot be opened, viewed or read."""


class DistfileError(CompatlayerError):
    """Source files are missing or are not what the Manifest says."""

    exit_code = 6


class GateError(CompatlayerError):
    """A promotion gate refused."""

    exit_code = 7


class ProgramError(CompatlayerError):
    """A program could not be started, or ended other than it should. Exit code 3 unless the caller wraps it."""

    exit_code = 3


def render(fact: str, cause: str | None, hint: str | None) -> str:
    """Lay out one error: the fact, its cause indented below, then ``hint:``; lines without the leading ``error:``."""
    lines = [fact]
    if cause:
        lines += [f"  {line}" if line else "" for line in cause.rstrip().splitlines()]
    if hint:
        first, *rest = hint.splitlines()
        lines += [f"  hint: {first}", *(f"        {line}" for line in rest)]
    return "\n".join(lines)
