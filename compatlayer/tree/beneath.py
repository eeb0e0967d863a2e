"""Files below one directory, reached without ever leaving it.

Every step goes through a directory descriptor and follows no link (``openat(2)`` with ``O_NOFOLLOW``), so a tree
cannot lead us out of itself, not even while somebody changes it.

A *tree path* is a string relative to the tree's root, its parts separated by ``/``, ``.`` for the root itself. Names
that are not UTF-8 carry surrogate escapes, as everywhere in Python (PEP 383).
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from types import TracebackType

from compatlayer.errors import StageError

ROOT = "."
# What openat(2) says of a link where a directory was wanted: ELOOP on Linux, or ENOTDIR.
LINK_ERRORS = (errno.ELOOP, errno.ENOTDIR)
# Deeper than any package goes (40), less deep than Python's stack and a process's open files.
MAX_DEPTH = 250
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def parts_of(path: str) -> tuple[str, ...]:
    """The names on the way to a tree path; none for the root. Raises ``StageError`` for what is no tree path."""
    if path == ROOT:
        return ()
    parts = tuple(path.split("/"))
    if len(parts) > MAX_DEPTH:
        raise StageError(f"{path[:80]}… lies more than {MAX_DEPTH} directories deep")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise StageError(f"{path!r} is not a path inside a tree", hint="a path is relative and holds no '..'")
    return parts


def order(path: str) -> tuple[bytes, ...]:
    """The sort key of canonical order: names as bytes, a directory before what it holds."""
    return tuple(os.fsencode(part) for part in parts_of(path))


def join(directory: str, name: str) -> str:
    """The tree path of ``name`` in ``directory``."""
    return name if directory == ROOT else f"{directory}/{name}"


def open_directory(name: str | Path, *, inside: int | None = None) -> int:
    """A descriptor of a directory that is not a link; the caller closes it."""
    return os.open(name, _OPEN_DIRECTORY, dir_fd=inside)


def names_in(descriptor: int) -> list[str]:
    """The names in an open directory, in the order of their bytes."""
    return sorted(os.listdir(descriptor), key=os.fsencode)


class Beneath:
    """Descriptors of the directories below a root. Asking in canonical order opens each directory once.

    Use it in a ``with`` block; the descriptors it hands out are its own, to be used before the next question.
    """

    def __init__(self, root: Path) -> None:
        # The root itself may be reached through links: it is the caller's word.
        self._descriptors = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        self._names: list[str] = []

    def __enter__(self) -> Beneath:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._leave(0)
        os.close(self._descriptors.pop())

    def directory(self, path: str) -> int:
        """A descriptor of the directory ``path``. Raises ``OSError`` where it, or a part on the way, is none."""
        wanted = parts_of(path)
        shared = 0
        while shared < min(len(wanted), len(self._names)) and wanted[shared] == self._names[shared]:
            shared += 1
        self._leave(shared)
        for name in wanted[shared:]:
            self._descriptors.append(open_directory(name, inside=self._descriptors[-1]))
            self._names.append(name)
        return self._descriptors[-1]

    def parent(self, path: str) -> tuple[int, str]:
        """A descriptor of the directory that holds ``path``, and the name in it; the root is ``.`` in itself."""
        *above, name = parts_of(path) or (ROOT,)
        return self.directory("/".join(above) or ROOT), name

    def lstat(self, path: str) -> os.stat_result | None:
        """What is at ``path``, or None where nothing is, or where a part on the way is no directory."""
        try:
            descriptor, name = self.parent(path)
            return os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno in LINK_ERRORS:
                return None
            raise

    def forget(self) -> None:
        """Let go of all directories: something was removed or replaced."""
        self._leave(0)

    def _leave(self, depth: int) -> None:
        while len(self._names) > depth:
            self._names.pop()
            os.close(self._descriptors.pop())


def remove(name: str, *, inside: int) -> None:
    """Remove a file, a link or a whole tree, also one with directories that even their owner may not enter.

    ``inside`` is the descriptor of the directory that holds it. What is not there is not missed.
    """
    try:
        status = os.stat(name, dir_fd=inside, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=inside)
        return
    descriptor = open_forbidden(name, inside=inside, status=status)
    try:
        for below in names_in(descriptor):
            remove(below, inside=descriptor)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=inside)


def remove_tree(path: Path) -> None:
    """The same for a path, whose parent may be missing as well."""
    if path.parent.is_dir():
        with Beneath(path.parent) as above:
            remove(path.name, inside=above.directory(ROOT))


def open_forbidden(name: str, *, inside: int, status: os.stat_result) -> int:
    """A descriptor of a directory of ours, which is given the permissions for it first (overlayfs's ``work/work``
    has none).
    """
    if status.st_mode & stat.S_IRWXU != stat.S_IRWXU:
        # There is no fchmodat(2) that follows no link; through O_PATH the right object, if no link was put in its
        # place.
        handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=inside)
        try:
            Path(f"/proc/self/fd/{handle}").chmod(stat.S_IMODE(status.st_mode) | stat.S_IRWXU)
        finally:
            os.close(handle)
    return open_directory(name, inside=inside)
