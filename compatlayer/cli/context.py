"""What every verb shares: the global options, the declaration, the state directory, and where output goes.

The global options may stand before or after the verb; what stands after it wins.
"""

from __future__ import annotations

import logging
import platform
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import click

from compatlayer.cli import completion
from compatlayer.declaration.model import Layer, Target, Version
from compatlayer.errors import UsageError
from compatlayer.progress import Monitor
from compatlayer.report.formats import pick, to_json
from compatlayer.report.text import Paint

Command = TypeVar("Command", bound=Callable[..., Any])

STATE = ".compatlayer"


@dataclass(frozen=True, slots=True)
class Settings:
    """The global options as given."""

    layer: Path | None = None
    layer_version: str | None = None
    target: str | None = None
    all_targets: bool = False
    format: str = "text"
    state: Path | None = None
    verbose: int = 0
    quiet: bool = False
    no_progress: bool = False


_settings = Settings()


def error_format() -> str:
    """The format asked for, for errors that end the program."""
    return _settings.format


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    global _settings  # noqa: PLW0603  (one command line per process)
    source = context.get_parameter_source(str(parameter.name))
    if source is not None and source is not click.core.ParameterSource.DEFAULT:
        _settings = replace(_settings, **{str(parameter.name): value})
    return value


def global_options(command: Command) -> Command:
    """Give a command the global options; they are read through ``Session``."""
    path = click.Path(path_type=Path)
    options = [
        click.option("--layer", type=path, metavar="FILE", help="The declaration (default: layer.yaml here or above)."),
        click.option(
            "--layer-version",
            metavar="V",
            help="The version to work on (default: the newest live one).",
            shell_complete=completion.versions,
        ),
        click.option(
            "--target", metavar="T", help="The target to work on (default: this machine).", shell_complete=completion.targets
        ),
        click.option("--all-targets", is_flag=True, help="Every target of the layer."),
        click.option("--format", metavar="FORMAT", help="How results are printed: text, json, …", default="text"),
        click.option("--state", type=path, metavar="DIR", help=f"Where work is kept (default: {STATE} beside the layer)."),
        click.option("-v", "--verbose", count=True, help="Say more: each program that is run."),
        click.option("-q", "--quiet", is_flag=True, help="Only results and errors."),
        click.option("--no-progress", is_flag=True, help="Plain lines instead of a moving display."),
    ]
    for option in reversed(options):
        command = _shared(option)(command)
    return command


def _shared(option: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Make an option call ``_keep`` instead of being passed to the function."""

    def decorate(command: Command) -> Command:
        decorated = option(command)
        parameters = getattr(decorated, "__click_params__", None) or decorated.params  # type: ignore[attr-defined]
        parameters[-1].callback = _keep
        parameters[-1].expose_value = False
        return decorated

    return decorate


class Session:
    """One command's view of the world; everything is read when it is first asked for."""

    def __init__(self, formats: Collection[str] = ("text", "json")) -> None:
        """``formats`` are those the verb can print. Raises ``UsageError`` for any other, before anything is done."""
        pick(dict.fromkeys(formats), _settings.format)
        self.settings = _settings
        level = {0: logging.WARNING, 1: logging.INFO}.get(_settings.verbose, logging.DEBUG)
        logging.basicConfig(level=level, format="%(name)s: %(message)s", stream=sys.stderr)

    @cached_property
    def layer(self) -> Layer:
        """The declaration. Raises ``DeclarationError`` or ``UsageError``."""
        from compatlayer.declaration import load  # pydantic takes its time

        return load.load(self.settings.layer or load.find(Path.cwd()))

    @property
    def version(self) -> Version:
        """The version chosen by ``--layer-version``."""
        from compatlayer.selection import choose_version

        return choose_version(self.layer, self.settings.layer_version)

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets chosen: all, the named one, or this machine's."""
        from compatlayer.selection import choose_target

        if self.settings.all_targets:
            if self.settings.target:
                raise UsageError("--target and --all-targets exclude each other")
            return self.layer.targets
        return (choose_target(self.layer, self.settings.target or this_machine()),)

    @property
    def target(self) -> Target:
        """The one target to work on. Raises ``UsageError`` for ``--all-targets``."""
        if self.settings.all_targets:
            raise UsageError("this verb works on one target at a time", hint="name it with --target")
        return self.targets[0]

    @property
    def state(self) -> Path:
        """The state directory, absolute."""
        return (self.settings.state or self.layer.root / STATE).absolute()

    @property
    def paint(self) -> Paint:
        """Colours for standard output."""
        return Paint.on(sys.stdout)

    @property
    def error_paint(self) -> Paint:
        """Colours for standard error."""
        return Paint.on(sys.stderr)

    @contextmanager
    def monitor(self) -> Iterator[Monitor]:
        """A monitor for standard error that suits the terminal and the options; closed at the end of the block."""
        from compatlayer.report import monitors

        settings = self.settings
        monitor = monitors.choose(
            settings.format,
            sys.stderr,
            no_progress=settings.no_progress,
            quiet=settings.quiet,
            history=self.state / "durations.json",
        )
        try:
            yield monitor
        finally:
            monitor.close()

    def give(self, document: object, text: str) -> None:
        """A small result on standard output: ``document`` as JSON where that was asked for, else ``text``."""
        click.echo(to_json(document) if self.settings.format == "json" else text, nl=self.settings.format != "json")

    def say(self, text: str) -> None:
        """A sentence for a person, on standard error; not with ``--quiet``."""
        if not self.settings.quiet:
            click.echo(text, err=True)


def this_machine() -> str:
    """The target name of this machine, such as ``linux-x86_64``."""
    system = {"Darwin": "macos"}.get(platform.system(), platform.system().lower())
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    return f"{system}-{machine}"
