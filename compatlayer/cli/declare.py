"""check, sets render, schema: the declaration, before anything is built."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from compatlayer.cli.context import Session, global_options
from compatlayer.declaration.model import Target, Version

FINDINGS = 4


@click.command()
@global_options
def check() -> int:
    """Check the declaration, and everything that can be resolved from it, for all targets.

    Every mistake is reported at once, each with its file and line. Nothing is built or written.
    """
    from compatlayer.checkup import check_layer
    from compatlayer.findings import Severity
    from compatlayer.report import findings as report

    session = Session(report.renderers())
    layer = session.layer
    found = check_layer(layer, session.state, versions=_chosen_versions(session), targets=_chosen_targets(session))
    sys.stdout.write(report.render(found, session.settings.format, session.paint))
    return FINDINGS if any(finding.severity >= Severity.ERROR for finding in found) else 0


@click.group()
def sets() -> None:
    """Render the package sets for Portage."""


@sets.command()
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Where to write (default: the overlay).")
@global_options
def render(output: Path | None) -> int:
    """Write the files <set>-<target>, one atom a line, and the overlay's sets.conf.

    Of all versions and targets, unless --layer-version, --target narrow it.
    """
    from compatlayer.declaration import sets as rendering

    session = Session()
    narrowed = session.settings.layer_version or session.settings.target
    if narrowed or output is not None:
        directory = output or rendering.default_directory(session.layer)
        wanted = rendering.render(session.layer, _chosen_versions(session), _chosen_targets(session))
        written = rendering.write(directory, wanted, remove_leftovers=not narrowed)
    else:
        directory = rendering.default_directory(session.layer)
        written = rendering.write_layer(session.layer)
    changed = [str(directory / name) for name in written.changed]
    removed = [str(directory / name) for name in written.removed]
    lines = [*changed, *(f"{path} removed" for path in removed)]
    if lines or session.settings.format == "json":
        session.give({"written": changed, "removed": removed, "unchanged": written.unchanged}, "\n".join(lines))
    session.say(f"{len(written.changed)} written, {len(written.removed)} removed, {written.unchanged} unchanged")
    return 0


@click.command()
@click.argument("document", type=click.Choice(["layer", "set"]), default="layer")
@global_options
def schema(document: str) -> int:
    """Print the JSON Schema of layer.yaml, or of a set file, for editors."""
    from compatlayer.declaration.schema import layer_schema, set_schema
    from compatlayer.report.formats import to_json

    Session()  # it has no other format than JSON, and refuses an unknown one as every verb does
    sys.stdout.write(to_json(layer_schema() if document == "layer" else set_schema()))
    return 0


def _chosen_versions(session: Session) -> Sequence[Version]:
    return (session.version,) if session.settings.layer_version else session.layer.versions


def _chosen_targets(session: Session) -> Sequence[Target]:
    return session.targets if session.settings.target else session.layer.targets
