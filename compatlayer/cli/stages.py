"""stage list, diff, drop: local changes and what they would publish."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from compatlayer.cli.context import Session, global_options
from compatlayer.errors import StageError, UsageError

if TYPE_CHECKING:
    from compatlayer.stage import Stage


@click.group()
def stage() -> None:
    """Local changes: list them, see what they would publish, drop them."""


@stage.command("list")
@global_options
def list_stages() -> int:
    """List every stage below the state directory, and who works on it."""
    from compatlayer import stage as staging
    from compatlayer.report import stages as report

    session = Session()
    found = [(one, one.holder()) for one in staging.stages(session.state)]
    sys.stdout.write(report.render(found, session.settings.format, session.paint))
    return 0


@stage.command()
@global_options
def diff() -> int:
    """Show what the stage changes: the paths that publishing it would put, replace and delete."""
    from compatlayer.report import changes as report
    from compatlayer.tree.rows import rows

    session = Session(report.RENDERERS)
    one = _stage(session)
    found = rows(one.changes(), one.upper, one.lower)
    sys.stdout.write(report.render(found, session.settings.format, session.paint))
    return 0


@stage.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@global_options
def drop(yes: bool) -> int:
    """Delete the stage with everything that was built in it."""
    from compatlayer import stage as staging

    session = Session()
    one = _stage(session)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("dropping a stage needs a person's yes", hint="say --yes")
        click.confirm(f"Delete {one.directory} and everything built in it?", abort=True, err=True)
    staging.drop(one)
    session.say(f"dropped the stage of {one.part}")
    return 0


def _stage(session: Session) -> Stage:
    from compatlayer import stage as staging

    part = session.layer.part(session.version, session.target)
    found = staging.find_stage(session.state, part)
    if found is None:
        raise StageError(f"there is no stage of {part}", hint="begin one: compatlayer install")
    return found
