"""Which Portage answers for a part, and the configuration root it is asked about.

Ours, until the part has one of its own: an adopted prefix is asked where it stands, one that was bootstrapped in the view that
shows it where it was built for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from compatlayer import selection, trees
from compatlayer.gentoo import portage_configuration
from compatlayer.gentoo.client import Worker
from compatlayer.resources import PACKAGE
from compatlayer.selection import Selection
from compatlayer.stage import Bind, Stage, View, find_stage, keep_visible, tree_view

DIRECTORY = "resolve"


@dataclass(frozen=True, slots=True)
class Resolver:
    """A Portage to ask: its interpreter (None: ours), the tree it is installed in, and the view it has to run in."""

    python: Path | None = None
    home: Path | None = None
    view: View | None = None

    def worker(self) -> Worker:
        """A process of that Portage; a context manager."""
        return Worker(python=self.python, through=self._through)

    def _through(self, args: Sequence[str | Path]) -> Sequence[str | Path]:
        return self.view.command([str(arg) for arg in args]) if self.view else args


OURS = Resolver()


def of_part(chosen: Selection, state: Path, stage: Stage | None = None) -> Resolver:
    """The Portage that answers for a part as it is now: ours, or that of an adopted prefix or of the part's ``stage``.

    Without ``stage`` it is looked for. Raises ``HostError`` when an adopted prefix is not on this machine.
    """
    adopted = chosen.engine.adopted(chosen.part)
    if adopted is not None:
        return Resolver(adopted.python, adopted.tree)
    if not chosen.engine.own_portage:
        return OURS
    stage = stage or find_stage(state, chosen.part)
    return _inside(chosen, state, stage_trees(stage), stage) if stage else OURS


def of_tree(chosen: Selection, state: Path, tree: Path) -> Resolver:
    """The Portage that answers for a part's ``tree`` wherever that lies, such as a published revision."""
    adopted = chosen.engine.adopted(chosen.part)
    if adopted is not None:
        return Resolver(adopted.python, adopted.tree)
    return _inside(chosen, state, [tree], None) if chosen.engine.own_portage else OURS


def root(chosen: Selection, state: Path, resolver: Resolver = OURS) -> Path:
    """The configuration root that ``resolver`` resolves this selection against, written where it has changed."""
    directory = _root_directory(chosen, state)
    portage_configuration.write_config_root(directory, selection.resolver_files(chosen, state, resolver.home))
    trees.complete_caches(chosen.version.repositories, directory, state, worker=resolver.worker)
    return directory


def stage_trees(stage: Stage) -> list[Path]:
    """What a stage is made of, the tree that wins first."""
    return [tree for tree in (stage.upper, stage.lower) if tree is not None]


def _inside(chosen: Selection, state: Path, layers: Sequence[Path], stage: Stage | None) -> Resolver:
    """The Portage that lies in the part itself; ours as long as it has none."""
    python = chosen.engine.python(layers)
    if python is None:
        return OURS
    home = next(tree for tree in layers if portage_configuration.has_global_config(tree))
    binds = _binds(chosen, state)
    view = stage.view(read_only=True, binds=binds) if stage else tree_view(layers[0], chosen.part.prefix, binds=binds)
    return Resolver(Path(chosen.part.prefix / python), home, view)


def _binds(chosen: Selection, state: Path) -> list[Bind]:
    """What the worker reads and writes outside of the prefix, at the same paths as here."""
    directory = _root_directory(chosen, state)
    directory.mkdir(parents=True, exist_ok=True)
    repositories = [selection.repository_directory(chosen.layer, one, state) for one in chosen.version.repositories]
    pinned = [path for path in repositories if path.is_relative_to(state.absolute() / trees.DIRECTORY)]
    written = [Bind(path, PurePosixPath(path), writable=True) for path in (directory, *pinned)]
    return [*written, *keep_visible(PACKAGE.parent, *(path for path in repositories if path not in pinned))]


def _root_directory(chosen: Selection, state: Path) -> Path:
    return state.absolute() / DIRECTORY / f"{chosen.part.version}-{chosen.part.target.name}"
