"""The view: an argument list that runs a command where the prefix path is bound to a stage, or to any tree.

A view is made by bubblewrap (``bwrap(1)``), with ``unshare(1)`` and ``mount(8)`` before it where an overlay is
needed. Nothing of ours runs inside: a view costs no Python start. What the command sees:

- ``/`` is an empty, read-only tmpfs with one read-only bind for each entry of the host's ``/``; links stay links.
  Mount points that the host lacks (``/cvmfs/…``, our fixed build paths) can therefore be made without touching the
  host.
- ``/proc`` (its own process namespace), ``/dev`` and empty ``/tmp`` and ``/var/tmp`` are fresh. They vanish with the
  command.
- The prefix path is the stage. Where only a leading part of a path exists on the host, that directory is replaced by
  a tmpfs that holds binds of its entries, so siblings (other repositories under ``/cvmfs``) stay visible.
- The network is the host's, or with ``offline`` a namespace with nothing but the loopback.

Exit codes: the command's own; 128 + N when it was killed by signal N. Setting up fails with 1 or 125 and a line on
standard error; ``View.check`` tells such a refusal from a command that failed. A signal to bwrap ends everything
inside at once (SIGKILL), and so does the end of the *thread* that started it (``--die-with-parent`` is
``prctl(PR_SET_PDEATHSIG)``): start views from a thread that lives as long as they do.

What a view does not do: it hides nothing that the host lets this user read, and it does not close the sockets under
``/run``.
"""

from __future__ import annotations

import functools
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from compatlayer import process
from compatlayer.errors import ProgramError, StageError
from compatlayer.stage import refusal

# What a build needs of root, and no more: with CAP_SYS_ADMIN root could remount the host writable, with
# CAP_DAC_READ_SEARCH open its files by handle, with CAP_MKNOD leave devices in a stage. The names are
# capabilities(7)'s.
ROOT_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)

# Files of the kernel that belong to user 0 and can be written by him without any capability. bwrap covers some of these, but
# not /proc/sys (0.8: it asks access(2), which says no for the directory and yes for what is in it).
_KERNEL_FILES = ("acpi", "bus", "fs", "irq", "mtrr", "scsi", "sys", "sysrq-trigger")

_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 (mount points in the view)

# Mounts the overlay of the stage directory $1 with the options $2, then becomes the rest. The paths in the options
# are relative, so that no character in the state directory's name can be taken for a separator.
_MOUNT_THEN_RUN = """\
(cd "$1" && mount -t overlay compatlayer -o "$2" merged) || exit 125
shift 2
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or directory of the host that a view shows at ``destination``, read-only unless ``writable``."""

    source: Path
    destination: PurePosixPath
    writable: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """A way to run commands that see ``prefix``; ``arguments`` go before theirs (none: commands run as they are)."""

    prefix: PurePosixPath
    arguments: tuple[str, ...] = ()

    def command(self, args: Sequence[str]) -> tuple[str, ...]:
        """The argument list that runs ``args`` in the view, for ``process.run``, ``process.spawn`` or ``execvp``.

        The working directory is kept where it can be seen in the view; otherwise it is HOME, or ``/``. The
        environment is passed on.
        """
        return (*self.arguments, *args)

    def check(self) -> None:
        """Run ``true`` in the view (10 ms). Raises ``HostError``, naming the cause and the way out, when this
        machine refuses it.
        """
        if not self.arguments:
            return
        done = process.run(self.command(["true"]), check=False)
        if done.returncode != 0:
            raise refusal.explain(done.stderr, refusal.HostFacts.read())

    def check_setup(self, command: Sequence[str]) -> None:
        """The same for a view without this machine's programs, with a ``command`` of its own, whose failure is no refusal."""
        done = process.run(self.command(command), check=False)
        if done.returncode != 0 and done.stderr.startswith(("bwrap:", "unshare:", "mount:", "setpriv:")):
            raise refusal.explain(done.stderr, refusal.HostFacts.read())


