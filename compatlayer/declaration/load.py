"""Reading a declaration: ``layer.yaml`` and the set files it names, as one ``Layer`` or as every mistake in them.

Nothing is written, and nothing below ``config/`` or an overlay is read: ``configuration`` and the Portage worker do
that.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from compatlayer.declaration import build, schema
from compatlayer.declaration.agreement import View, check_layer, layer_targets, repository_names
from compatlayer.declaration.model import Layer, PackageSet
from compatlayer.declaration.names import WrongNameError, closest, inside
from compatlayer.declaration.set_agreement import VersionContext, check_sets
from compatlayer.declaration.translate import validate
from compatlayer.declaration.yaml_nodes import Document, read
from compatlayer.errors import DeclarationError, Mistake, UsageError

FILE_NAME = "layer.yaml"


def find(start: Path) -> Path:
    """``layer.yaml`` in the directory ``start`` or the nearest one above it. Raises ``UsageError`` when there is
    none.
    """
    start = start.absolute()
    for directory in (start, *start.parents):
        if (directory / FILE_NAME).exists():
            return directory / FILE_NAME
    raise UsageError(
        f"no {FILE_NAME} in {start} or above",
        hint="compatlayer init DIR makes a layer; --layer FILE names one elsewhere",
    )


def load(file: Path) -> Layer:
    """The layer that ``file`` declares. Raises ``DeclarationError`` with every mistake of every file, by file and line.

    Messages name files relative to the directory of ``file``.
    """
    root = file.absolute().parent
    document = read(file, file.name)
    entry = validate(document, schema.LayerFile)
    mistakes: list[Mistake] = []
    sets: dict[str, PackageSet] = {}
    documents: dict[str, Document] = {}
    if document.readable:
        mistakes += check_layer(document, root)
        versions = []
        for name, version in View(document).entries("versions"):
            named = _read_sets(version, root, documents, mistakes)
            versions.append(VersionContext(name, repository_names(version), named))
        for shown, found in documents.items():
            set_entry = validate(found, schema.SetFile)
            if set_entry is not None:
                sets[shown] = build.package_set(set_entry, found)
        mistakes += check_sets(versions, layer_targets(document))
    for each in (document, *documents.values()):
        mistakes += each.mistakes
    if mistakes or entry is None:
        raise DeclarationError(_sorted(mistakes, first=file.name))
    return build.layer(entry, document, file, sets)


def _read_sets(version: View, root: Path, documents: dict[str, Document], mistakes: list[Mistake]) -> tuple[Document, ...]:
    """Read a version's set files into ``documents`` (once each), noting those that do not exist; the readable ones."""
    named = []
    for view in version.texts("sets"):
        shown = view.value
        try:
            inside(shown)
        except WrongNameError:
            continue  # schema has said what is wrong with the path
        if shown not in documents:
            if not _exists(root / shown):
                mistakes.append(view.mistake(f"no such file '{shown}'", _similar(root, shown)))
                continue
            documents[shown] = read(root / shown, shown)
        if documents[shown].readable and documents[shown] not in named:
            named.append(documents[shown])
    return tuple(named)


def _exists(path: Path) -> bool:
    # A link that leads nowhere exists: reading it says what is wrong with it.
    return os.path.lexists(path)


def _similar(root: Path, shown: str) -> str:
    directory = (root / shown).parent
    present = sorted(path.relative_to(root).as_posix() for path in directory.glob("*.yaml")) if _exists(directory) else []
    close = closest(shown, present)
    return f"did you mean '{close}'?" if close else "set files are named relative to the directory of layer.yaml"


def _sorted(mistakes: Iterable[Mistake], first: str) -> list[Mistake]:
    """Each mistake once; ``layer.yaml`` first, then the other files by name; within a file by line."""
    unique = dict.fromkeys(mistakes)
    return sorted(
        unique,
        key=lambda mistake: (
            mistake.location.file != first,
            mistake.location.file,
            mistake.location.line or 0,
            mistake.location.path,
            mistake.fact,
        ),
    )
