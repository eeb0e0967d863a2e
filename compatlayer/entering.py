"""Entering a layer: the environment of a command inside it, and the view it runs in.

The environment is made, not inherited: a host's LD_LIBRARY_PATH or LD_PRELOAD would break the layer's programs, and a host's
MODULEPATH would show modules that the layer does not carry.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from compatlayer.declaration.model import Part
from compatlayer.errors import StageError, UsageError
from compatlayer.stage import Bind, Overlay, Stage, View, find_stage
from compatlayer.stage import view as views
from compatlayer.stage.synthetic import Root, synthetic_view

# What a person keeps: who they are, and what their terminal can do. Not their home: its login files may put anything first.
KEPT = ("USER", "LOGNAME", "TERM", "COLORTERM", "NO_COLOR", "TZ", "DISPLAY")
HOST_PATH = "/usr/local/bin:/usr/bin:/bin"
LOGIN_FILE = PurePosixPath("etc/profile")
# The layer's own way in, as Gentoo Prefix calls it, and the shell of a layer that has none.
STARTPREFIX, SHELL = PurePosixPath("startprefix"), PurePosixPath("usr/bin/bash")


@dataclass(frozen=True, slots=True)
class Shown:
    """A part as it can be looked at: its ``tree``, to be bound at the prefix, and the ``overlay`` that has to be mounted before.

    ``trees`` are the directories that its files lie in, the first one wins.
    """

    part: Part
    tree: Bind
    trees: tuple[Path, ...]
    overlay: Overlay | None = None

    def has(self, path: PurePosixPath) -> bool:
        """Whether there is a file at ``path`` below the prefix, links that lead elsewhere not followed."""
        return any(os.path.lexists(tree / path) for tree in self.trees)


@dataclass(frozen=True, slots=True)
class Entrance:
    """A way in: the view, and the arguments that go before one line for a login shell."""

    view: View
    shell: tuple[str, ...]


def usual(view: View, variables: Mapping[str, str]) -> Entrance:
    """A login shell with these variables and no others."""
    return Entrance(view, ("env", "-i", *(f"{name}={value}" for name, value in variables.items()), "bash", "-lc"))


def bare(shown: Shown, root: Root) -> Entrance:
    """A login shell of the layer's own in a root that is not this machine's, through ``startprefix`` where the layer has that.

    Raises ``UsageError`` for a layer that has no shell of its own.
    """
    prefix = shown.part.prefix
    view = synthetic_view(shown.tree, root, shown.overlay)
    if shown.has(STARTPREFIX):
        return Entrance(view, (str(prefix / STARTPREFIX), "bash", "-lc"))
    if shown.has(SHELL):
        return Entrance(view, (str(prefix / SHELL), "-lc"))
    raise UsageError(
        f"{shown.part} has no shell of its own, so nothing can be run where the host has none",
        hint="declare app-portage/prefix-toolkit, or app-shells/bash; a layer of engine 'guest' always needs its host",
    )


def of_stage(state: Path, part: Part) -> Shown:
    """The part's stage, as a reader sees it. Raises ``StageError`` when there is none yet."""
    stage = find_stage(state, part)
    if stage is None:
        raise StageError(f"there is no stage of {part} yet", hint="build it: compatlayer install")
    tree, overlay = stage.mounts(read_only=True)
    return Shown(part, tree, tuple(_trees(stage)), overlay)


def of_directory(tree: Path, part: Part) -> Shown:
    """Any directory, to be shown at the part's prefix."""
    return Shown(part, Bind(tree, part.prefix), (tree,))


def environment(part: Part, own: Mapping[str, str], writable: Sequence[Path] = ()) -> dict[str, str]:
    """The variables of a command inside ``part``; ``own`` are ours, of which only ``KEPT`` pass.

    HOME is the view's empty ``/tmp``, unless the person's own lies in a ``writable`` directory.
    """
    prefix = str(part.prefix)
    kept = {name: own[name] for name in KEPT if name in own}
    home = Path(own.get("HOME", "/"))
    kept["HOME"] = str(home) if any(home.is_relative_to(path.resolve()) for path in writable) else "/tmp"  # noqa: S108
    return kept | {
        "PATH": f"{prefix}/usr/bin:{prefix}/usr/sbin:{HOST_PATH}",
        "LANG": own.get("LANG", "C.UTF-8"),
        "COMPATLAYER_PREFIX": prefix,
        "COMPATLAYER_VERSION": part.version,
    }


def view_of(shown: Shown, *, writable: Sequence[Path] = (), interactive: bool = False) -> View:
    """A read-only view of this machine with the part in it, and the layer's own login file in place of the host's.

    ``writable`` directories of the host can be written.
    """
    binds = [*_writable(writable), *_login_file(shown.trees)]
    return views.build(shown.tree, binds=binds, offline=False, interactive=interactive, overlay=shown.overlay)


def _trees(stage: Stage) -> Sequence[Path]:
    return (stage.upper,) if stage.lower is None else (stage.upper, stage.lower)


def _writable(directories: Sequence[Path]) -> list[Bind]:
    return [Bind(path.resolve(), PurePosixPath(path.resolve()), writable=True) for path in directories]


def _login_file(trees: Sequence[Path]) -> list[Bind]:
    """A login shell reads /etc/profile whatever the prefix is; inside the layer that must be the layer's."""
    for tree in trees:
        source = tree / LOGIN_FILE
        if source.is_file() and not source.is_symlink() and os.access(source, os.R_OK):
            return [Bind(source, PurePosixPath("/") / LOGIN_FILE)]
    return []
