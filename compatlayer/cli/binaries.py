"""binaries list, verify, prune: the store of binary packages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compatlayer.cli.context import Session, global_options
from compatlayer.errors import UsageError

if TYPE_CHECKING:
    from compatlayer.binaries.store import Store

_STORE = click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)


@click.group()
def binaries() -> None:
    """What was built once, kept under a key of all that went in; `install` takes from it what fits."""


@binaries.command("list")
@_STORE
@global_options
def list_(store: Path | None) -> int:
    """List the packages of a STORE (default: that of layer.yaml), and who has signed each."""
    from compatlayer.binaries import upkeep
    from compatlayer.cli import stores
    from compatlayer.report import binaries as report

    session = Session()
    found = upkeep.inspect(_store(session, store), stores.trusted(session, None), files=False)
    sys.stdout.write(report.listed(found, session.settings.format, session.paint))
    return 0


@binaries.command()
@_STORE
@global_options
def verify(store: Path | None) -> int:
    """Check every signature and every file of a STORE (default: that of layer.yaml). Ends with 4 when something is damaged."""
    from compatlayer.binaries import upkeep
    from compatlayer.cli import stores
    from compatlayer.report import binaries as report

    session = Session()
    found = upkeep.inspect(_store(session, store), stores.trusted(session, None))
    sys.stdout.write(report.verified(found, session.settings.format, session.paint))
    return 0 if found.is_whole else 4


@binaries.command()
@click.option("--yes", is_flag=True, help="Delete; without this, only show what would be.")
@click.option("--keep", type=click.IntRange(1), metavar="N", help="Builds to keep of each package, for one prefix (default: 3).")
@_STORE
@global_options
def prune(yes: bool, keep: int | None, store: Path | None) -> int:
    """Delete from a STORE (default: that of layer.yaml) what newer builds have replaced, and what is damaged."""
    from compatlayer.binaries import upkeep
    from compatlayer.cli import stores
    from compatlayer.report import binaries as report

    session = Session()
    place = _store(session, store)
    found = upkeep.inspect(place, stores.trusted(session, None))
    gone = upkeep.superfluous(place.index(), keep or upkeep.KEEP)
    freed = upkeep.prune(place, found, gone) if yes else None
    sys.stdout.write(report.pruned(found, gone, freed, session.settings.format, session.paint))
    return 0


def _store(session: Session, directory: Path | None) -> Store:
    from compatlayer.binaries.store import Store

    if directory is not None:
        return Store(directory)
    declared = session.layer.binaries
    if declared is None or declared.path is None:
        raise UsageError(
            f"{session.layer.file.name} declares no store of binary packages",
            hint="name a directory, or add: binaries: {path: .compatlayer/binaries}",
        )
    return Store(session.layer.root / declared.path, str(declared.path))
