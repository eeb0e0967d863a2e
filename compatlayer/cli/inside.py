"""enter: a shell or a command inside the layer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from compatlayer.cli.context import Session, global_options
from compatlayer.cli.shown import shown


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--writable",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    multiple=True,
    help="A directory of this machine that may be written (repeatable); everything else is read-only.",
)
@click.option("--revision", metavar="R", help="A published revision instead of the stage: NUMBER, TAG, production:TAG, …")
@global_options
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def enter(writable: tuple[Path, ...], revision: str | None, command: tuple[str, ...]) -> int:
    """Run COMMAND, or a login shell, inside the layer, at the path where it will live.

    \b
    compatlayer enter
    compatlayer enter -- bash -lc 'module avail'
    compatlayer enter --revision production

    The layer and this machine are read-only inside, /tmp is empty and is HOME; the exit code is the command's own.
    """
    from compatlayer import entering, process

    session = Session()
    part = session.layer.part(session.version, session.target)
    interactive = sys.stdin.isatty()
    view = entering.view_of(shown(session, part, revision), writable=writable, interactive=interactive)
    view.check()
    sys.stdout.flush()
    sys.stderr.flush()
    process.become(view.command(command or ("bash", "-l")), env=entering.environment(part, os.environ, writable))
