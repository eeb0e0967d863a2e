"""demo: all of it, on the layer in this repository, one step after the other."""

from __future__ import annotations

import io
import json
import sys
import time
from contextlib import redirect_stdout

import click

from compatlayer.cli.build import install, plan
from compatlayer.cli.context import Session, global_options
from compatlayer.cli.declare import check
from compatlayer.cli.inspect import test, verify
from compatlayer.cli.past import changelog, history
from compatlayer.cli.publish import promote, publish, receipt
from compatlayer.declaration.model import Part

# Each verb of the way through with its arguments, and what it proves.
STEPS: tuple[tuple[click.Command, tuple[str, ...], str], ...] = (
    (check, (), "the declaration, resolved for every target"),
    (plan, (), "what would change, and why"),
    (install, (), "packages built from source, inside the stage's view"),
    (verify, (), "what is installed is what was declared"),
    (test, (), "acceptance tests, inside the layer"),
    (publish, (), "a revision of the test repository, read back before anybody sees it"),
    (promote, (), "the very same bits in production, with a signed receipt"),
    (receipt, ("verify",), "the signature holds, both trees are equal, production is what it says"),
    (changelog, ("--repository", "production"), "what has changed, by whom and when"),
    (history, (), "which test revision is in production"),
)


@click.command()
@global_options
def demo() -> int:
    """Check, plan, install, verify, test, publish and promote the layer, and say what to do next.

    A first run builds every package from source (minutes); the next finds nothing to do (seconds).
    """
    session = Session()
    part = session.layer.part(session.version, session.target)
    began = time.monotonic()
    as_json = session.settings.format == "json"
    # What is said can be typed: another version than the default one is told to every command.
    chosen = session.settings.layer_version
    ours = f"compatlayer --layer-version {chosen}" if chosen else "compatlayer"
    said = []
    for number, (verb, arguments, what) in enumerate(STEPS, start=1):
        sys.stdout.flush()
        command = " ".join((ours, str(verb.name), *arguments))
        if not as_json:
            session.say(session.error_paint.strong(f"\n{number}. {command}") + f": {what}")
        # As JSON the demo is one document, which holds those of its steps.
        with redirect_stdout(io.StringIO() if as_json else sys.stdout) as out:
            code = verb.main(args=list(arguments), prog_name=f"compatlayer {verb.name}", standalone_mode=False) or 0
        if isinstance(out, io.StringIO):
            said.append({"command": command, "exit_code": code, "result": json.loads(out.getvalue())})
        if code:
            break
    elapsed_s = time.monotonic() - began
    if as_json:
        session.give({"part": str(part), "prefix": str(part.prefix), "elapsed_s": elapsed_s, "steps": said}, "")
    elif not code:
        sys.stdout.write(_ending(session, f".venv/bin/{ours}", part, elapsed_s))
    return int(code)


def _ending(session: Session, ours: str, part: Part, elapsed_s: float) -> str:
    from compatlayer.report.text import clock
    from compatlayer.stage import find_stage

    stage = find_stage(session.state, part)
    strong = session.paint.strong
    return "\n".join(
        [
            "",
            f"{strong('built')}  the layer '{session.layer.name}', {part}, in {clock(elapsed_s)}",
            f"{strong('where')}  {stage.upper if stage else ''}",
            f"       seen inside as {part.prefix}",
            f"{strong('enter')}  {ours} enter",
            f"       {ours} enter -- bash -lc 'module avail'",
            f"       {ours} enter --revision production",
            f"{strong('next')}   add a package to {session.version.sets[-1].file}, then:",
            f"       {ours} plan",
            f"{strong('back')}   after the next promotion, the way back to this one, exactly:",
            f"       {ours} rollback TAG",
            "",
        ]
    )
