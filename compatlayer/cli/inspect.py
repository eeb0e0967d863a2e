"""verify and test: is the layer what was declared, and does it work?"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from compatlayer.cli.context import Session, global_options
from compatlayer.errors import UsageError

FINDINGS = 4


@click.command()
@click.option("--check", "checks", metavar="NAME", multiple=True, help="Only this check (repeatable).")
@click.option("--explain", metavar="ID", help="Print what a finding means, and what to do about it.")
@click.option("--list", "list_checks", is_flag=True, help="List the checks.")
@global_options
def verify(checks: tuple[str, ...], explain: str | None, list_checks: bool) -> int:
    """Compare what is installed in the stage with what is declared. Nothing in the layer is run.

    Exit code 4 when something is wrong; a warning or a note alone does not count.
    """
    from compatlayer import verifying  # noqa: PLC0415
    from compatlayer.findings import Severity  # noqa: PLC0415
    from compatlayer.report import findings as report  # noqa: PLC0415
    from compatlayer.verify import registry  # noqa: PLC0415

    if list_checks:
        for one in registry.all_checks().values():
            click.echo(f"{one.name:12} {one.summary}")
        return 0
    if explain:
        click.echo(_explanation(explain))
        return 0
    session = Session()
    context = verifying.context(session.layer, session.version, session.target, session.state)
    found = list(registry.findings(context, checks or None))
    sys.stdout.write(report.render(found, session.settings.format, session.paint))
    if session.settings.format == "text":
        session.say(f"{context.part}: {len(context.inventory)} packages looked at")
    return FINDINGS if any(finding.severity >= Severity.ERROR for finding in found) else 0


@click.command()
@click.option("-k", "select", metavar="EXPRESSION", help="Only tests whose names match, as pytest -k.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write a JUnit report.")
@global_options
def test(select: str | None, junit: Path | None) -> int:
    """Run the layer's acceptance tests (tests/layer/ beside layer.yaml) inside the layer.

    Exit code 4 when one fails.
    """
    from compatlayer import acceptance, entering  # noqa: PLC0415

    session = Session()
    part = session.layer.part(session.version, session.target)
    view = entering.stage_view(session.state, part)
    view.check()
    sys.stdout.flush()
    code = acceptance.run(
        session.layer.root,
        part,
        view,
        entering.environment(part, os.environ),
        select=select,
        junit=junit.absolute() if junit else None,
        quiet=session.settings.quiet,
    )
    if code == acceptance.NO_TESTS:
        raise UsageError("no acceptance test was selected", hint="compatlayer test -k takes an expression, as pytest does")
    return 0 if code == acceptance.PASSED else FINDINGS


def _explanation(identifier: str) -> str:
    import difflib  # noqa: PLC0415

    from compatlayer.findings import registered  # noqa: PLC0415
    from compatlayer.verify import registry  # noqa: PLC0415

    registry.all_checks()
    known = registered()
    if identifier not in known:
        near = difflib.get_close_matches(identifier, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}"
        raise UsageError(f"there is no finding named '{identifier}'", hint=hint)
    kind = known[identifier]
    return f"{identifier} ({kind.severity.label}, check {kind.check})\n\n{kind.explanation()}"
