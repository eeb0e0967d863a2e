"""init: a new layer repository, from nothing or from what a site has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from compatlayer.cli.context import Session, global_options, this_machine
from compatlayer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compatlayer.errors import Mistake

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--from-eessi",
    "eessi",
    type=EXISTING,
    metavar="FILE",
    multiple=True,
    help="Take over EESSI's eessi_sets.yml, or the Ansible variables of a version (repeatable: both together).",
)
@click.option(
    "--from-prefix",
    "prefix",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="PATH",
    help="Adopt the Gentoo Prefix at PATH, with its own Portage.",
)
@global_options
def init(directory: Path, eessi: tuple[Path, ...], prefix: Path | None) -> int:
    """Make a layer repository in DIR, which must be empty or new.

    \b
    compatlayer init my-layer
    compatlayer init my-layer --from-eessi eessi_sets.yml --from-eessi vars/2025.06.yml
    compatlayer init my-layer --from-prefix /opt/gentoo
    """
    session = Session()
    if eessi and prefix:
        raise UsageError("--from-eessi and --from-prefix exclude each other", hint="make two layers, and compare them")
    if eessi:
        return _from_eessi(session, directory, eessi)
    if prefix:
        return _from_prefix(session, directory, prefix)
    return _fresh(session, directory)


def _fresh(session: Session, directory: Path) -> int:
    from compatlayer.declaration.model import TARGETS
    from compatlayer.takeover import scaffold

    wanted = session.settings.target or this_machine()
    if wanted not in TARGETS:
        raise UsageError(f"unknown target '{wanted}'", hint=f"known targets: {', '.join(TARGETS)}; name one with --target")
    targets = list(dict.fromkeys([wanted, *(["linux-x86_64", "linux-aarch64"] if not session.settings.target else [])]))
    layer = scaffold.fresh_layer(scaffold.layer_name(directory), targets)
    scaffold.write(directory, scaffold.files_of(layer, first_package=True))
    _next(session, directory, ["compatlayer check", "compatlayer install"])
    return 0


def _from_eessi(session: Session, directory: Path, files: Sequence[Path]) -> int:
    from compatlayer.takeover import from_eessi, scaffold

    taken = from_eessi.read_files(files)
    scaffold.write(directory, scaffold.files_of(taken.layer))
    _tell(session, taken.notes)
    packages = sum(len(one.entries) for version in taken.layer.versions for one in version.sets)
    session.say(f"taken over: {len(taken.layer.versions)} versions, {packages} packages, {len(taken.layer.targets)} targets")
    _next(session, directory, ["compatlayer check     # lists the packages that still need a reason"])
    return 0


def _from_prefix(session: Session, directory: Path, prefix: Path) -> int:
    from compatlayer.takeover import from_prefix

    adopted = from_prefix.adopt(prefix, directory)
    _tell(session, adopted.notes)
    session.say(f"adopted: {adopted.part}, {adopted.packages} packages, {adopted.declared} of them declared")
    _next(session, directory, ["compatlayer check     # lists the packages that still need a reason", "compatlayer plan"])
    return 0


def _tell(session: Session, notes: Sequence[Mistake]) -> None:
    for note in notes:
        session.say(f"note: {note}")


def _next(session: Session, directory: Path, commands: Sequence[str]) -> None:
    written = str(directory / "layer.yaml")
    session.give({"layer": written}, written)
    session.say("next:\n" + "".join(f"  {line}\n" for line in (f"cd {directory}", *commands)).rstrip("\n"))
