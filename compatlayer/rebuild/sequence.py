"""Rebuilding: the sequence only. Look at the first build, build again as somebody else, compare, keep what differs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from compatlayer import install as installing
from compatlayer.converge import begin_run
from compatlayer.declaration.model import EngineName, Layer, Part, Target, Version
from compatlayer.errors import StageError, UsageError
from compatlayer.progress import Monitor, Note
from compatlayer.rebuild import diffoscope, second
from compatlayer.rebuild.causes import Both
from compatlayer.rebuild.circumstances import Circumstance, another, compared
from compatlayer.rebuild.compare import Aspect, Comparison, compare
from compatlayer.selection import select
from compatlayer.stage import find_stage


@dataclass(frozen=True, slots=True)
class First:
    """The build that is compared with: a read-only tree, and what a person calls it; the stage, where ``tree`` is None."""

    name: str
    tree: Path | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How to rebuild: where (``scratch``, None: below the state directory), how many packages at once, without network, keeping
    the second build's state.
    """

    scratch: Path | None = None
    jobs: int | None = None
    offline: bool = False
    keep: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Two builds, compared. ``circumstances`` is empty where nothing was built; ``run_directory`` has the differing files.

    ``silent`` are paths of which diffoscope said nothing, with the reason; None where it was not asked.
    """

    part: Part
    first: str
    second: str
    comparison: Comparison
    elapsed_s: float
    run_directory: Path | None = None
    circumstances: tuple[Circumstance, ...] = ()
    silent: dict[str, str] | None = field(default=None)


def rebuild(
    layer: Layer, version: Version, target: Target, state: Path, first: First, options: Options, monitor: Monitor
) -> Rebuilt:
    """Build a part a second time, from nothing and from source, and compare it with ``first``.

    Raises ``StageError`` when there is no finished first build, ``UsageError`` for an engine that does not build,
    ``LockHeldError`` while another run rebuilds this part, ``HostError`` and ``ConvergeError`` when the second build is
    refused or fails.
    """
    if version.engine is EngineName.NATIVE:
        raise UsageError("an adopted prefix cannot be built a second time", cause="its own Portage built it, where it stands")
    began = time.monotonic()
    part = layer.part(version, target)
    if first.tree is None:
        _refuse_unfinished(layer, version, target, state)
    ours = second.here(state, jobs=select(layer, version, target, state).host.cpu_count)
    place = (options.scratch or state / "rebuild").absolute() / f"{part.version}-{part.target.name}"
    theirs = another(ours, str(place), second.file_system(place), options.jobs)
    second.check(theirs)
    with second.workplace(place, f"second build of {part}", keep=options.keep):
        monitor.tell(Note(f"building {part} again as user {theirs.user_id} on {theirs.host_name}, in {place}"))
        built = second.build(layer, part, state / "mirror", place, theirs, offline=options.offline, quiet=options.quiet)
        both = Both(ours, theirs, built.began_s, built.ended_s)
        with _tree(first, state, part) as tree:
            name = f"second build in {place}" if options.keep else "second build"
            done = _compared(part, state, (first.name, tree), (name, built.stage.upper), both, monitor)
    return replace(done, circumstances=compared(ours, theirs), elapsed_s=time.monotonic() - began)


def compare_with(part: Part, state: Path, first: First, other: tuple[str, Path], monitor: Monitor) -> Rebuilt:
    """Compare ``first`` with a tree that is there already, by name and directory; nothing is built.

    Who built that is not known, so that only what a file shows by itself is told as a cause.
    """
    began = time.monotonic()
    ours = second.here(state, jobs=1)
    with _tree(first, state, part) as tree:
        # The same on both sides: nothing can be taken for a trace of the other build.
        done = _compared(part, state, (first.name, tree), other, Both(ours, ours, 0, time.time()), monitor)
    return replace(done, elapsed_s=time.monotonic() - began)


def _refuse_unfinished(layer: Layer, version: Version, target: Target, state: Path) -> None:
    """A stage that is not what is declared would differ for that reason alone."""
    part = layer.part(version, target)
    hint = "install it first: compatlayer install"
    if find_stage(state, part) is None:
        raise StageError(f"there is no stage of {part} to compare with", hint=hint)
    work = installing.prepare(layer, version, target, state)
    if not work.plan.is_empty:
        raise StageError(
            f"the stage of {part} is not what is declared", cause="\n".join(one.description for one in work.plan), hint=hint
        )


@contextmanager
def _tree(first: First, state: Path, part: Part) -> Iterator[Path]:
    """The first build's tree, which nobody changes meanwhile."""
    stage = None if first.tree else find_stage(state, part)
    if first.tree is None and stage is None:
        raise StageError(f"there is no stage of {part} to compare with", hint="begin one: compatlayer install")
    if stage is None:
        assert first.tree is not None, "either there is a stage, or a tree"
        yield first.tree
        return
    with stage.lock(f"comparison of two builds of {part}"), stage.seen() as tree:
        yield tree


def _compared(part: Part, state: Path, first: tuple[str, Path], other: tuple[str, Path], both: Both, monitor: Monitor) -> Rebuilt:
    """Compare, and keep what differs of both sides below a run directory."""
    began = time.monotonic()
    found = compare(first[1], other[1], part, both)
    done = Rebuilt(part, first[0], other[0], found, time.monotonic() - began)
    if found.is_equal:
        return done
    run = begin_run(state, "rebuild", str(part).replace("/", "-"))
    for difference in found.differences:
        if Aspect.CONTENT in difference.aspects:
            for side, tree in (("first", first[1]), ("second", other[1])):
                kept = run / side / difference.path
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(tree / difference.path, kept)
    silent = None
    if diffoscope.is_installed():
        monitor.tell(Note(f"asking diffoscope about what differs: {run / 'diffoscope'}"))
        silent = diffoscope.explain(found.differences, run / "first", run / "second", run / "diffoscope")
    return replace(done, run_directory=run, silent=silent)
