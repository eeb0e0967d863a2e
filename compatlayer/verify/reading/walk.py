"""Walking a tree: the directories one by one, each reached through descriptors that follow no link."""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from compatlayer.tree.beneath import LINK_ERRORS, MAX_DEPTH, ROOT, join, open_directory


class Trouble(enum.Enum):
    """Why a directory, and all below it, was not looked at."""

    FORBIDDEN = "it may not be read"
    TOO_DEEP = f"it lies more than {MAX_DEPTH} directories deep"
    ELSEWHERE = "another file system is mounted there"
    CHANGED = "it was replaced or removed while the tree was read"
    BROKEN = "it cannot be read"


class Problem(NamedTuple):
    """A directory that was left out; ``reason`` is the system's own word where it had one."""

    path: str
    trouble: Trouble
    reason: str = ""


class Listing(NamedTuple):
    """The names in one directory, sorted, and those of them that are directories."""

    path: str
    names: list[str]
    directories: list[str]


def walk(tree: Path, problems: list[Problem]) -> Iterator[Listing]:
    """Every directory of ``tree`` that can be listed, each before those in it; what cannot goes into ``problems``.

    Mounts are not entered: what is mounted there is not the layer's. Raises ``OSError`` when ``tree`` itself cannot be opened.
    """
    root = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    device = os.fstat(root).st_dev
    stack: list[tuple[str, int, list[str]]] = []
    try:
        listing = _list(ROOT, root, problems)
        stack.append((ROOT, root, listing.directories[::-1]))
        yield listing
        while stack:
            directory, descriptor, waiting = stack[-1]
            if not waiting:
                os.close(descriptor)
                stack.pop()
                continue
            name = waiting.pop()
            path = join(directory, name)
            below = _open(name, descriptor, path, device, len(stack), problems)
            if below < 0:
                continue
            listing = _list(path, below, problems)
            stack.append((path, below, listing.directories[::-1]))
            yield listing
    finally:
        for _, descriptor, _ in stack:
            os.close(descriptor)


def _open(name: str, inside: int, path: str, device: int, depth: int, problems: list[Problem]) -> int:
    """A descriptor of a directory to walk, or -1 with a problem noted."""
    if depth >= MAX_DEPTH:
        problems.append(Problem(path, Trouble.TOO_DEEP))
        return -1
    try:
        descriptor = open_directory(name, inside=inside)
    except OSError as error:
        problems.append(_problem(path, error))
        return -1
    if os.fstat(descriptor).st_dev != device:
        os.close(descriptor)
        problems.append(Problem(path, Trouble.ELSEWHERE))
        return -1
    return descriptor


def _list(path: str, descriptor: int, problems: list[Problem]) -> Listing:
    names, directories = [], []
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                names.append(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.name)
    except OSError as error:
        problems.append(_problem(path, error))
    # Code points put surrogate escapes where their bytes would be but for names beyond the basic plane; any fixed order will do.
    names.sort()
    directories.sort()
    return Listing(path, names, directories)


def _problem(path: str, error: OSError) -> Problem:
    if error.errno in (errno.ENOENT, *LINK_ERRORS):
        return Problem(path, Trouble.CHANGED)
    if error.errno in (errno.EACCES, errno.EPERM):
        return Problem(path, Trouble.FORBIDDEN)
    return Problem(path, Trouble.BROKEN, error.strerror or str(error))
