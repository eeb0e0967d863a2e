"""What a converge leaves on record: in the layer what it was made from, beside the stage whether it is still so."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from compatlayer import __version__, selection
from compatlayer.gentoo.packages import Closure, Need, ResolvedPackage
from compatlayer.gentoo.portage_configuration import ETC_PORTAGE, digest_of
from compatlayer.journal import write_atomically
from compatlayer.plan import Kind, Plan
from compatlayer.resources import resource
from compatlayer.selection import Selection
from compatlayer.stage import Stage

PROVENANCE = selection.PROVENANCE
# Where the C library of a layer looks for locales (standalone's configure line says the same).
LOCALES = PurePosixPath("usr/lib/locale")


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done: the selection, its closure, and the plan that leads there."""

    chosen: Selection
    closure: Closure
    plan: Plan


def stamp(work: Work, stage: Stage, *, bind: bool = True) -> str:
    """A digest over all that a converge depends on, and over the files that roles made as they are now.

    Equal stamps mean that running the roles again would change nothing: rendered variables, roles and modules, the tool's
    version, and the content of the files in the stage.
    """
    digest = hashlib.sha256(f"{__version__}\0".encode())
    digest.update(json.dumps(provenance(work), sort_keys=True).encode())
    # Without the plan: a rebuild that was due is done by the time this is remembered.
    digest.update(json.dumps(packages(replace(work, plan=Plan(()))), sort_keys=True).encode())
    for name in ("playbooks", "roles"):
        digest.update(_tree_digest(resource(name)))
    made = (PROVENANCE, *selection.host_links(work.chosen), *selection.trusted_directories(work.chosen))
    trees = trees_of(stage, bound=bind)
    # What lies in Portage's directory beside what was declared is Portage's configuration too, until a role removes it.
    found = {path for tree in trees for path in _files_below(tree, ETC_PORTAGE)}
    for path in sorted({*selection.prefix_files(work.chosen), *made, *found}):
        digest.update(f"{path}\0".encode() + _entry(trees, path) + b"\0")
    if work.chosen.version.locales:
        digest.update("\0".join(_names(trees, LOCALES)).encode())
    return digest.hexdigest()


def is_converged(stage: Stage, expected: str) -> bool:
    """Whether the last converge of ``stage`` ended well with this stamp."""
    try:
        return (stage.directory / "converged").read_text(encoding="ascii").strip() == expected
    except (OSError, ValueError):
        return False


def remember(stage: Stage, value: str) -> None:
    """Keep the stamp of a converge that ended well."""
    write_atomically(stage.directory / "converged", f"{value}\n".encode())


def provenance(work: Work) -> dict[str, object]:
    """What the part is made from. No time, user or machine is named: the same declaration gives the same document."""
    chosen = work.chosen
    bootstrap = chosen.version.bootstrap
    return {
        **({"bootstrap_script": {"commit": bootstrap.commit, "sha256": bootstrap.script.sha256}} if bootstrap else {}),
        "layer": chosen.layer.name,
        "version": chosen.version.name,
        "target": chosen.part.target.name,
        "prefix": str(chosen.part.prefix),
        "engine": chosen.engine.name.value,
        "tool": f"compatlayer {__version__}",
        "configuration_sha256": digest_of(selection.prefix_files(chosen)),
        "repositories": [{"name": repository.name, "commit": repository.commit} for repository in chosen.version.repositories],
        "engine_sources": sorted(source.name for source in chosen.engine.sources(chosen.version)),
        "host_links": links(selection.host_links(chosen)),
        "trusted_dirs": [str(path) for path in selection.trusted_directories(chosen)],
        "locales": list(chosen.version.locales),
        "declared": [{"atom": package.atom, "reason": package.reason} for package in chosen.packages],
        "packages": [
            {"cpv": one.id.cpv, "slot": one.slot, "repository": one.repository, "use": list(one.use)} for one in work.closure
        ],
    }


