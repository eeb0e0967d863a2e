"""A view whose root is not this machine's: a directory made for the purpose, the layer at its prefix, /proc and /dev.

Made by bubblewrap (``bwrap(1)``) like every view, with all namespaces of its own, no network, and no capability. What the
command finds in its environment is given by ``Root``; nothing of ours passes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

from compatlayer import process
from compatlayer.errors import StageError
from compatlayer.stage.view import Bind, Overlay, View

# bwrap's --dev holds /dev/shm, a tmpfs of its own: what can be written where there is no /tmp.
SHARED_MEMORY = PurePosixPath("/dev/shm")  # noqa: S108 (a mount point in the view)
_TEMPORARY = PurePosixPath("/tmp")  # noqa: S108


class Temporary(StrEnum):
    """What /tmp is."""

    WRITABLE = "writable"
    READ_ONLY = "read-only"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Root:
    """A root file system: ``directory`` becomes ``/``, read-only; mount points are made in it, so it must be writable by us.

    ``shows`` are binds of this machine's files. ``user`` is the number of the user and group inside (None: ours).
    ``environment`` is all that the command finds.
    """

    directory: Path
    shows: tuple[Bind, ...] = ()
    temporary: Temporary = Temporary.MISSING
    user: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def synthetic_view(tree: Bind, root: Root, overlay: Overlay | None = None) -> View:
    """The read-only view that shows ``tree`` in ``root``. Raises ``StageError`` where a mount point cannot be made."""
    mounts = [*root.shows, Bind(tree.source, tree.destination)]
    points = [PurePosixPath("/proc"), PurePosixPath("/dev"), *(bind.destination for bind in mounts)]
    if root.temporary is not Temporary.MISSING:
        points.append(_TEMPORARY)
    for point in points:
        _make_mount_point(root.directory, point)
    options = ["--ro-bind", str(root.directory), "/", "--proc", "/proc", "--dev", "/dev"]
    if root.temporary is Temporary.WRITABLE:
        options += ["--tmpfs", str(_TEMPORARY)]
    for bind in mounts:
        options += ["--ro-bind", str(bind.source.absolute()), str(bind.destination)]
    options += ["--unshare-all", "--die-with-parent", "--new-session", "--hostname", "synthetic", "--chdir", "/"]
    if root.user is not None:
        options += ["--unshare-user", "--uid", str(root.user), "--gid", str(root.user)]
    if os.geteuid() == 0:
        options += ["--cap-drop", "ALL"]
    # Everything that our own way of starting programs sets. It is bwrap that changes it, for what it starts: a hostile
    # LD_PRELOAD must not reach bwrap.
    for name in process.base_environment():
        options += ["--unsetenv", name]
    for name, value in root.environment.items():
        options += ["--setenv", name, value]
    prologue = overlay.prologue() if overlay else ()
    return View(tree.destination, (*prologue, "bwrap", *options, "--"))


def _make_mount_point(root: Path, point: PurePosixPath) -> None:
    place = root / point.relative_to("/")
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StageError(f"nothing can be shown at {point}", cause=f"{error.strerror}: {error.filename}") from error
