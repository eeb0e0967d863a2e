"""Before anything can be emerged: Gentoo's bootstrap-prefix.sh, run stage by stage inside the stage's view."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from compatlayer import playbook, resolver, selection
from compatlayer.converge.run import told_on_host, view_of
from compatlayer.converge.variables import ansible_environment
from compatlayer.converge.workplace import ROOT, Options, Places, empty, write_file
from compatlayer.declaration.model import Bootstrap
from compatlayer.declaration.names import GENTOO
from compatlayer.engine import bootstrap as engine
from compatlayer.engine.base import Step
from compatlayer.errors import ConvergeError, HostError
from compatlayer.mirror import names as mirror_names
from compatlayer.mirror import sources, store
from compatlayer.playbook import Outcome, Playbook
from compatlayer.progress import Monitor
from compatlayer.resources import resource
from compatlayer.selection import Selection
from compatlayer.stage import Bind, Stage

# What the script calls for a file that it does not find: it notes the URL, and gets nothing.
REFUSE = b"""#!/bin/sh
# Nothing is downloaded that is not declared: the URL, the last argument, goes on a list for the person who declares.
list=$1
for url; do :; done
echo "$url" >> "$list"
echo "not declared, not downloaded: $url" >&2
exit 1
"""


def bootstrap(
    chosen: Selection,
    steps: Sequence[Step],
    stage: Stage,
    places: Places,
    options: Options,
    monitor: Monitor,
) -> Outcome:
    """Do ``steps`` in ``stage``; hold the stage's lock, and have the engine's files in the mirror.

    Raises ``ConvergeError``, naming the stage that failed; KeyboardInterrupt passes through. What is finished stays, and the next
    run goes on behind it.
    """
    declared = chosen.version.bootstrap
    assert declared is not None, "engine bootstrap has the key of that name: declaration.agreement"
    refuse_root(chosen)
    begun = _begun(chosen, declared)
    _refuse_another_beginning(resolver.stage_trees(stage), begun)
    places.make()
    _lay_out(declared, places, bound=options.bind)
    view = view_of(chosen, stage, places, options, _login_files(places) if options.bind else ())
    view.check()
    try:
        return playbook.run(
            Playbook(
                file=resource("playbooks") / "bootstrap.yml",
                variables=_variables(chosen, steps, begun, places, options),
                environment=ansible_environment(places, bound=options.bind),
                run_directory=places.run,
                progress_file=places.host["logs"] / "progress.jsonl",
            ),
            view,
            monitor,
        )
    except ConvergeError as error:
        raise told_on_host(error, places, options) from error


def refuse_root(chosen: Selection) -> None:
    """Raises ``HostError`` for root, whom the script turns away after everything was fetched."""
    if chosen.host.uid == 0:
        raise HostError(
            "bootstrap-prefix.sh does not run as root",
            cause="it refuses user 0, so that a mistake cannot reach beyond the prefix",
            hint="run this as an ordinary user, with a state directory that is theirs: --state",
        )


def _begun(chosen: Selection, declared: Bootstrap) -> dict[str, str]:
    """What a bootstrap works from, from its first step to its last."""
    tree = chosen.version.tree
    assert tree is not None, "engine bootstrap has a tree: declaration.agreement"
    return {"script": declared.script.sha256, "tree": tree.commit or str(tree.path), "profile": chosen.profile}


def _refuse_another_beginning(trees: Sequence[Path], begun: dict[str, str]) -> None:
    """Raises ``ConvergeError`` when a bootstrap is under way that works from something else than what is declared now."""
    for tree in trees:
        try:
            found = json.loads((tree / engine.BEGUN).read_bytes())
        except (OSError, ValueError):
            continue
        if found != begun:
            differing = [
                f"{name}: begun with {found.get(name)}, declared is {begun[name]}"
                for name in begun
                if found.get(name) != begun[name]
            ]
            raise ConvergeError(
                "a bootstrap is under way that works from something else than what is declared",
                cause="\n".join(differing),
                hint="declare again what it was begun with, or begin anew: compatlayer stage drop",
            )
        return


def _lay_out(declared: Bootstrap, places: Places, *, bound: bool) -> None:
    """What the script would download, as links into the mirror, and the program it gets instead of a downloader."""
    directory = places.host["bootstrap"]
    empty(directory)
    (directory / "distfiles").mkdir()
    mirror = places.seen("mirror", bound=bound) / store.PUBLIC
    for source in declared.sources:
        (directory / "distfiles" / source.name).symlink_to(mirror / source.name)
    write_file(directory / "refuse", REFUSE)
    write_file(directory / "profile", b"# A host's login files could set what breaks builds.\n")


def _login_files(places: Places) -> list[Bind]:
    """The script starts a login shell to look at its variables: the layer's builder is not this machine's user."""
    return [Bind(places.host["bootstrap"] / "profile", PurePosixPath("/etc/profile"))]


def _variables(
    chosen: Selection, steps: Sequence[Step], begun: dict[str, str], places: Places, options: Options
) -> dict[str, object]:
    """Every variable of the playbook, by name."""
    bound, part = options.bind, chosen.part
    workshop, ground = places.workshop(bound=bound), places.seen("bootstrap", bound=bound)
    declared, tree = chosen.version.bootstrap, chosen.version.tree
    assert declared is not None
    assert tree is not None
    lists = workshop.logs / "bootstrap-refused"
    own = mirror_names.resolve(chosen.layer.mirrors).get(sources.OWN, ())
    environment = engine.script_environment(
        part, chosen.host, workshop, jobs=options.jobs or chosen.host.cpu_count, mirrors=[] if options.offline else own
    )
    directory = selection.repository_directory(chosen.layer, tree, places.state)
    return {
        "host_preflight_prefix": str(part.prefix),
        "host_preflight_build_directory": str(workshop.build),
        "host_preflight_programs": list(engine.NEEDED[:-1]),
        "bootstrap_prefix": str(part.prefix),
        "bootstrap_script": str(workshop.mirror / store.PUBLIC / declared.script.name),
        "bootstrap_script_sha256": declared.script.sha256,
        "bootstrap_stage_names": [step.name for step in steps if step.name in engine.MARKS],
        "bootstrap_repository": str(ROOT / "repositories" / GENTOO if bound else directory),
        "bootstrap_profile": engine.profile_directory(chosen.profile) or "",
        "bootstrap_begun_file": str(engine.BEGUN),
        "bootstrap_begun": begun,
        "bootstrap_distfiles": str(ground / "distfiles"),
        "bootstrap_files": {source.name: source.sha256 for source in declared.sources},
        "bootstrap_later_distfiles": str(workshop.distfiles),
        "bootstrap_refused_file": str(lists),
        "bootstrap_log_directory": str(workshop.logs),
        "bootstrap_progress_file": str(workshop.logs / "progress.jsonl"),
        "bootstrap_environment": {**environment, "FETCH_COMMAND": f"/bin/sh {ground / 'refuse'} {lists}"},
    }
