"""mirror fill, verify, serve, status, prune, export, import: the source files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compatlayer.cli.context import Session, global_options
from compatlayer.errors import CompatlayerError

if TYPE_CHECKING:
    from compatlayer.declaration.model import Target, Version
    from compatlayer.mirror.distfiles import Wants
    from compatlayer.mirror.fill import Options
    from compatlayer.mirror.store import Store
    from compatlayer.progress import Monitor
    from compatlayer.trees import Pin

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
    from compatlayer.mirror import fill as filling
    from compatlayer.mirror import tree_bundles
    from compatlayer.report import mirror as report

    session = Session()
    options = _options(session, directories)
    pace = replace(options.pace, per_host=per_host, tries=tries)
    patience = replace(options.patience, stall_s=stall, connect_s=min(stall, options.patience.connect_s), window_s=stall)
    options = replace(options, jobs=jobs, pace=pace, patience=patience)
    pins = _pins(session, _versions(session))
    with _store(session) as store, session.monitor() as monitor:
        # First: without its trees nothing can be resolved.
        tree_bundles.keep(store, pins, options, monitor)
        result = filling.fill(store, _wants(session, monitor), options, monitor)
    sys.stdout.write(report.filled(result, [pin.bundle for pin in pins], session.settings.format, session.paint))
    return 6 if result.missing else 0


@mirror.command()
@click.option("--repair", is_flag=True, help="Fetch what is damaged or lost, from any source.")
@click.option("-j", "--jobs", type=click.IntRange(1, 256), metavar="N", help="Files at once (default: processors).")
@global_options
def verify(repair: bool, jobs: int | None) -> int:
    """Hash every file again. What is not what it should be is put into quarantine.

    Ends with 6 when something was wrong and is not repaired.
    """
    from compatlayer.mirror import check
    from compatlayer.report import mirror as report

    session = Session()
    with _store(session) as store, session.monitor() as monitor:
        result = check.verify(store, monitor, jobs=jobs)
        if repair and result.damage:
            pins = _pins(session, _unretired(session))
            result = check.repair(store, result, pins, lambda: _wants(session, monitor), _options(session), monitor)
    sys.stdout.write(report.verified(result, session.settings.format, session.paint))
    return 0 if result.is_whole else 6


@mirror.command()
@click.option("--listen", metavar="ADDRESS:PORT", help="Where to listen (default: 127.0.0.1:8085).")
@click.option("--print-config", is_flag=True, help="Print nginx's configuration, for a site to deploy, and do not start it.")
@global_options
def serve(listen: str | None, print_config: bool) -> int:
    """Serve the mirror with nginx, in the foreground, until Ctrl-C.

    A store with files that nobody has verified is not served.
    """
    from compatlayer.mirror import serve as serving
    from compatlayer.report.text import count

    session = Session()
    server = serving.Server(session.state / "mirror", listen or serving.LISTEN)
    if print_config:
        sys.stdout.write(server.configuration())
        return 0

    def announce(files: int) -> None:
        session.say(f"serving {count(files, 'file')} of {server.store} at http://{server.listen}/distfiles/; Ctrl-C ends it")
        sys.stderr.flush()

    with _store(session) as store:
        serving.serve(store, server, announce)
    return 0


@mirror.command()
@click.option("--probe", is_flag=True, help="Ask upstream for every file, to find those that only we still have.")
@global_options
def status(probe: bool) -> int:
    """Show what is missing, what only we still have, and what nobody needs any more. Ends with 6 when something is missing."""
    from compatlayer.mirror import published
    from compatlayer.mirror import status as looking
    from compatlayer.report import mirror as report

    session = Session()
    wants = _everything(session)
    with _store(session) as store:
        if probe:
            options = _options(session)
            looking.probe(store, wants, options.names, options.patience)
        try:
            revisions = published.hold(store.index, session.layer, session.state)
        except CompatlayerError as error:
            revisions = {}
            session.say(f"warning: {error}")
        result = looking.look(store, wants, pins=_pins(session, _unretired(session)), revisions=revisions)
    sys.stdout.write(report.status(result, session.settings.format, session.paint))
    return 6 if result.missing or result.trees.missing else 0


@mirror.command()
@click.option("--yes", is_flag=True, help="Delete; without this, only show what would be.")
@click.option("--grace", type=click.IntRange(0), metavar="DAYS", help="Keep what was needed within this time (default: 30 days).")
@global_options
def prune(yes: bool, grace: int | None) -> int:
    """Delete files that no declared version and no published revision has needed for a while."""
    from compatlayer.mirror import published
    from compatlayer.mirror import status as looking
    from compatlayer.report import mirror as report

    session = Session()
    wants = _everything(session)
    with _store(session) as store:
        revisions = published.hold(store.index, session.layer, session.state)
        pins = _pins(session, _unretired(session))
        found = looking.look(
            store, wants, pins=pins, revisions=revisions, grace_days=looking.GRACE_DAYS if grace is None else grace
        )
        freed = looking.prune(store, found) if yes else None
    sys.stdout.write(report.pruned(found, freed, session.settings.format, session.paint))
    return 0


@mirror.command("export")
@click.argument("file", type=_FILE)
@click.option("--restricted", is_flag=True, help="Take along what RESTRICT keeps off mirrors; the bundle is then for you alone.")
@global_options
def export_(file: Path, restricted: bool) -> int:
    """Write the mirror to one file, with its own checksums, for a site without a network."""
    from compatlayer.mirror import bundle
    from compatlayer.report import mirror as report

    session = Session()
    with _store(session) as store, session.monitor() as monitor:
        carried = bundle.export_bundle(store, file, monitor, restricted=restricted)
    sys.stdout.write(report.carried("exported", carried, session.settings.format, session.paint))
    return 0


@mirror.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@global_options
def import_(file: Path) -> int:
    """Take a bundle's files into the mirror: all of them, or none when anything about it is wrong."""
    from compatlayer.mirror import bundle
    from compatlayer.report import mirror as report

    session = Session()
    with _store(session) as store, session.monitor() as monitor:
        carried = bundle.import_bundle(store, file, monitor)
    sys.stdout.write(report.carried("imported", carried, session.settings.format, session.paint))
    return 0


