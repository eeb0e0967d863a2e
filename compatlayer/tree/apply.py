"""Carry a change list out on a directory.

The destination is never left: no link in it is followed, whatever it or the change list holds.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from compatlayer.errors import StageError
from compatlayer.tree.beneath import Beneath, names_in, open_directory, open_forbidden, parts_of, remove
from compatlayer.tree.changes import ChangeList, Put
from compatlayer.tree.entries import Kind, interesting_xattrs, is_interesting


def apply(changes: ChangeList, source: Path, destination: Path) -> None:
    """Make the tree at ``destination`` what it is after ``changes``, whose new contents are below ``source``.

    Kinds, permission bits, contents, link targets and the extended attributes that ``entries`` counts are set;
    owners and times are not. Each file appears under its name whole; the list as a whole is not atomic. Doing it
    again after a crash gives the same tree. Raises ``StageError`` when the two do not fit, ``OSError`` when the disk
    is full and the like.
    """
    with Beneath(source) as new, Beneath(destination) as tree:
        directories = [put for put in changes.puts if put.kind is Kind.DIRECTORY]
        _unlock(directories, tree)
        for path in changes.deletes:
            _delete(path, tree)
        for path in changes.opaque:
            _empty(path, tree)
        for put in changes.puts:
            try:
                _put(put, new, tree)
            except (NotADirectoryError, FileNotFoundError) as error:
                raise StageError(f"{put.path} cannot be put", cause=f"{error.strerror}: {error.filename}") from error
        # Last, and from below: a directory may forbid what was just done in it.
        for put in reversed(directories):
            _settle(put, new, tree)


def _unlock(directories: list[Put], tree: Beneath) -> None:
    """Make the directories that change writable for us; ``_settle`` gives them their mode."""
    for put in directories:
        status = tree.lstat(put.path)
        if status is not None and stat.S_ISDIR(status.st_mode):
            holder, name = tree.parent(put.path)
            os.close(open_forbidden(name, inside=holder, status=status))


def _delete(path: str, tree: Beneath) -> None:
    if tree.lstat(path) is not None:
        holder, name = tree.parent(path)
        remove(name, inside=holder)
        tree.forget()


def _empty(path: str, tree: Beneath) -> None:
    status = tree.lstat(path)
    if status is not None and stat.S_ISDIR(status.st_mode):
        descriptor = tree.directory(path)
        for name in names_in(descriptor):
            remove(name, inside=descriptor)
        tree.forget()


def _put(put: Put, new: Beneath, tree: Beneath) -> None:
    if not parts_of(put.path):
        return
    there = tree.lstat(put.path)
    holder, name = tree.parent(put.path)
    is_directory = there is not None and stat.S_ISDIR(there.st_mode)
    if there is not None and is_directory != (put.kind is Kind.DIRECTORY):
        remove(name, inside=holder)
    if put.kind is Kind.DIRECTORY:
        if not is_directory:
            os.mkdir(name, mode=0o700, dir_fd=holder)
        return
    source_holder, source_name = new.parent(put.path)
    # A name that no build would choose, and that a second run after a crash does not trip on.
    temporary = f".compatlayer-{secrets.token_hex(8)}"
    try:
        if put.kind is Kind.SYMLINK:
            os.symlink(os.readlink(source_name, dir_fd=source_holder), temporary, dir_fd=holder)
        else:
            _copy(source_name, source_holder, temporary, holder)
        os.rename(temporary, name, src_dir_fd=holder, dst_dir_fd=holder)
    except BaseException:
        remove(temporary, inside=holder)
        raise


def _copy(name: str, inside: int, temporary: str, holder: int) -> None:
    reading = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=inside)
    try:
        status = os.fstat(reading)
        if not stat.S_ISREG(status.st_mode):
            raise StageError(f"{name} is not the file it was when the change list was read")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        writing = os.open(temporary, flags, 0o600, dir_fd=holder)
        try:
            while os.sendfile(writing, reading, None, 1 << 24):
                pass
            for attribute, value in interesting_xattrs(reading):
                os.setxattr(writing, attribute, value)
            # Last: writing takes setuid away, and a read-only file takes no attribute.
            os.fchmod(writing, stat.S_IMODE(status.st_mode))
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _settle(put: Put, new: Beneath, tree: Beneath) -> None:
    """Give a directory the attributes and the mode it has in the source."""
    wanted = dict(interesting_xattrs(new.directory(put.path)))
    holder, name = tree.parent(put.path)
    descriptor = open_directory(name, inside=holder)
    try:
        for attribute in os.listxattr(descriptor):
            if is_interesting(attribute) and attribute not in wanted:
                os.removexattr(descriptor, attribute)
        for attribute, value in wanted.items():
            os.setxattr(descriptor, attribute, value)
        os.fchmod(descriptor, put.mode)
    finally:
        os.close(descriptor)