@dataclass(frozen=True, slots=True)
class Overlay:
    """The overlay to mount before the view: ``merged`` in ``directory``, from the relative ``options`` of
    overlayfs.
    """

    directory: Path
    options: str

    def prologue(self) -> tuple[str, ...]:
        """The programs that go before bwrap: new namespaces, the mount, and for an ordinary user the way back to no
        capability.
        """
        script = ("--", "sh", "-c", _MOUNT_THEN_RUN, "sh", str(self.directory), self.options)
        if os.geteuid() == 0:
            return ("unshare", "--mount", *script)
        # --map-current-user keeps the user id, --keep-caps lets mount(8) work; bwrap refuses to start with
        # capabilities.
        namespaces = ("unshare", "--map-current-user", "--keep-caps", "--mount")
        return (*namespaces, *script, "setpriv", "--ambient-caps=-all", "--inh-caps=-all")


def keep_visible(*paths: Path) -> tuple[Bind, ...]:
    """Read-only binds that show ``paths`` where they are, for those that a view would hide: what lies under ``/tmp``
    and ``/var/tmp``.

    A checkout with its virtual environment may lie there.
    """
    hidden = [PurePosixPath(os.path.realpath(name)) for name in _TEMPORARY]
    wanted = {PurePosixPath(os.path.realpath(path)) for path in paths}
    kept: list[PurePosixPath] = []
    for path in sorted(wanted):
        if any(map(path.is_relative_to, hidden)) and not any(map(path.is_relative_to, kept)):
            kept.append(path)
    return tuple(Bind(Path(path), path) for path in kept)


def unbound(prefix: PurePosixPath) -> View:
    """``--no-bind``: the prefix is a plain writable directory of this machine and commands run as they are, network
    included.
    """
    return View(prefix)


def tree_view(
    tree: Path,
    prefix: PurePosixPath,
    *,
    binds: Sequence[Bind] = (),
    offline: bool = False,
    interactive: bool = False,
) -> View:
    """A read-only view of any directory, such as a checked out revision, at the path ``prefix``."""
    return build(Bind(tree, prefix), binds=binds, offline=offline, interactive=interactive)


def build(tree: Bind, *, binds: Sequence[Bind] = (), offline: bool, interactive: bool, overlay: Overlay | None = None) -> View:
    """The view that shows ``tree`` and ``binds``. Raises ``StageError`` when a bind cannot be laid out,
    ``HostError`` without bwrap.

    ``interactive`` keeps the terminal's session, for job control and Ctrl-C in a shell; otherwise the command gets a
    session of its own and cannot put characters into the terminal's input (``ioctl_tty(2)``, TIOCSTI).
    """
    _refuse_binds_that_clash(tree, binds)
    layout = _Layout()
    for name in _TEMPORARY:
        real = PurePosixPath(os.path.realpath(name))
        if name == _TEMPORARY[0] or Path(real).is_dir():
            layout.add_tmpfs(real)
    for bind in sorted((tree, *binds), key=lambda bind: bind.destination.parts):
        layout.add(bind)
    options = ["--unshare-pid", "--die-with-parent"]
    if offline:
        options.append("--unshare-net")
    if not interactive:
        options.append("--new-session")
    if os.geteuid() == 0:
        options += ["--cap-drop", "ALL"]
        for capability in ROOT_CAPABILITIES:
            options += ["--cap-add", capability]
    prologue = overlay.prologue() if overlay else ()
    return View(tree.destination, (*prologue, "bwrap", *layout.arguments(), *options, "--"))


def _refuse_binds_that_clash(tree: Bind, binds: Sequence[Bind]) -> None:
    taken: set[PurePosixPath] = set()
    for bind in (tree, *binds):
        destination = bind.destination
        if not destination.is_absolute() or ".." in destination.parts or len(destination.parts) < 2:
            raise StageError(f"{destination} cannot be bound", cause="a destination is an absolute path below /")
        if destination in taken:
            raise StageError(f"{destination} is bound twice")
        if bind is not tree and destination.is_relative_to(tree.destination):
            # bwrap would make the mount point inside the stage, and it would be published.
            raise StageError(f"{destination} cannot be bound", cause=f"it lies inside the prefix {tree.destination}")
        if not bind.source.exists():
            raise StageError(f"{bind.source} cannot be shown at {destination}", cause="it does not exist")
        taken.add(destination)