def _store(session: Session) -> Store:
    from compatlayer.mirror.store import Store

    return Store(session.state / "mirror")


def _wants(session: Session, monitor: Monitor) -> Wants:
    """What the chosen versions need on the chosen targets: unless narrowed, all live versions on all targets."""
    from compatlayer.mirror import distfiles

    return distfiles.of_layer(session.layer, _versions(session), _targets(session), session.state, monitor)


def _everything(session: Session) -> Wants:
    """What every version needs that is not retired, on all targets, whatever the options narrow: the ground for deleting."""
    from compatlayer.mirror import distfiles

    return distfiles.of_layer(session.layer, _unretired(session), session.layer.targets, session.state)


def _unretired(session: Session) -> list[Version]:
    return [version for version in session.layer.versions if version.status != "retired"]


def _pins(session: Session, versions: Sequence[Version]) -> list[Pin]:
    """The ebuild trees that are declared by URL and commit; local ones travel with the declaration."""
    from compatlayer import trees

    repositories = [repository for version in versions for repository in version.repositories]
    return list(dict.fromkeys(pin for one in repositories if (pin := trees.pin(one, session.state)) is not None))


def _versions(session: Session) -> Sequence[Version]:
    if session.settings.layer_version:
        return [session.version]
    return [version for version in session.layer.versions if version.status == "live"] or [session.version]


def _targets(session: Session) -> Sequence[Target]:
    return session.targets if session.settings.target or session.settings.all_targets else session.layer.targets


def _options(session: Session, directories: Sequence[Path] = ()) -> Options:
    from compatlayer.mirror import names
    from compatlayer.mirror.fill import Options

    return Options(names=names.resolve(session.layer.mirrors), directories=tuple(directories))
