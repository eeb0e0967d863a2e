"""``policy.yaml`` beside ``layer.yaml``: what a site allows in its layers, and what not. Without the file there is no policy.

A pattern is compared with the whole path below the prefix; ``*`` stands for any characters, slashes included (fnmatch).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fnmatch import translate as as_expression
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from compatlayer.declaration import names
from compatlayer.declaration.policy import APPTAINER_SHOWS, Policy, Rule
from compatlayer.declaration.schema import Sentence, checked
from compatlayer.declaration.translate import validate
from compatlayer.declaration.yaml_nodes import Document, read
from compatlayer.errors import DeclarationError

FILE_NAME = "policy.yaml"

Entry = TypeVar("Entry", bound="_Ruled")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Ruled(_Entry):
    reason: Sentence = Field(description="why")


class _PathRule(_Ruled):
    path: Annotated[str, checked(names.inside)] = Field(description="a pattern for paths below the prefix")


class _PackageRule(_Ruled):
    name: Sentence = Field(description="a pattern for category/name")


class _Forbid(_Entry):
    files: tuple[_PathRule, ...] = Field((), strict=False, description="paths that must not be in the layer")
    packages: tuple[_PackageRule, ...] = Field((), strict=False, description="packages that must not be in the layer")


class _Container(_Entry):
    binds: tuple[Annotated[str, checked(names.absolute)], ...] = Field(
        (), strict=False, description="host paths that the site shows in containers, beyond Apptainer's defaults"
    )


class PolicyFile(_Entry):
    """policy.yaml: what a site allows in its layers."""

    setuid: tuple[_PathRule, ...] = Field((), strict=False, description="files that may be setuid, setgid or have capabilities")
    forbid: _Forbid = Field(default_factory=lambda: _Forbid.model_validate({}), description="what must not be in the layer")
    apptainer: _Container | None = Field(None, description="the layer is used inside Apptainer containers; {} for its defaults")


def load(root: Path) -> Policy | None:
    """The policy beside the ``layer.yaml`` in ``root``; None where there is none. Raises ``DeclarationError``."""
    file = root / FILE_NAME
    if not os.path.lexists(file):
        return None
    document = read(file, FILE_NAME)
    entry = validate(document, PolicyFile)
    if document.mistakes or entry is None:
        raise DeclarationError(document.mistakes)
    return Policy(
        _rules(document, entry.setuid, ("setuid",), "path"),
        _rules(document, entry.forbid.files, ("forbid", "files"), "path"),
        _rules(document, entry.forbid.packages, ("forbid", "packages"), "name"),
        entry.apptainer is not None,
        (*APPTAINER_SHOWS, *(entry.apptainer.binds if entry.apptainer else ())),
    )


def _rules(document: Document, entries: Sequence[Entry], path: tuple[str, ...], key: str) -> tuple[Rule, ...]:
    found = []
    for number, entry in enumerate(entries):
        what: str = getattr(entry, key)
        found.append(Rule(what, entry.reason, document.location((*path, number)), re.compile(as_expression(what))))
    return tuple(found)