def packages(work: Work) -> list[dict[str, object]]:
    """The whole closure as the emerge module takes it, longest chains first; a forced rebuild carries its reason."""
    forced = {action.comparison.package.id.cpv: action.reason for action in work.plan.of(Kind.REBUILD)}
    return [
        {
            "cpv": one.id.cpv,
            "slot": one.slot,
            "repository": one.repository,
            "use": list(one.use),
            "iuse": list(one.iuse),
            **({"rebuild": forced[one.id.cpv]} if one.id.cpv in forced else {}),
        }
        for one in longest_chains_first(work.closure)
    ]


def longest_chains_first(closure: Closure) -> list[ResolvedPackage]:
    """The closure in an order in which it can be built: what most packages wait for, one after the other, comes first.

    Portage begins packages in the order in which it is asked for them, as far as their dependencies allow. Asked in this
    order, a long chain (ncurses, readline, bash) is built beside the packages that nothing waits for, and not after them.
    """
    chain: dict[str, int] = {}
    # Parents come after what they need, except in a circle, whose other half counts as nothing.
    for package in reversed(closure.packages):
        above = [chain.get(parent.cpv, 0) for parent in package.parents if parent.need is not Need.POST]
        chain[package.id.cpv] = 1 + max(above, default=0)
    return sorted(closure, key=lambda package: -chain[package.id.cpv])


@dataclass(frozen=True, slots=True)
class Former:
    """What the roles have made beside packages, as the last record of it says: links with their targets, and directories."""

    links: Mapping[PurePosixPath, str]
    directories: tuple[PurePosixPath, ...]


def former(trees: Sequence[Path]) -> Former:
    """What the last converge of this stage, or of what it stands on, has recorded."""
    try:
        document = json.loads(_content(trees, PROVENANCE))
        links = {PurePosixPath(link["path"]): str(link["target"]) for link in document["host_links"]}
        return Former(links, tuple(PurePosixPath(path) for path in document["trusted_dirs"]))
    except (ValueError, KeyError, TypeError):
        return Former({}, ())  # no record yet, or one of a release that recorded neither


def links(targets: Mapping[PurePosixPath, str]) -> list[dict[str, str]]:
    """Links as plain data, for a document or a role."""
    return [{"path": str(path), "target": target} for path, target in targets.items()]


def trees_of(stage: Stage, *, bound: bool) -> list[Path]:
    """What the prefix is made of, the tree that wins first."""
    if not bound:
        return [Path(stage.part.prefix)]
    return [tree for tree in (stage.upper, stage.lower) if tree is not None]


def _content(trees: Sequence[Path], path: PurePosixPath) -> bytes:
    """A regular file of the stage, from what was written or else from the tree below it; empty when it is in neither."""
    kind, _, content = _entry(trees, path).partition(b":")
    return content if kind == b"file" else b""


def _entry(trees: Sequence[Path], path: PurePosixPath) -> bytes:
    """What the stage holds at a path, itself and not what a link there leads to."""
    for tree in trees:
        place = tree / path
        try:
            mode = place.lstat().st_mode
            if stat.S_ISLNK(mode):
                return b"link:" + os.fsencode(place.readlink())
            if stat.S_ISREG(mode):
                return b"file:" + place.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"unreadable:{error.errno}".encode()
        return b"directory:" if stat.S_ISDIR(mode) else b"absent:"  # a device is overlayfs's mark of a deletion
    return b"absent:"


def _names(trees: Sequence[Path], path: PurePosixPath) -> list[str]:
    """The names in a directory of the stage, of what was written and of the tree below it."""
    return sorted({name for tree in trees if (tree / path).is_dir() for name in os.listdir(tree / path)})


def _files_below(tree: Path, directory: PurePosixPath) -> Iterator[PurePosixPath]:
    """Everything below a directory of a tree that is no directory itself, by path below the tree."""
    for parent, _, names in os.walk(tree / directory):
        yield from (PurePosixPath(os.path.relpath(parent, tree), name) for name in names)


def _tree_digest(directory: Path) -> bytes:
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(directory)}\0".encode() + path.read_bytes() + b"\0")
    return digest.digest()
