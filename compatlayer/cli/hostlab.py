"""hostlab: the acceptance tests under synthetic hosts."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from compatlayer.cli.context import Session, global_options
from compatlayer.cli.shown import shown
from compatlayer.errors import UsageError

FINDINGS = 4


@click.command()
@click.option("--revision", metavar="R", help="A published revision instead of the stage: NUMBER, TAG, production:TAG, …")
@click.option("-k", "select", metavar="EXPRESSION", help="Only tests whose names match, as pytest -k.")
@click.option("--package", "packages", metavar="NAME", multiple=True, help="Only tests about this package (repeatable).")
@click.option("--junit", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Write a JUnit report per host.")
@click.option("--list", "list_hosts", is_flag=True, help="List the hosts.")
@global_options
@click.argument("names", metavar="[HOST]...", nargs=-1)
def hostlab(
    revision: str | None,
    select: str | None,
    packages: tuple[str, ...],
    junit: Path | None,
    list_hosts: bool,
    names: tuple[str, ...],
) -> int:
    """Run the layer's acceptance tests under synthetic hosts: all of them, or those named.

    Each host is a root file system made on the spot, with the layer at its prefix and one thing that goes wrong on real hosts.
    A site adds its own as tests/hosts/NAME.yaml. Exit code 4 when the layer fails under one.
    """
    from compatlayer import acceptance
    from compatlayer.hostlab import description, laboratory
    from compatlayer.report import hostlab as report

    session = Session(report.RENDERERS)
    hosts = description.choose(description.load(session.layer.root), names)
    if list_hosts:
        session.give({host.name: host.description for host in hosts}, report.listing(hosts))
        return 0
    part = session.layer.part(session.version, session.target)
    found = shown(session, part, revision)
    which = acceptance.Selected(select, packages)
    if junit:
        junit.mkdir(parents=True, exist_ok=True)
    trials = []
    for trial in laboratory.try_hosts(session.layer.root, found, hosts, which, junit=junit.absolute() if junit else None):
        trials.append(trial)
        if session.settings.format == "text":
            sys.stdout.write(report.line(trial, session.paint))
            sys.stdout.flush()
    sys.stdout.write(report.render(trials, session.settings.format, session.paint))
    if not any(trial.tests for trial in trials):
        raise UsageError("no test was run", hint="; ".join(dict.fromkeys(trial.why for trial in trials if trial.why)) or None)
    return FINDINGS if any(trial.verdict is laboratory.Verdict.FAILED for trial in trials) else 0
