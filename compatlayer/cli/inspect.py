"""verify and test: is the layer what was declared, and does it work?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compatlayer.cli import completion
from compatlayer.cli.context import Session, global_options
from compatlayer.cli.shown import shown
from compatlayer.errors import UsageError

if TYPE_CHECKING:
    from compatlayer.baseline import Baseline
    from compatlayer.declaration.model import Part
    from compatlayer.entering import Entrance
    from compatlayer.findings import Finding
    from compatlayer.report.findings import Account
    from compatlayer.verify.registry import Context, Selected
    from compatlayer.verifying import Places

FINDINGS = 4
_SELECTING = '-k takes an expression, as pytest does; --package wants tests marked @pytest.mark.package("category/name")'


@click.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--revision", metavar="R", help="A published revision instead of the stage: NUMBER, TAG, production:TAG, …")
@click.option(
    "--check",
    "checks",
    metavar="NAME",
    multiple=True,
    help="Only this check (repeatable).",
    shell_complete=completion.checks,
)
@click.option("--quick", is_flag=True, help="Do not read again what has not changed since the last full verify.")
@click.option(
    "--baseline", type=click.Path(path_type=Path), metavar="FILE", help="Accept the findings in FILE; fail on new ones."
)
@click.option("--write-baseline", type=click.Path(path_type=Path), metavar="FILE", help="Accept what is found now, in FILE.")
@click.option(
    "--explain", metavar="ID", help="Print what a finding means, and what to do about it.", shell_complete=completion.findings
)
@click.option("--list", "list_checks", is_flag=True, help="List the checks.")
@global_options
def verify(
    path: Path | None,
    revision: str | None,
    checks: tuple[str, ...],
    quick: bool,
    baseline: Path | None,
    write_baseline: Path | None,
    explain: str | None,
    list_checks: bool,
) -> int:
    """Compare what is installed in the stage with what is declared, and look at every file. Nothing in the layer is run.

    With PATH, any prefix, also one that other tools made: what needs a declaration is then left out, and the verdict says so.
    Formats: text, json, markdown, junit, sarif, github.

    Exit code 4 when something is wrong; a warning or a note alone does not count.
    """
    from compatlayer.report import findings as report

    session = Session(report.renderers())
    if list_checks:
        from compatlayer.verify import registry

        summaries = {one.name: one.summary for one in registry.all_checks().values()}
        session.give(summaries, "\n".join(f"{name:12} {summary}" for name, summary in summaries.items()))
        return 0
    if explain:
        explanation = _explanation(explain)
        session.give({"id": explain, "explanation": explanation}, _folded(explanation))
        return 0
    if path is not None and revision is not None:
        raise UsageError("PATH and --revision exclude each other")
    if checks:
        from compatlayer.verify import registry

        registry.refuse_unknown(checks)
    with _subject(session, path, revision, quick=quick) as subject:
        return subject.verify(checks, baseline, write_baseline)


@contextmanager
def _subject(session: Session, path: Path | None, revision: str | None, *, quick: bool) -> Iterator[_Subject]:
    """What is to be verified, and where it is declared."""
    from dataclasses import replace

    from compatlayer import verifying

    if path is not None:
        yield _Subject(session, verifying.of_prefix(path), None)
        return
    layer, version, target = session.layer, session.version, session.target
    places = verifying.Places(layer, version, target)
    if revision is not None:
        from compatlayer.cli.repositories import Places

        repository, found = Places(session).revision(revision)
        part = layer.part(version, target)
        with repository.read(found, part) as tree:
            manifest = repository.manifest(found, part)
            yield _Subject(session, verifying.of_revision(layer, version, target, session.state, tree, manifest), places)
        return
    with verifying.of_stage(layer, version, target, session.state) as context:
        yield _Subject(session, replace(context, quick=quick), places)


class _Subject:
    """One verification, from the checks to the exit code."""

    def __init__(self, session: Session, context: Context, places: Places | None) -> None:
        self._session = session
        self._context = context
        self._places = places

    def verify(self, checks: tuple[str, ...], baseline: Path | None, write_baseline: Path | None) -> int:
        """Print the verdict while it is made; returns the exit code."""
        from dataclasses import replace

        from compatlayer import baseline as baselines
        from compatlayer.findings import Severity, registered
        from compatlayer.report import findings as report
        from compatlayer.verify import registry

        accepted = baselines.read(baseline) if baseline else baselines.Baseline()
        context = replace(self._context, reading=self._context.begin())
        chosen = registry.select(context, checks or None)
        every: list[Finding] = []
        fails = False

        def new() -> Iterator[Finding]:
            nonlocal fails
            found: Iterator[Finding] = _kept(registry.findings(context, checks or None), every)
            for finding in self._places.located(accepted.new(found)) if self._places else accepted.new(found):
                fails = fails or finding.severity >= Severity.ERROR
                yield finding

        def account() -> report.Account:
            return self._account(context, chosen, accepted, registered())

        for piece in report.stream(new(), self._session.settings.format, self._session.paint, account):
            sys.stdout.write(piece)
            sys.stdout.flush()
        if write_baseline:
            number = baselines.write(write_baseline, every)
            self._session.say(f"{write_baseline}: {number} findings accepted")
            return 0
        return FINDINGS if fails else 0

    def _account(self, context: Context, chosen: Selected, accepted: Baseline, kinds: dict[str, type[Finding]]) -> Account:
        from compatlayer import verifying
        from compatlayer.report.findings import Account

        run = tuple(one.name for one in chosen.run)
        reads = any(one.visitor for one in chosen.run)
        statistics = context.pass_.statistics if reads else None
        return Account(
            layer=verifying.describe(context),
            checks=run,
            left_out={one.name: verifying.NO_DECLARATION for one in chosen.left_out},
            packages=len(context.inventory),
            entries=statistics.entries if statistics else 0,
            files_read=statistics.files_read if statistics else 0,
            bytes_read=statistics.bytes_read if statistics else 0,
            files_trusted=statistics.files_trusted if statistics else 0,
            accepted=accepted.matched,
            gone=tuple(accepted.gone(run, kinds)),
        )


def _kept(findings: Iterator[Finding], kept: list[Finding]) -> Iterator[Finding]:
    for finding in findings:
        kept.append(finding)
        yield finding


@click.command()
@click.option("-k", "select", metavar="EXPRESSION", help="Only tests whose names match, as pytest -k.")
@click.option("--package", "packages", metavar="NAME", multiple=True, help="Only tests about this package (repeatable).")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write a JUnit report.")
@click.option("--revision", metavar="R", help="A published revision instead of the stage: NUMBER, TAG, production:TAG, …")
@click.option("--empty-root", is_flag=True, help="In a root that holds nothing but the layer, /proc and /dev.")
@global_options
def test(select: str | None, packages: tuple[str, ...], junit: Path | None, revision: str | None, empty_root: bool) -> int:
    """Run the layer's acceptance tests (tests/layer/ beside layer.yaml) inside the layer.

    Exit code 4 when one fails.
    """
    from compatlayer import acceptance

    session = Session()
    part = session.layer.part(session.version, session.target)
    which = acceptance.Selected(select, packages, junit.absolute() if junit else None)
    with _entrance(session, part, revision, empty_root=empty_root) as entrance:
        sys.stdout.flush()
        if session.settings.format == "json":
            code, results = acceptance.run_silently(session.layer.root, part, entrance, which)
        else:
            code, results = acceptance.run(session.layer.root, part, entrance, which, quiet=session.settings.quiet), []
    if code == acceptance.NO_TESTS:
        raise UsageError("no acceptance test was selected", hint=_SELECTING)
    if session.settings.format == "json":
        session.give({"part": str(part), "tests": [asdict(one) for one in results]}, "")
    return 0 if code == acceptance.PASSED else FINDINGS


@contextmanager
def _entrance(session: Session, part: Part, revision: str | None, *, empty_root: bool) -> Iterator[Entrance]:
    """The way into the stage or a revision, in a view of this machine or in an empty root."""
    from compatlayer import entering
    from compatlayer.hostlab import description, laboratory

    found = shown(session, part, revision)
    if empty_root:
        with laboratory.entrance(found, description.empty()) as entrance:
            entrance.view.check_setup([*entrance.shell, ":"])
            yield entrance
        return
    entrance = entering.usual(entering.view_of(found), entering.environment(part, os.environ))
    entrance.view.check()
    yield entrance


def _folded(explanation: str) -> str:
    """For a terminal: paragraphs of its width, names in plain quotes."""
    from compatlayer.report.text import wrapped

    paragraphs = explanation.replace("``", "`").split("\n\n")
    return "\n\n".join(wrapped(" ".join(paragraph.split())) for paragraph in paragraphs)


def _explanation(identifier: str) -> str:
    import difflib

    from compatlayer.findings import registered
    from compatlayer.repository import cvmfs  # noqa: F401  (its findings are known when it is imported)
    from compatlayer.verify import registry

    registry.all_checks()
    known = registered()
    if identifier not in known:
        near = difflib.get_close_matches(identifier, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}"
        raise UsageError(f"there is no finding named '{identifier}'", hint=hint)
    kind = known[identifier]
    return f"{identifier} ({kind.severity.label}, check {kind.check})\n\n{kind.explanation()}"
