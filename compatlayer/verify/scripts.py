"""The check ``scripts``: what ``#!`` names exists and lies in the layer, and no path of the building machine is left in a file.

How the kernel reads the first line: execve(2), "Interpreter scripts"; fs/binfmt_script.c.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from compatlayer.declaration.model import EngineName
from compatlayer.findings import Finding, Severity
from compatlayer.verify.reading import Seen, Visitor
from compatlayer.verify.reading.leaks import Leaks
from compatlayer.verify.reading.resolver import Resolver, Where, within
from compatlayer.verify.registry import Context, check

# Linux reads so much of the first line, the newline included (BINPRM_BUF_SIZE, since 5.1).
LINE_BYTES = 256
# What any host has, at this very path: an engine that builds on the host's libc may as well use its shell.
PLAIN_HOST = frozenset({"/bin/sh", "/bin/bash", "/usr/bin/bash", "/usr/bin/sh", "/usr/bin/env", "/usr/bin/perl", "/usr/bin/awk"})
ENV = "env"
PROGRAM_DIRECTORIES = ("usr/bin", "bin", "usr/sbin", "sbin")
# Records that name the building machine because that is what they are for.
RECORDS = ("var/db/", "var/log/", "var/cache/", "var/tmp/", "tmp/", "run/")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptFinding(Finding):
    """A script cannot be run, or not by what the layer brings."""

    check: ClassVar[str] = "scripts"
    severity: ClassVar[Severity] = Severity.ERROR

    @property
    def description(self) -> str:
        """One line: the script, and what is the matter with its interpreter."""
        owner = f" ({self.package})" if self.package else ""
        return f"{self.path}: {self.actual}{owner}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InterpreterMissing(ScriptFinding):
    """The interpreter that a script's first line names lies in the prefix, and is not there.

    Starting the script fails with "no such file or directory", which names the script and not the interpreter. The package that
    brings the interpreter is missing from RDEPEND, or was updated and renamed it (python3.11 to python3.12). Build the script's
    package again, or install what it needs. Only executable files are looked at.
    """

    identifier: ClassVar[str] = "script-interpreter-missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class InterpreterOutside(ScriptFinding):
    """A script's first line names an interpreter of the host, and this layer's engine brings its own.

    The script runs in whatever version the host has, with the host's libraries, or not at all on a host that lacks it: the leak
    that a compatibility layer is there to prevent. Gentoo's prefix eclass rewrites such lines (``eprefixify``, ``hprefixify``);
    fix the ebuild.
    """

    identifier: ClassVar[str] = "script-interpreter-outside"


@dataclass(frozen=True, slots=True, kw_only=True)
class InterpreterUnusual(ScriptFinding):
    """A script's first line names an interpreter of the host that not every host has.

    The engine ``guest`` builds on the host, so a plain ``/bin/sh`` or ``/usr/bin/env`` is accepted. What lies elsewhere, such as
    ``/usr/local/bin``, is this machine's alone. Let the ebuild name the layer's own interpreter.
    """

    identifier: ClassVar[str] = "script-interpreter-unusual"
    severity: ClassVar[Severity] = Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class InterpreterRelative(ScriptFinding):
    """A script's first line names its interpreter without an absolute path.

    The kernel looks for it in the directory from which the script is started, so it works in one directory and nowhere else. A
    template that was not filled in (``@PERL@``) looks like this too. Fix the ebuild.
    """

    identifier: ClassVar[str] = "script-interpreter-relative"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLineTooLong(ScriptFinding):
    """A script's first line is longer than what the kernel reads of it: 256 bytes with the newline, 128 before Linux 5.1.

    The kernel then refuses to run it, or cuts the last argument off. The prefix is too long for the names below it, or the
    interpreter has many arguments. Shorten either, or let the script find its interpreter by ``env``.
    """

    identifier: ClassVar[str] = "script-line-too-long"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPathLeaked(Finding):
    """A file holds a path that existed only while the layer was built: the build directory, a temporary file, a home.

    It is at best dead weight and makes two builds differ; at worst a program looks for plugins, modules or configuration there,
    and whoever can create that path on a machine that runs the layer decides what it loads. Compilers leave it in ``__FILE__``
    and debug information (``-ffile-prefix-map``), configure scripts in what ``--version`` prints, libtool and pkg-config in their
    files. Fix it in the ebuild.
    """

    identifier: ClassVar[str] = "build-path-leaked"
    check: ClassVar[str] = "scripts"
    severity: ClassVar[Severity] = Severity.WARNING

    count: int = 1

    @property
    def description(self) -> str:
        """One line: the file, the path, whose it is."""
        owner = f" ({self.package})" if self.package else ""
        times = f", {self.count} times" if self.count > 1 else ""
        return f"{self.path}: holds the build path {self.actual}{times}{owner}"


class ScriptVisitor(Visitor):
    """Reads first lines, and looks for build paths in everything."""

    reads = True

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._prefix = context.prefix
        self._engine = context.engine
        self._resolver = Resolver(context.prefix_tree, context.prefix)
        self._leaks = Leaks(_build_paths(context))
        self._known: dict[str, bool] = {}

    def wants(self, seen: Seen) -> bool:
        return not seen.path.startswith(RECORDS)

    def content(self, seen: Seen, chunk: bytes, offset: int, *, is_last: bool) -> None:
        if not offset and chunk[:2] == b"#!" and seen.status.st_mode & 0o111:
            self._first_line(seen, chunk)
        self._leaks.feed(chunk, is_first=not offset, is_last=is_last)
        if is_last and (leak := self._leaks.found) is not None:
            self.found.append(
                BuildPathLeaked(
                    package=seen.package,
                    path=seen.path,
                    expected="no path of the building machine",
                    actual=leak,
                    count=self._leaks.count,
                    remedy="fix it in the ebuild, or build with -ffile-prefix-map",
                )
            )

    def _first_line(self, seen: Seen, chunk: bytes) -> None:
        line, newline, _ = chunk[:LINE_BYTES].partition(b"\n")
        words = line[2:].decode("utf-8", "surrogateescape").split(None, 1)
        interpreter = words[0] if words else ""
        if not newline and len(chunk) >= LINE_BYTES:
            actual = f"its first line is longer than {LINE_BYTES} bytes: #!{interpreter[:60]}…"
            self._report(FirstLineTooLong, seen, f"at most {LINE_BYTES} bytes", actual, "shorten the prefix or the arguments")
        elif not interpreter.startswith("/"):
            actual = f"its interpreter is no absolute path: #!{interpreter}"
            self._report(InterpreterRelative, seen, "an absolute path", actual, "fix it in the ebuild")
        elif (inside := within(interpreter, self._prefix)) is None:
            self._outside(seen, interpreter)
        else:
            self._inside(seen, interpreter, inside, words[1].split() if len(words) > 1 else [])

    def _outside(self, seen: Seen, interpreter: str) -> None:
        if self._engine is not EngineName.GUEST:
            actual = f"its interpreter is the host's: #!{interpreter}"
            self._report(InterpreterOutside, seen, "an interpreter of the layer", actual, "let the ebuild name the layer's own")
        elif interpreter not in PLAIN_HOST:
            actual = f"its interpreter is not on every host: #!{interpreter}"
            self._report(InterpreterUnusual, seen, "an interpreter of the layer, or a plain one", actual, "fix it in the ebuild")

    def _inside(self, seen: Seen, interpreter: str, inside: str, arguments: list[str]) -> None:
        if not self._is_program(inside):
            actual = f"its interpreter is missing: #!{interpreter}"
        elif PurePosixPath(inside).name == ENV and (program := _env_program(arguments)) and not self._is_found(program):
            actual = f"its interpreter is missing: #!{interpreter} {program}"
        else:
            return
        self._report(InterpreterMissing, seen, "an executable file in the layer", actual, "install it, or build the script again")

    def _is_found(self, program: str) -> bool:
        """Whether ``env`` finds a program in the layer; on a guest it may be the host's."""
        if "/" in program or self._engine is EngineName.GUEST:
            return True
        return any(self._is_program(f"{directory}/{program}") for directory in PROGRAM_DIRECTORIES)

    def _is_program(self, path: str) -> bool:
        known = self._known.get(path)
        if known is None:
            leads = self._resolver.follow(path)
            known = leads.where in (Where.OUTSIDE, Where.VARIANT)  # the check `links` has its say on these
            if leads.status is not None and leads.where is Where.INSIDE:
                known = stat.S_ISREG(leads.status.st_mode) and bool(leads.status.st_mode & 0o111)
            self._known[path] = known
        return known

    def _report(self, kind: type[ScriptFinding], seen: Seen, expected: str, actual: str, remedy: str) -> None:
        self.found.append(kind(package=seen.package, path=seen.path, expected=expected, actual=actual, remedy=remedy))


def _env_program(arguments: list[str]) -> str:
    """What ``env`` is to run: its first argument that is neither an option nor a variable."""
    return next((word for word in arguments if not word.startswith("-") and "=" not in word), "")


def _build_paths(context: Context) -> list[str]:
    """The directories not to be found: those of the context, and where the prefix is now, if that is not its home."""
    here = str(context.prefix_tree.absolute())
    paths = [str(path) for path in context.build_paths]
    if here != context.prefix and not here.endswith(context.prefix):
        paths.append(here)
    # Of a path that the prefix lies in, the prefix itself is no leak.
    return [path for path in paths if path != "/" and within(context.prefix, path) is None]


@check("scripts", visitor=ScriptVisitor)
def scripts(context: Context) -> Iterator[Finding]:
    """Interpreters exist and lie in the layer, and no path of the building machine is left in a file."""
    yield from context.in_order(context.pass_.reports("scripts"))
