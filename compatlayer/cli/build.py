"""plan and install: what would change, and making it so."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from compatlayer.cli.context import Session, global_options


@click.command()
@global_options
def plan() -> int:
    """Show what would be installed, upgraded, rebuilt or is no longer needed, and why.

    Changes nothing. `compatlayer install` carries out exactly this.
    """
    from compatlayer import install as installing  # noqa: PLC0415
    from compatlayer.report import plans  # noqa: PLC0415

    session = Session()
    found = {
        target.name: installing.prepare(session.layer, session.version, target, session.state).plan for target in session.targets
    }
    if session.settings.all_targets:
        sys.stdout.write(plans.render_all(found, session.settings.format, session.paint))
    else:
        sys.stdout.writelines(plans.render(one, session.settings.format, session.paint) for one in found.values())
    return 0


@click.command()
@click.option("--over", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR", help="Stand on this tree.")
@click.option("--offline", is_flag=True, help="Build with the network cut.")
@click.option("--full", is_flag=True, help="Run every role, even if nothing seems to have changed.")
@click.option("--remove-unneeded", is_flag=True, help="Remove packages that nothing needs any more.")
@click.option("--no-bind", is_flag=True, help="Build straight into the prefix, which must be writable here.")
@click.option("-j", "--jobs", type=click.IntRange(1, 1024), metavar="N", help="Packages at once (default: processors).")
@global_options
def install(over: Path | None, offline: bool, full: bool, remove_unneeded: bool, no_bind: bool, jobs: int | None) -> int:
    """Converge the stage to the declaration.

    Can be stopped at any time and started again; a second run finds nothing to do.
    """
    from compatlayer import install as installing  # noqa: PLC0415
    from compatlayer.report import results  # noqa: PLC0415

    session = Session()
    options = installing.Options(
        over=over, offline=offline, full=full, remove_unneeded=remove_unneeded, bind=not no_bind, jobs=jobs
    )
    with session.monitor() as monitor:
        result = installing.install(session.layer, session.version, session.target, session.state, options, monitor)
    sys.stdout.write(results.render(result, session.settings.format, session.paint))
    return 0
