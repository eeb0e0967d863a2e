"""Installing: the sequence only. Select, resolve, compare, fill the mirror, converge in the stage, and compare again.

Stopping it at any point is safe: what Portage has merged is in the stage, what it was doing is done again, and a plan is always
made from what is there.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compatlayer import converge, process, resolver, trees
from compatlayer.binaries.choose import Choice
from compatlayer.binaries.identities import Identities
from compatlayer.binaries.provide import Provision, Stores, providing
from compatlayer.closures import resolve
from compatlayer.converge import BUILD, Places, Work
from compatlayer.converge.record import trees_of
from compatlayer.declaration.model import EngineName, Layer, Part, Target, Version
from compatlayer.engine import host as machine
from compatlayer.engine import native
from compatlayer.engine.base import Step
from compatlayer.errors import ConvergeError, UsageError
from compatlayer.gentoo import inventory as inventories
from compatlayer.gentoo.packages import Closure, Inventory
from compatlayer.mirror import distfiles
from compatlayer.mirror import fill as filling
from compatlayer.mirror import names as mirror_names
from compatlayer.mirror.distfiles import Wants
from compatlayer.mirror.store import Store
from compatlayer.plan import Plan, make_plan
from compatlayer.playbook import Outcome
from compatlayer.progress import Monitor, Note, PackagesPlanned
from compatlayer.resources import PACKAGE
from compatlayer.selection import Selection, select
from compatlayer.stage import Stage, find_stage, keep_visible, open_stage

log = logging.getLogger(__name__)

# Two parts may be built side by side; one waits until the other has fetched what both need.
_MIRROR_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Options:
    """How to install; ``over`` is the read-only tree a new stage stands on, ``base`` what that is called.

    ``build_at`` is the name of the build directory as packages see it, where it is to be another one.
    Raises ``UsageError`` for what does not go together.
    """

    over: Path | None = None
    base: str | None = None
    offline: bool = False
    full: bool = False
    remove_unneeded: bool = False
    bind: bool = True
    jobs: int | None = None
    stores: Stores | None = None
    build_at: str = BUILD

    def __post_init__(self) -> None:
        if self.offline and not self.bind:
            raise UsageError("--offline needs a view", hint="leave --no-bind out: the network is cut by the view's namespace")


@dataclass(frozen=True, slots=True)
class Result:
    """What an install did. ``outcome`` is None when there was nothing to do and Ansible was not started.

    ``steps`` are those that came before, once in the life of a prefix. ``provision`` says what came from stores of binary
    packages, and what went there; None when none was used.
    """

    part: Part
    plan: Plan
    outcome: Outcome | None
    packages: int
    elapsed_s: float
    stage_directory: Path
    run_directory: Path | None
    steps: tuple[Step, ...] = ()
    provision: Provision | None = None

    @property
    def origins(self) -> tuple[Choice, ...]:
        """Where each merged package came from in the end: Portage may build one although its binary package lay ready."""
        if self.provision is None:
            return ()
        merged = {str(one["cpv"]) for one in self.outcome.packages if one.get("binary")} if self.outcome else set()
        return tuple(
            choice if choice.entry is None or choice.cpv in merged else Choice(choice.cpv, None, "", "Portage did not take it")
            for choice in self.provision.choices
        )


def prepare(
    layer: Layer, version: Version, target: Target, state: Path, *, remove_unneeded: bool = False, bind: bool = True
) -> Work:
    """Decide: the selection, its closure, and the plan against what the stage holds now. Changes nothing but the state's cache.

    Raises ``ResolveError`` when Portage finds no way, ``HostError`` when an adopted prefix is not on this machine.
    """
    chosen = select(layer, version, target, state)
    stage = find_stage(state, chosen.part)
    steps = pending(chosen, stage)
    if steps:
        # What the packages are is for a Portage to say that is not there yet.
        return Work(chosen, Closure(()), Plan((), steps))
    closure = resolve(chosen, state, resolver.of_part(chosen, state, stage))
    there = installed(stage, bind=bind) if stage else untouched(chosen)
    return Work(chosen, closure, make_plan(closure, there, chosen.packages, remove_unneeded=remove_unneeded))


def pending(chosen: Selection, stage: Stage | None) -> tuple[Step, ...]:
    """What has to be done before anything can be emerged into the part; nothing for most engines."""
    return chosen.engine.steps(resolver.stage_trees(stage) if stage else ())


def require_trees(version: Version, state: Path) -> None:
    """Have the version's pinned ebuild trees ready without asking the network. Raises ``RepositoryError`` for one that is not."""
    for repository in version.repositories:
        pin = trees.pin(repository, state)
        if pin is not None:
            trees.tree(pin, network=False)


