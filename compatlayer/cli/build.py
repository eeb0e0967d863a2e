"""plan and install: what would change, and making it so."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from compatlayer.cli.context import Session, global_options
from compatlayer.errors import UsageError

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@global_options
def plan() -> int:
    """Show what would be installed, upgraded, rebuilt or is no longer needed, and why.

    Changes nothing. `compatlayer install` carries out exactly this.
    """
    from compatlayer import install as installing
    from compatlayer.report import plans

    session = Session(plans.RENDERERS)
    found = {
        target.name: installing.prepare(session.layer, session.version, target, session.state).plan for target in session.targets
    }
    if session.settings.all_targets:
        sys.stdout.write(plans.render_all(found, session.settings.format, session.paint))
    else:
        sys.stdout.writelines(plans.render(one, session.settings.format, session.paint) for one in found.values())
    return 0


@click.command()
@click.option(
    "--over", metavar="REVISION|DIR", help="Begin the stage on this published revision (test, 3, TAG), or on a directory."
)
@click.option("--offline", is_flag=True, help="Build with the network cut.")
@click.option("--full", is_flag=True, help="Run every role, even if nothing seems to have changed.")
@click.option("--remove-unneeded", is_flag=True, help="Remove packages that nothing needs any more.")
@click.option("--no-bind", is_flag=True, help="Build straight into the prefix, which must be writable here.")
@click.option("--binaries", multiple=True, metavar="DIR|URL", help="Take binary packages from this store as well (repeatable).")
@click.option("--no-binaries", is_flag=True, help="Build everything from source, and store nothing.")
@click.option(
    "--key",
    type=_FILE,
    metavar="FILE",
    help="The private key to sign what is stored (default: $COMPATLAYER_SIGNING_KEY, or our own).",
)
@click.option("-j", "--jobs", type=click.IntRange(1, 1024), metavar="N", help="Packages at once (default: processors).")
# For `rebuild`, which finds out this way which packages remember where they were built.
@click.option("--build-at", metavar="NAME", default="build", hidden=True)
@global_options
def install(
    over: str | None,
    offline: bool,
    full: bool,
    remove_unneeded: bool,
    no_bind: bool,
    binaries: tuple[str, ...],
    no_binaries: bool,
    key: Path | None,
    jobs: int | None,
    build_at: str,
) -> int:
    """Converge the stage to the declaration.

    Can be stopped at any time and started again; a second run finds nothing to do.
    """
    from compatlayer import install as installing
    from compatlayer.cli import stores
    from compatlayer.report import results

    session = Session(results.RENDERERS)
    if binaries and no_binaries:
        raise UsageError("--binaries and --no-binaries exclude each other")
    lower, base = _standing_on(session, over) if over else (None, None)
    options = installing.Options(
        over=lower,
        base=base,
        offline=offline,
        full=full,
        remove_unneeded=remove_unneeded,
        bind=not no_bind,
        jobs=jobs,
        stores=None if no_binaries else stores.of(session, binaries, key),
        build_at=build_at,
    )
    with session.monitor() as monitor:
        result = installing.install(session.layer, session.version, session.target, session.state, options, monitor)
    sys.stdout.write(results.render(result, session.settings.format, session.paint))
    return 0


def _standing_on(session: Session, over: str) -> tuple[Path, str]:
    """The directory that a stage is to stand on, and what it is called: a directory of that name wins over a revision."""
    if Path(over).is_dir():
        return Path(over), str(Path(over).absolute())
    from compatlayer.cli.repositories import Places
    from compatlayer.publish import base_name

    places = Places(session)
    repository, revision = places.revision(over)
    return repository.tree(revision, places.part), base_name(repository, revision)
