"""Trees as values for tests: written to disk, and put over each other as overlayfs does, without a kernel."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from hypothesis import strategies as st


@dataclass(frozen=True)
class File:
    content: bytes = b""
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    target: str


@dataclass(frozen=True)
class Whiteout:
    pass


@dataclass(frozen=True)
class Dir:
    below: Mapping[str, Thing] = field(default_factory=dict)
    mode: int = 0o755
    opaque: bool = False


Thing: TypeAlias = File | Link | Whiteout | Dir

# Few names, so that trees meet; some that sort, quote or encode badly.
names = st.sampled_from(["a", "b", "a.b", "A", "ü", "\udcff", "new\nline", '",{', "-"])
files = st.builds(File, st.binary(max_size=3), st.sampled_from([0o644, 0o755, 0o400, 0o4755]))
links = st.builds(Link, st.sampled_from(["a", "/etc", "../..", "nowhere"]))


def trees(*, upper: bool) -> st.SearchStrategy[Dir]:
    """Directories with all kinds in them; as an overlay's ``upper`` also whiteouts and opaque directories."""
    leaves: st.SearchStrategy[Thing] = st.one_of(files, links, *([st.just(Whiteout())] if upper else []))

    def directory(below: st.SearchStrategy[Thing]) -> st.SearchStrategy[Thing]:
        children = st.dictionaries(names, below, max_size=4)
        return st.builds(Dir, children, st.sampled_from([0o755, 0o700, 0o555]), st.booleans() if upper else st.just(False))

    below = st.recursive(leaves, directory, max_leaves=12)
    return st.builds(Dir, st.dictionaries(names, below, max_size=5), st.sampled_from([0o755, 0o750]))


def write(tree: Dir, path: Path) -> None:
    """Make ``tree`` at ``path``, with the marks of an overlay that any user can make."""
    path.mkdir()
    for name, thing in tree.below.items():
        where = path / name
        match thing:
            case File(content, mode):
                where.write_bytes(content)
                where.chmod(mode)
            case Link(target):
                where.symlink_to(target)
            case Whiteout():
                where.touch()
                os.setxattr(where, "user.overlay.whiteout", b"y")
            case Dir():
                write(thing, where)
    if tree.opaque:
        os.setxattr(path, "user.overlay.opaque", b"y")
    path.chmod(tree.mode)


def over(lower: Dir, upper: Dir) -> Dir:
    """What an overlay of the two shows (the kernel's rules, Documentation/filesystems/overlayfs.rst)."""
    below = {} if upper.opaque else dict(lower.below)
    for name, thing in upper.below.items():
        before = below.pop(name, None)
        if isinstance(thing, Dir):
            below[name] = over(before if isinstance(before, Dir) else Dir(), thing)
        elif not isinstance(thing, Whiteout):
            below[name] = thing
    return Dir(below, upper.mode)