def untouched(chosen: Selection) -> Inventory:
    """What a part without a stage holds: an adopted prefix what lies in it, any other nothing."""
    return inventories.read(chosen.existing_tree) if chosen.existing_tree else Inventory()


def installed(stage: Stage, *, bind: bool = True) -> Inventory:
    """What a stage holds, the tree below it included."""
    if not bind:
        return inventories.read(Path(stage.part.prefix))
    if stage.lower is None:
        return inventories.read(stage.upper)
    # Only the kernel's overlay knows which entry of which tree counts, so the reader goes into the view.
    program = [sys.executable, "-m", "compatlayer.gentoo.inventory", str(stage.part.prefix)]
    view = stage.view(read_only=True, binds=keep_visible(Path(sys.prefix), Path(sys.base_prefix), PACKAGE.parent))
    return inventories.from_document(json.loads(process.run(view.command(program)).stdout))


def install(layer: Layer, version: Version, target: Target, state: Path, options: Options, monitor: Monitor) -> Result:
    """Converge the stage of one part to its declaration and return what was done.

    Raises ``LockHeldError`` when another run works on the stage, ``HostError`` when this machine lacks programs that building
    needs, ``DistfileError`` when a source file cannot be had, and ``ConvergeError`` when a role fails, or when what is installed
    afterwards is not what was planned.
    """
    began = time.monotonic()
    part = layer.part(version, target)
    if version.engine is EngineName.NATIVE:
        raise native.refusal(part)
    if version.engine is EngineName.BOOTSTRAP and not options.bind:
        raise UsageError("engine bootstrap needs a view", hint="leave --no-bind out: what is built finds the prefix at its path")
    stage = open_stage(state, part, lower=options.over, base=options.base)
    with stage.lock(f"install of {part}"):
        if options.offline:
            require_trees(version, state)
        steps = _bootstrap(select(layer, version, target, state), stage, state, options, monitor)
        work = prepare(layer, version, target, state, remove_unneeded=options.remove_unneeded, bind=options.bind)
        expected = converge.stamp(work, stage, bind=options.bind)
        if work.plan.is_empty and not options.full and converge.is_converged(stage, expected):
            elapsed_s = time.monotonic() - began
            return Result(part, work.plan, None, len(work.closure.packages), elapsed_s, stage.directory, None, steps)
        machine.require(work.chosen.host)
        run_directory = converge.begin_run(state, "install", str(part).replace("/", "-"))
        monitor.tell(Note(f"log: {run_directory / 'logs'}"))
        places = Places(state.absolute(), run_directory, str(part).replace("/", "-"), options.build_at)
        with _binaries(work, stage, places, options, monitor) as provision:
            outcome = _carry_out(work, stage, places, options, provision, monitor)
        _refuse_divergence(work, installed(stage, bind=options.bind), run_directory)
        converge.remember(stage, converge.stamp(work, stage, bind=options.bind))
        stage.journal.clear()
        elapsed_s = time.monotonic() - began
        done = (elapsed_s, stage.directory, run_directory, steps, provision)
        return Result(part, work.plan, outcome, len(work.closure.packages), *done)


