"""Repositories: where layers are published, and the only ways to change them."""

from __future__ import annotations

from pathlib import Path

from compatlayer.declaration.model import Backend, Layer
from compatlayer.errors import UsageError
from compatlayer.repository.base import Repository

TEST = "test"
PRODUCTION = "production"


def open_repository(layer: Layer, name: str, state: Path) -> Repository:
    """The repository that the layer declares under ``name``. Raises ``UsageError`` when it declares none.

    ``state`` is the state directory, where what a backend cannot keep with the repository itself is kept.
    """
    declared = layer.repositories.get(name)
    if declared is None:
        known = ", ".join(layer.repositories) or "none"
        line = f"{name}: {{backend: ostree, path: .compatlayer/repositories/{name}}}"
        raise UsageError(
            f"{layer.file.name} declares no repository '{name}'", hint=f"declared are: {known}; add below repositories: {line}"
        )
    if declared.backend is Backend.CVMFS:
        from compatlayer.repository.cvmfs import CvmfsRepository  # noqa: PLC0415

        assert declared.name is not None, "a cvmfs repository has a name"
        return CvmfsRepository(name, declared.name, state / "repositories" / declared.name)
    from compatlayer.repository.ostree import OstreeRepository  # noqa: PLC0415

    assert declared.path is not None, "an ostree repository has a path"
    return OstreeRepository(name, layer.root / declared.path)
