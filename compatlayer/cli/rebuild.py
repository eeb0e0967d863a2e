"""rebuild: does the same declaration give the same bits, whoever builds it?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compatlayer.cli.context import Session, global_options
from compatlayer.errors import UsageError

if TYPE_CHECKING:
    from compatlayer.rebuild.sequence import First

FINDINGS = 4


@click.command()
@click.option("--compare", "_comparing", is_flag=True, help="Compare the two builds, which is what happens anyway.")
@click.option(
    "--revision", metavar="R", help="Compare with a published revision instead of the stage: NUMBER, TAG, production:TAG, …"
)
@click.option("--compare-with", metavar="DIR|R", help="Build nothing: compare with this directory or revision.")
@click.option(
    "--scratch",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Build below DIR, best on another file system (default: below the state directory).",
)
@click.option("--keep", is_flag=True, help="Keep the second build with its logs, until the next one.")
@click.option("--offline", is_flag=True, help="Build without network: every source file comes from the mirror.")
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 1024), metavar="N", help="Packages at once (default: processors, and one more)."
)
@global_options
def rebuild(
    _comparing: bool,
    revision: str | None,
    compare_with: str | None,
    scratch: Path | None,
    keep: bool,
    offline: bool,
    jobs: int | None,
) -> int:
    """Build the part a second time, from source, as another user on another host, and name every file that differs.

    The second build has a state directory, HOME, host name, user, umask, time zone, locale, build directory and number of jobs of
    its own; sources come from the mirror, and no binary package is used. What differs is told with its package and its cause, by
    diffoscope as well where that is installed.

    Exit code 4 when anything differs.
    """
    from compatlayer.rebuild import sequence
    from compatlayer.report import rebuild as report

    session = Session(report.RENDERERS)
    if compare_with and (scratch or keep or offline or jobs):
        raise UsageError("--compare-with builds nothing", hint="leave --scratch, --keep, --offline and --jobs out")
    first = _first(session, revision)
    with session.monitor() as monitor:
        if compare_with:
            part = session.layer.part(session.version, session.target)
            done = sequence.compare_with(part, session.state, first, _other(session, compare_with), monitor)
        else:
            options = sequence.Options(scratch, jobs, offline, keep, session.settings.quiet)
            done = sequence.rebuild(session.layer, session.version, session.target, session.state, first, options, monitor)
    sys.stdout.write(report.render(done, session.settings.format, session.paint))
    return 0 if done.comparison.is_equal else FINDINGS


def _first(session: Session, revision: str | None) -> First:
    from compatlayer.rebuild.sequence import First

    if revision is None:
        return First("the stage")
    from compatlayer.cli.repositories import Places

    return First(f"revision {revision}", Places(session).tree(revision))


def _other(session: Session, name: str) -> tuple[str, Path]:
    """The tree that ``--compare-with`` means: a directory of that name wins over a revision."""
    if Path(name).is_dir():
        return name, Path(name).absolute()
    from compatlayer.cli.repositories import Places

    return f"revision {name}", Places(session).tree(name)