def _bootstrap(chosen: Selection, stage: Stage, state: Path, options: Options, monitor: Monitor) -> tuple[Step, ...]:
    """Make the part able to emerge, where it is not; the steps that were done. Hold the stage's lock.

    The journal names the run, and is cleared when the last step is done: until then the next run goes on with what is left.
    """
    steps = pending(chosen, stage)
    if not steps:
        return ()
    converge.refuse_root(chosen)
    machine.require(chosen.host)
    part = str(chosen.part).replace("/", "-")
    run_directory = converge.begin_run(state, "bootstrap", part)
    monitor.tell(Note(f"log: {run_directory / 'logs'}"))
    stage.journal.record("bootstrap", run=str(run_directory), steps=[step.name for step in steps])
    _fill(
        chosen,
        distfiles.collect([(str(chosen.part), [distfiles.engine_sources(chosen)])]),
        state,
        monitor,
        network=not options.offline,
    )
    places = Places(state.absolute(), run_directory, part)
    how = converge.Options(offline=options.offline, bind=options.bind, jobs=options.jobs)
    converge.bootstrap(chosen, steps, stage, places, how, monitor)
    left = pending(chosen, stage)
    if left or chosen.engine.python(resolver.stage_trees(stage)) is None:
        what = f"left to do: {', '.join(step.name for step in left)}" if left else "there is no Python in it"
        raise ConvergeError(
            "bootstrap-prefix.sh ended well, but the prefix cannot emerge", cause=what, hint=f"look at {run_directory / 'logs'}"
        )
    stage.journal.clear()
    return steps


@contextmanager
def _binaries(work: Work, stage: Stage, places: Places, options: Options, monitor: Monitor) -> Iterator[Provision | None]:
    """What stores have for this plan, laid out; what is built meanwhile goes there."""
    if options.stores is None or not any(action.kind.builds for action in work.plan):
        yield None
        return
    if work.chosen.engine.own_portage:
        # Its compiler and all else that every build rests on are packages of the prefix, which no ebuild names.
        monitor.tell(Note(f"binary packages are neither used nor stored with engine '{work.chosen.engine.name}'"))
        yield None
        return
    identities = Identities(stage.directory, trees_of(stage, bound=options.bind))
    with providing(options.stores, work, identities, places, monitor, bound=options.bind) as provision:
        yield provision


def _carry_out(
    work: Work, stage: Stage, places: Places, options: Options, provision: Provision | None, monitor: Monitor
) -> Outcome:
    """Fetch the sources of what is to be built, and converge."""
    merged = [action.comparison.package.id.cpv for action in work.plan if action.kind.builds]
    taken = provision.taken if provision else frozenset()
    if merged:
        monitor.tell(PackagesPlanned(tuple(merged), tuple(cpv for cpv in merged if cpv in taken)))
    stage.journal.record("install", run=str(places.run), packages=merged)
    supply(work, set(merged) - taken, places.state, monitor, network=not options.offline)
    how = converge.Options(
        offline=options.offline,
        bind=options.bind,
        jobs=options.jobs,
        binaries=taken if provision else None,
        keep_binaries=options.stores is not None and options.stores.own is not None,
    )
    return converge.converge(work, stage, places, how, monitor)


def supply(work: Work, builds: set[str], state: Path, monitor: Monitor, *, network: bool = True) -> None:
    """Fill the mirror with the source files of the packages to be built (``category/name-version``).

    Raises ``DistfileError`` with everything that could not be had. Without ``network`` nothing is fetched, only looked for.
    """
    chosen = work.chosen
    packages = [package for package in work.closure if package.id.cpv in builds]
    wants = distfiles.of_packages(str(chosen.part), resolver.root(chosen, state), packages, [distfiles.engine_sources(chosen)])
    _fill(chosen, wants, state, monitor, network=network)


def _fill(chosen: Selection, wants: Wants, state: Path, monitor: Monitor, *, network: bool) -> None:
    """Make the mirror hold what is wanted. Raises ``DistfileError`` with everything that could not be had."""
    how = filling.Options(names=mirror_names.resolve(chosen.layer.mirrors), network=network, wait_s=_MIRROR_WAIT_S)
    with Store(state / "mirror") as store:
        filled = filling.fill(store, wants, how, monitor)
    if filled.missing:
        hint = (
            None
            if network
            else "fill a mirror where there is a network, and carry it here with `mirror export` and `mirror import`"
        )
        raise filling.missing_error(filled.missing, hint=hint)


def _refuse_divergence(work: Work, there: Inventory, run_directory: Path) -> None:
    """Compare once more: a converge that ended well has left nothing to do."""
    left = make_plan(work.closure, there, work.chosen.packages)
    if not left.is_empty:
        raise ConvergeError(
            "Portage ended well, but the stage is not what was planned",
            cause="\n".join(action.description for action in left if action.kind.builds),
            hint=f"look at {run_directory / 'logs' / 'emerge.out'}",
        )
