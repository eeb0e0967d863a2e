"""Stages on disk: begin, find, lock, look at, drop."""

from __future__ import annotations

import json
import os
import stat
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from compatlayer import lock as locks
from compatlayer import process
from compatlayer.declaration.model import TARGETS, Part
from compatlayer.errors import LockHeldError, StageError
from compatlayer.journal import Journal, write_atomically
from compatlayer.stage import refusal
from compatlayer.stage import view as views
from compatlayer.stage.view import Bind, Overlay, View
from compatlayer.tree.beneath import ROOT, Beneath, names_in, remove, remove_tree
from compatlayer.tree.changes import ChangeList, read_overlay, read_plain
from compatlayer.tree.rows import Row, rows

_FORMAT = 1
# With userxattr (Linux 5.11) overlayfs keeps its marks in user.overlay.*, which an ordinary user can write and read,
# and by itself neither redirects renamed directories nor copies metadata alone: the upper directory holds whole
# files (overlayfs.rst).
_OPTIONS = "userxattr,index=off,xino=off"
_DROPPED = ".dropped-"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. ``base`` names the revision or path it stands on; ``identifier`` tells it from a later stage of the
    same part.
    """

    part: Part
    directory: Path
    lower: Path | None
    base: str | None
    identifier: str

    @property
    def upper(self) -> Path:
        """The directory that receives what is written."""
        return self.directory / "upper"

    @property
    def journal(self) -> Journal:
        """What was under way in this stage; hold the lock to write it."""
        return Journal(self.directory / "journal")

    def view(
        self, *, binds: Sequence[Bind] = (), offline: bool = False, read_only: bool = False, interactive: bool = False
    ) -> View:
        """How to run commands that see this stage at its prefix path.

        Only one writable view of a stage may run at a time: hold ``lock``. A ``read_only`` view needs no lock.
        ``interactive`` leaves the command in the terminal's session (job control). Raises ``StageError`` for binds
        that cannot be laid out.
        """
        tree, overlay = self.mounts(read_only=read_only)
        return views.build(tree, binds=binds, offline=offline, interactive=interactive, overlay=overlay)

    def mounts(self, *, read_only: bool) -> tuple[Bind, Overlay | None]:
        """What a view of this stage is made of: the tree at its prefix, and the overlay to mount before it."""
        source, overlay = self.upper, None
        if self.lower is not None:
            source = self.directory / "merged"
            # Overlayfs does not define two mounts on one upper directory; a reader therefore takes it as one more
            # lower tree.
            trees = "lowerdir=upper:lower" if read_only else "lowerdir=lower,upperdir=upper,workdir=work"
            overlay = views.Overlay(self.directory, f"{_OPTIONS},{trees}")
        return Bind(source, self.part.prefix, writable=not read_only), overlay

    @contextmanager
    def seen(self) -> Iterator[Path]:
        """The stage's whole tree, what lies below it included, as a directory to read for the length of a ``with`` block.

        Over a lower tree only the kernel's overlay knows which entry counts: a process keeps it mounted, and we look through its
        root (proc(5), ``/proc/PID/root``). Raises ``HostError`` when this machine refuses the mount.
        """
        if self.lower is None:
            yield self.upper
            return
        merged = self.directory / "merged"
        overlay = views.Overlay(self.directory, f"{_OPTIONS},lowerdir=upper:lower")
        # It says when the mount is there, and ends with its standard input: with us, whatever happens to us.
        with tempfile.TemporaryFile() as said:
            keeper = process.spawn([*overlay.prologue(), "sh", "-c", "echo; exec cat"], stderr=said)
            try:
                assert keeper.stdout is not None, "spawn gives pipes"
                if not keeper.stdout.readline():
                    said.seek(0)
                    raise refusal.explain(said.read().decode(errors="replace"), refusal.HostFacts.read())
                yield Path(f"/proc/{keeper.pid}/root{merged}")
            finally:
                process.end(keeper)

    def changes(self) -> ChangeList:
        """What this stage changes; of a plain stage that is all of it. Costs what the change costs.

        Nobody may write meanwhile: hold ``lock``. Raises ``StageError`` for what a layer cannot hold.
        """
        return read_plain(self.upper) if self.lower is None else read_overlay(self.upper)

    def differences(self) -> tuple[Row, ...]:
        """The change list as a person sees it: what is really different from the lower tree."""
        return rows(self.changes(), self.upper, self.lower)

    @contextmanager
    def lock(self, purpose: str) -> Iterator[None]:
        """Hold this stage for the length of a ``with`` block. Raises ``LockHeldError``, or ``StageError`` when it
        was dropped.
        """
        self._refuse_if_dropped()
        with locks.hold(self.directory / "lock", purpose):
            self._refuse_if_dropped()  # between the first look and the lock
            yield

    def holder(self) -> locks.Holder | None:
        """Who works on this stage now."""
        return locks.holder(self.directory / "lock")

    def _refuse_if_dropped(self) -> None:
        there = _read(self.directory)
        if there is None or there.identifier != self.identifier:
            raise StageError(f"the stage of {self.part} was dropped", hint="run the command again to begin a new one")


def open_stage(state: Path, part: Part, *, lower: Path | None = None, base: str | None = None) -> Stage:
    """Begin the stage of ``part`` under the directory ``state``, or reopen it.

    A new stage stands on the read-only tree ``lower`` (overlay), or on nothing (plain); ``base`` (default: the path
    of ``lower``) is what a person calls it. To reopen a stage neither is needed; if given, they must be those it was
    begun with. Raises ``StageError``.
    """
    finish_drops(state)
    directory = _directory(state, part)
    lower = lower.absolute() if lower is not None else None
    known = _read(directory)
    if known is not None:
        _refuse_other(known, part, lower, base)
        return known
    if lower is not None:
        _refuse_lower(lower, directory)
    begun = Stage(part, directory, lower, base or (str(lower) if lower else None), uuid.uuid4().hex)
    with locks.hold(directory / "lock", "beginning a stage"):
        known = _read(directory)
        if known is not None:  # another process was faster
            _refuse_other(known, part, lower, base)
            return known
        _lay_out(begun)
    return begun


def find_stage(state: Path, part: Part) -> Stage | None:
    """The stage of ``part``, or None when none was begun."""
    return _read(_directory(state, part))


def stages(state: Path) -> Sequence[Stage]:
    """All stages under ``state``, by version and target."""
    finish_drops(state)
    root = state / "stages"
    names = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    names = [name for name in names if not name.startswith(_DROPPED)]  # those that another process is dropping now
    return tuple(stage for name in names if (stage := _read(root / name)) is not None)


def drop(stage: Stage) -> None:
    """Remove a stage with all that was written in it. Raises ``LockHeldError`` while somebody works on it.

    It is gone at once, by a rename; what a crash leaves of its files is removed by the next ``open_stage``,
    ``stages`` or ``drop``.
    """
    with stage.lock(f"dropping the stage of {stage.part}"):
        doomed = stage.directory.with_name(f"{_DROPPED}{stage.identifier}")
        stage.directory.rename(doomed)
        _remove(doomed)


def finish_drops(state: Path) -> None:
    """Remove what interrupted ``drop`` calls left behind."""
    for doomed in (state / "stages").glob(f"{_DROPPED}*"):
        try:
            with locks.hold(doomed / "lock", "finishing an interrupted drop"):
                _remove(doomed)
        except LockHeldError:
            continue  # the process that drops it is still at it


def _directory(state: Path, part: Part) -> Path:
    return state.absolute() / "stages" / f"{part.version}-{part.target.name}"


def _lay_out(stage: Stage) -> None:
    """Make the directories, then write ``stage.json``: without it there is no stage, and the next run begins
    again.
    """
    for name in ("upper",) if stage.lower is None else ("upper", "work", "merged"):
        directory = stage.directory / name
        directory.mkdir(exist_ok=True)
        # The upper directory's mode is the prefix's own, whatever the umask; with a lower tree it hides the lower's.
        directory.chmod(stat.S_IMODE(stage.lower.stat().st_mode) if stage.lower and name == "upper" else 0o755)
    link = stage.directory / "lower"
    link.unlink(missing_ok=True)
    if stage.lower is not None:
        link.symlink_to(stage.lower)
    document = {
        "format": _FORMAT,
        "identifier": stage.identifier,
        "layer": stage.part.layer,
        "version": stage.part.version,
        "target": stage.part.target.name,
        "prefix": str(stage.part.prefix),
        "lower": str(stage.lower) if stage.lower is not None else None,
        "base": stage.base,
    }
    write_atomically(stage.directory / "stage.json", json.dumps(document, indent=2).encode() + b"\n")


def _read(directory: Path) -> Stage | None:
    file = directory / "stage.json"
    try:
        document = json.loads(file.read_bytes())
        if document["format"] != _FORMAT:
            raise StageError(
                f"{directory} has format {document['format']}, this version knows {_FORMAT}",
                hint="use the version of compatlayer that began it, or drop it",
            )
        target = TARGETS[document["target"]]
        part = Part(document["layer"], document["version"], target, PurePosixPath(document["prefix"]))
        lower = Path(document["lower"]) if document["lower"] is not None else None
        return Stage(part, directory, lower, document["base"], document["identifier"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StageError(
            f"{file} is damaged", cause=repr(error), hint=f"nothing else knows this stage; remove {directory} by hand"
        ) from error


def _refuse_other(known: Stage, part: Part, lower: Path | None, base: str | None) -> None:
    hint = f"publish it, or drop it: compatlayer stage drop {part}"
    if known.part != part:
        raise StageError(
            f"the stage of {part} was begun for another place",
            cause=f"begun for {known.part.layer} at {known.part.prefix}, asked for {part.layer} at {part.prefix}",
            hint=hint,
        )
    for asked, begun in ((lower, known.lower), (base, known.base)):
        if asked is not None and asked != begun:
            raise StageError(
                f"the stage of {part} stands on another tree",
                cause=f"begun on {begun or 'nothing'}, asked for {asked}",
                hint=hint,
            )
    if known.lower is not None and not known.lower.is_dir():
        raise StageError(
            f"the tree under the stage of {part} is gone", cause=str(known.lower), hint="restore it, or drop the stage"
        )


def _refuse_lower(lower: Path, directory: Path) -> None:
    if not lower.is_dir():
        raise StageError(f"{lower} cannot carry a stage", cause="it is not a directory")
    if directory.resolve().is_relative_to(lower.resolve()) or lower.resolve().is_relative_to(directory.resolve()):
        raise StageError(f"{lower} cannot carry a stage", cause=f"one of {lower} and {directory} contains the other")
    owner = lower.stat().st_uid
    if os.geteuid() not in (0, owner):
        # The kernel cannot copy up a file whose owner has no id in our user namespace (EOVERFLOW), in the middle of
        # a build.
        raise StageError(
            f"{lower} cannot carry a stage of yours",
            cause=f"it belongs to user {owner}, you are {os.geteuid()}",
            hint="check the revision out as yourself, or work as its owner",
        )


def _remove(directory: Path) -> None:
    """Remove a stage's directory, the lock last: whoever finds a part of it can tell whether somebody is at it."""
    with Beneath(directory) as stage:
        descriptor = stage.directory(ROOT)
        for name in names_in(descriptor):
            if name != "lock":
                remove(name, inside=descriptor)
    remove_tree(directory)
