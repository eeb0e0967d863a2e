"""``policy.yaml`` beside ``layer.yaml``: what a site allows in its layers, and what not. Without the file there is no policy.

A pattern is compared with the whole path below the prefix; ``*`` stands for any characters, slashes included (fnmatch).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import translate as as_expression
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from compatlayer.declaration import names
from compatlayer.declaration.schema import Sentence, checked
from compatlayer.declaration.translate import validate
from compatlayer.declaration.yaml_nodes import Document, read
from compatlayer.errors import DeclarationError, Location

FILE_NAME = "policy.yaml"
# What Apptainer shows of the host unless it is told otherwise: apptainer.conf's `mount`, `config` and `bind path` defaults
# (https://apptainer.org/docs/admin/main/configfiles.html).
APPTAINER_SHOWS = (
    "/proc", "/sys", "/dev", "/tmp", "/var/tmp", "/home",  # noqa: S108 - names, not files of ours
    "/etc/passwd", "/etc/group", "/etc/resolv.conf", "/etc/hosts",
    "/etc/localtime",
)  # fmt: skip

Entry = TypeVar("Entry", bound="_Ruled")


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern or name, why it is there, and where."""

    what: str
    reason: str
    location: Location
    expression: re.Pattern[str] = field(compare=False, repr=False)

    def matches(self, text: str) -> bool:
        """Whether ``text`` as a whole is what the rule is about."""
        return self.expression.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Policy:
    """``setuid`` allows (also setgid and file capabilities); ``forbidden_files`` and ``forbidden_packages`` forbid. In a
    container (``apptainer``) only what it ``shows`` of the host is there.
    """

    setuid: tuple[Rule, ...] = ()
    forbidden_files: tuple[Rule, ...] = ()
    forbidden_packages: tuple[Rule, ...] = ()
    apptainer: bool = False
    shows: tuple[str, ...] = APPTAINER_SHOWS

    def shown_in_container(self, path: str) -> bool:
        """Whether a container shows this absolute path of the host."""
        return any(path == place or path.startswith(f"{place}/") for place in self.shows)


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
