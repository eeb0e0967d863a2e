"""What published revisions were built from: the mirror keeps that, whatever has become of the declaration.

Everything is read from the revisions themselves, so a mirror whose index was lost, or one on another machine, knows it too. What
was read once is kept in the index, under the revision's Merkle root: a promoted revision has that of the tested one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from compatlayer import trees
from compatlayer.declaration.model import TARGETS, Layer, Part
from compatlayer.errors import DistfileError
from compatlayer.gentoo.built_from import ENVIRONMENT, source_files
from compatlayer.gentoo.portage_configuration import PACKAGE_DATABASE
from compatlayer.mirror.index import Index
from compatlayer.repository import open_repository
from compatlayer.repository.base import Repository, Revision
from compatlayer.selection import PROVENANCE

# What ``repository.base.tag_of`` makes.
_TAG = re.compile(r"(?P<version>.+)-(?P<target>[a-z]+-[a-z0-9_]+)\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Published:
    """A revision of a part in a repository."""

    repository: Repository
    part: Part
    revision: Revision

    def __str__(self) -> str:
        return f"{self.repository.name}:{self.revision.number} of {self.part}"


def hold(index: Index, layer: Layer, state: Path) -> Mapping[str, tuple[str, ...]]:
    """Make the index hold what every published revision was built from, and nothing for revisions that are gone.

    Gives the revisions (as a person calls them) by holder. Raises ``RepositoryError`` when a repository cannot be read,
    ``DistfileError`` when a revision does not tell what it was built from; the index then holds what it held before, and more.
    """
    there: dict[str, list[Published]] = {}
    for one in _revisions(layer, state):
        there.setdefault(one.revision.root, []).append(one)
    known = set(index.holders())
    for root, same in there.items():
        if root not in known:
            index.keep(root, _built_from(same[0]))
    for gone in known - set(there):
        index.let_go(gone)
    return {root: tuple(map(str, same)) for root, same in there.items()}


def _revisions(layer: Layer, state: Path) -> Iterator[Published]:
    """Every revision in the layer's repositories, also those of versions that are declared no more."""
    for name in layer.repositories:
        repository = open_repository(layer, name, state)
        parts = {layer.part(version, target) for version in layer.versions for target in layer.targets}
        for tag in repository.tags():
            found = _TAG.fullmatch(tag)
            if found and found["target"] in TARGETS:
                parts.add(layer.part_of(found["version"], TARGETS[found["target"]]))
        for part in sorted(parts, key=str):
            for revision in repository.revisions(part):
                yield Published(repository, part, revision)


def _built_from(published: Published) -> frozenset[str]:
    """Source files, and the git bundles of the ebuild trees, by name."""
    repository, part, revision = published.repository, published.part, published.revision
    manifest = repository.manifest(revision, part)
    depth = len(PACKAGE_DATABASE.parts) + 2
    packages = [one.path for one in manifest if one.path.startswith(f"{PACKAGE_DATABASE}/") and one.path.count("/") == depth - 1]
    paths = [f"{package}/{ENVIRONMENT}" for package in packages]
    if manifest.get(str(PROVENANCE)) is not None:
        paths.append(str(PROVENANCE))
    names: set[str] = set()
    with repository.source(revision, part, [path for path in paths if manifest.get(path) is not None]) as tree:
        for path in paths:
            try:
                names |= _recorded(tree / path) if path == str(PROVENANCE) else source_files(tree / path)
            except (ValueError, KeyError, TypeError, OSError) as error:
                raise DistfileError(
                    f"it cannot be told what {published} was built from",
                    cause=f"{path}: {error.strerror if isinstance(error, OSError) else error}",
                    hint="nothing is pruned as long as that is so; `compatlayer verify --revision` says more about the revision",
                ) from error
    return frozenset(names)


def _recorded(provenance: Path) -> set[str]:
    """What a part's record of its making names: the engine's sources, and the trees, as git bundles below the mirror."""
    document = json.loads(provenance.read_bytes())
    pinned = {trees.bundle_name(one["name"], one["commit"]) for one in document["repositories"] if one["commit"]}
    return {f"{trees.DIRECTORY}/{name}" for name in pinned} | set(map(str, document.get("engine_sources", ())))
