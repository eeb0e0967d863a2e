"""mirror fill, verify, serve, status, prune, export, import: the source files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compatlayer.cli.context import Session, global_options

if TYPE_CHECKING:
    from compatlayer.declaration.model import Target, Version
    from compatlayer.mirror.distfiles import Wants
    from compatlayer.mirror.fill import Options
    from compatlayer.mirror.store import Store

_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def mirror() -> None:
    """Every source file of the layer, verified and kept, so that it can be built again without anybody's help."""


@mirror.command()
@click.option("--from", "directories", type=_DIRECTORY, multiple=True, metavar="DIR", help="Look into this directory first.")
@click.option("-j", "--jobs", type=click.IntRange(1, 64), default=8, show_default=True, help="Files at once.")
@click.option("--per-host", type=click.IntRange(1, 64), default=4, show_default=True, help="Of these, from one host at once.")
@click.option("--tries", type=click.IntRange(1, 20), default=4, show_default=True, help="Attempts with each source.")
@click.option("--stall", type=click.FloatRange(0.1, 3600), default=30.0, show_default=True, help="Seconds without a byte.")
@global_options
def fill(directories: tuple[Path, ...], jobs: int, per_host: int, tries: int, stall: float) -> int:
    """Fetch every source file that the live versions need, on all targets, build dependencies included.

    Narrow it with --layer-version and --target. Can be stopped at any time and started again.
    """
    from compatlayer.mirror import fill as filling  # noqa: PLC0415
    from compatlayer.report import mirror as report  # noqa: PLC0415

    session = Session()
    wants = _wants(session)
    options = _options(session, directories)
    pace = replace(options.pace, per_host=per_host, tries=tries)
    patience = replace(options.patience, stall_s=stall, connect_s=min(stall, options.patience.connect_s), window_s=stall)
    with _store(session) as store, session.monitor() as monitor:
        result = filling.fill(store, wants, replace(options, jobs=jobs, pace=pace, patience=patience), monitor)
    sys.stdout.write(report.filled(result, session.settings.format, session.paint))
    return 6 if result.missing else 0


def _store(session: Session) -> Store:
    from compatlayer.mirror.store import Store  # noqa: PLC0415

    return Store(session.state / "mirror")


def _wants(session: Session) -> Wants:
    """What the chosen versions need on the chosen targets: unless narrowed, all live versions on all targets."""
    from compatlayer.mirror import distfiles  # noqa: PLC0415

    return distfiles.of_layer(session.layer, _versions(session), _targets(session), session.state)


def _versions(session: Session) -> Sequence[Version]:
    if session.settings.layer_version:
        return [session.version]
    return [version for version in session.layer.versions if version.status == "live"] or [session.version]


def _targets(session: Session) -> Sequence[Target]:
    return session.targets if session.settings.target or session.settings.all_targets else session.layer.targets


def _options(session: Session, directories: Sequence[Path] = ()) -> Options:
    from compatlayer.mirror import names  # noqa: PLC0415
    from compatlayer.mirror.fill import Options  # noqa: PLC0415

    return Options(names=names.resolve(session.layer.mirrors), directories=tuple(directories))
