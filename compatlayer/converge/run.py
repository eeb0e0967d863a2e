"""Converging: Ansible runs inside the stage's view, and failures come back with paths that a person can open."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from compatlayer import playbook
from compatlayer.converge.record import Work, former, trees_of
from compatlayer.converge.variables import ansible_environment, repository_directories, variables
from compatlayer.converge.workplace import READ_ONLY, ROOT, Options, Places, empty, lay_out_toolchain, write_file, write_inputs
from compatlayer.engine.host import account_files
from compatlayer.errors import ConvergeError, HostError
from compatlayer.plan import Kind, Plan
from compatlayer.playbook import Outcome, Playbook
from compatlayer.progress import Monitor
from compatlayer.resources import resource
from compatlayer.selection import Selection
from compatlayer.stage import Bind, Stage, View, keep_visible, unbound


def converge(work: Work, stage: Stage, places: Places, options: Options, monitor: Monitor) -> Outcome:
    """Carry out a plan in ``stage``; hold the stage's lock. Raises ``ConvergeError``; KeyboardInterrupt passes through.

    What was merged before a failure stays, and the next run goes on from there.
    """
    places.make()
    write_inputs(work.chosen, places)
    lay_out_toolchain(work.chosen, places, bound=options.bind)
    view = view_of(work.chosen, stage, places, options)
    view.check()
    rendered = variables(work, places, options, former(trees_of(stage, bound=options.bind)))
    try:
        return playbook.run(
            Playbook(
                file=resource("playbooks") / ("update.yml" if _replaces(work.plan) else "install.yml"),
                variables=rendered,
                environment=ansible_environment(places, bound=options.bind),
                run_directory=places.run,
                progress_file=places.host["logs"] / "progress.jsonl",
            ),
            view,
            monitor,
        )
    except ConvergeError as error:
        raise told_on_host(error, places, options) from error
    finally:
        empty(places.host["files"])


def told_on_host(error: ConvergeError, places: Places, options: Options) -> ConvergeError:
    """The error with paths that a person can open, and a word about the network where that was cut."""
    hint = "\n".join(filter(None, ["the network was cut: --offline" if options.offline else None, error.hint]))
    return ConvergeError(error.fact, cause=_on_host(error.cause, places), hint=_on_host(hint or None, places))


def view_of(chosen: Selection, stage: Stage, places: Places, options: Options, more: Sequence[Bind] = ()) -> View:
    """The view that a playbook runs in: the stage at its prefix, the build's places, and ``more``."""
    if not options.bind:
        if account_files(chosen.host):
            raise HostError(
                f"Portage cannot build for user {chosen.host.uid}: it has no name, or its group {chosen.host.gid} has none",
                cause="they are not in /etc/passwd and /etc/group",
                hint="leave --no-bind out: the view gives it one",
            )
        return unbound(chosen.part.prefix)
    binds = [Bind(path, places.seen(name, bound=True), writable=name not in READ_ONLY) for name, path in places.host.items()]
    binds += [Bind(path, ROOT / "repositories" / name) for name, path in repository_directories(chosen, places.state).items()]
    binds.append(Bind(places.run, PurePosixPath(places.run), writable=True))
    for path, content in account_files(chosen.host).items():
        source = places.state / "accounts" / path.name
        write_file(source, content)
        binds.append(Bind(source, path))
    binds += keep_visible(Path(sys.prefix), Path(sys.base_prefix), resource("playbooks"), resource("roles"))
    return stage.view(binds=[*binds, *more], offline=options.offline)


def _replaces(plan: Plan) -> bool:
    """Whether packages that are there already are replaced or removed, and not only new ones added."""
    return any(action.comparison.installed is not None for action in plan if action.kind.builds or action.kind is Kind.REMOVE)


def _on_host(text: str | None, places: Places) -> str | None:
    """Paths as the build saw them, turned into paths that the person can open."""
    if text is None:
        return None
    for name, path in places.host.items():
        text = text.replace(f"{places.seen(name, bound=True)}/", f"{path}/")
    return text
