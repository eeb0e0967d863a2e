"""Entering a layer: the environment of a command inside it, and the view it runs in.

The environment is made, not inherited: a host's LD_LIBRARY_PATH or LD_PRELOAD would break the layer's programs, and a host's
MODULEPATH would show modules that the layer does not carry.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from compatlayer.declaration.model import Part
from compatlayer.errors import StageError
from compatlayer.stage import Bind, Stage, View, find_stage, tree_view

# What a person keeps: who they are, and what their terminal can do. Not their home: its login files may put anything first.
KEPT = ("USER", "LOGNAME", "TERM", "COLORTERM", "NO_COLOR", "TZ", "DISPLAY")
HOST_PATH = "/usr/local/bin:/usr/bin:/bin"
LOGIN_FILE = PurePosixPath("etc/profile")


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


def stage_view(state: Path, part: Part, *, writable: Sequence[Path] = (), interactive: bool = False) -> View:
    """A read-only view of the part's stage, with the layer's own login file in place of the host's.

    ``writable`` directories of the host can be written. Raises ``StageError`` when there is no stage yet.
    """
    stage = find_stage(state, part)
    if stage is None:
        raise StageError(f"there is no stage of {part} yet", hint="build it: compatlayer install")
    binds = [*_writable(writable), *_login_file(_trees(stage))]
    return stage.view(read_only=True, interactive=interactive, binds=binds)


def directory_view(tree: Path, part: Part, *, writable: Sequence[Path] = (), interactive: bool = False) -> View:
    """The same for any directory, shown at the part's prefix."""
    binds = [*_writable(writable), *_login_file((tree,))]
    return tree_view(tree, part.prefix, binds=binds, interactive=interactive)


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