@functools.cache
def _bwrap_sets_modes() -> bool:
    """Whether bwrap knows ``--perms`` (since 0.5; Enterprise Linux 8 has 0.4). Asking also finds out that bwrap is
    missing.
    """
    try:
        version = process.run(["bwrap", "--version"]).stdout
    except ProgramError as error:
        raise refusal.missing_program(error) from error
    found = re.search(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) >= (0, 5)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a path of the view shows: a directory of the host, or (None) a tmpfs in which mount points can be made."""

    source: Path | None
    writable: bool = False


class _Layout:
    """Lays mounts over each other, parents before children, in bwrap's arguments."""

    def __init__(self, host: Path = Path("/")) -> None:
        root = PurePosixPath("/")
        self._arguments: list[str] = ["--tmpfs", "/"]
        self._shown: dict[PurePosixPath, _Shown] = {root: _Shown(None)}
        self._read_only: list[PurePosixPath] = [root]
        self._show_entries(root, _Shown(host), leave_out=("dev", "proc", "tmp"))
        self._arguments += ["--proc", "/proc", "--dev", "/dev"]
        for name in _KERNEL_FILES if os.geteuid() == 0 else ():
            self._arguments += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]

    def arguments(self) -> list[str]:
        """All of bwrap's file system arguments. The directories that were made here end up read-only, so that a
        stray write fails.
        """
        closing = [word for path in reversed(self._read_only) for word in ("--remount-ro", str(path))]
        return self._arguments + closing

    def add_tmpfs(self, destination: PurePosixPath) -> None:
        """An empty, writable directory with the mode of ``/tmp``."""
        self._make_room(destination, is_directory=True)
        modes = ["--perms", "1777"] if _bwrap_sets_modes() else []
        self._arguments += [*modes, "--tmpfs", str(destination)]
        self._shown[destination] = _Shown(None)

    def add(self, bind: Bind) -> None:
        """Show ``bind``, at the place to which the host's own links lead (``/sw`` → ``/data/sw``): it is seen under
        both names.
        """
        destination = PurePosixPath(os.path.realpath(bind.destination))
        self._make_room(destination, is_directory=bind.source.is_dir())
        self._bind(bind.source.absolute(), destination, writable=bind.writable)

    def _bind(self, source: Path, destination: PurePosixPath, *, writable: bool) -> None:
        self._arguments += ["--bind" if writable else "--ro-bind", str(source), str(destination)]
        self._shown[destination] = _Shown(source, writable)

    def _make_room(self, destination: PurePosixPath, *, is_directory: bool) -> None:
        """See to it that ``destination`` can be mounted on."""
        anchor = next(path for path in (destination, *destination.parents) if path in self._shown)
        shown, here = self._shown[anchor], anchor
        for part in destination.relative_to(anchor).parts:
            there = here / part
            if shown.source is not None:
                below = shown.source / part
                kind = _kind(below)
                if kind == stat.S_IFDIR or (kind is not None and there == destination and not is_directory):
                    shown, here = _Shown(below, shown.writable), there
                    continue
                if kind is not None:
                    raise StageError(f"{destination} cannot be mounted", cause=f"{there} is not a directory on this machine")
                self._open(here, shown)
                shown = _Shown(None)
            if there != destination:
                # bwrap makes missing parents with mode 0700: nobody but root could pass.
                self._arguments += ["--dir", str(there)]
                self._shown[there] = _Shown(None)
            here = there

    def _open(self, directory: PurePosixPath, shown: _Shown) -> None:
        """Replace a directory of the host by a tmpfs that shows the same entries, so that a mount point can be made
        in it.
        """
        self._arguments += ["--tmpfs", str(directory)]
        self._read_only.append(directory)
        self._shown[directory] = _Shown(None)
        self._show_entries(directory, shown)

    def _show_entries(self, directory: PurePosixPath, shown: _Shown, leave_out: Sequence[str] = ()) -> None:
        assert shown.source is not None
        for name in sorted(_names(shown.source)):
            source = shown.source / name
            kind = _kind(source)
            if name in leave_out or kind is None or (directory / name) in self._shown:
                continue
            if kind == stat.S_IFLNK:
                self._arguments += ["--symlink", str(source.readlink()), str(directory / name)]
            else:
                self._bind(source, directory / name, writable=shown.writable)


def _names(directory: Path) -> list[str]:
    try:
        return [entry.name for entry in directory.iterdir()]
    except PermissionError:  # what this user cannot list, he cannot miss
        return []


def _kind(path: Path) -> int | None:
    """The file type bits of ``path`` itself, or None where there is nothing that this user can reach (a private FUSE
    mount, say).
    """
    try:
        return stat.S_IFMT(path.lstat().st_mode)
    except OSError:
        return None
