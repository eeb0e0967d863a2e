"""What a synthetic host is: a small YAML file, read into a frozen value with every mistake named."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from compatlayer.declaration import names
from compatlayer.declaration.schema import Sentence, checked
from compatlayer.declaration.translate import validate
from compatlayer.declaration.yaml_nodes import read
from compatlayer.errors import DeclarationError, Mistake, UsageError
from compatlayer.stage.synthetic import Temporary

OWN = Path(__file__).with_name("hosts")
# A site's own, beside its layer.yaml.
SITES = Path("tests") / "hosts"
EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class SyntheticHost:
    """A host that is made for a test. Paths are absolute, as the host has them.

    ``shows`` are paths of the host with candidates on this machine, of which the first that is there is shown. ``programs`` are
    looked for on this machine's PATH and copied, each with the names it is called by; what is missing leaves the host out.
    """

    name: str
    description: str
    files: Mapping[PurePosixPath, str]
    links: Mapping[PurePosixPath, str]
    shows: Mapping[PurePosixPath, tuple[PurePosixPath, ...]]
    programs: Mapping[PurePosixPath, tuple[str, ...]]
    environment: Mapping[str, str]
    temporary: Temporary
    user: int | None
    source: Path


AbsolutePath = Annotated[str, checked(names.absolute)]
# YAML has lists only, which a strict model would not take for a tuple.
Paths = Annotated[tuple[AbsolutePath, ...], Field(strict=False)]
TmpName = Annotated[str, checked(names.one_of(tuple(Temporary), "kind of /tmp", "kinds of /tmp"))]
Names = Annotated[tuple[str, ...], Field(strict=False)]


class HostFile(BaseModel):
    """A synthetic host: what is in its root file system, and in the environment of its users."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    description: Sentence = Field(description="what is special about this host")
    files: dict[AbsolutePath, str] = Field({}, description="text files, by absolute path")
    links: dict[AbsolutePath, str] = Field({}, description="symbolic links, by absolute path")
    shows: dict[AbsolutePath, Paths] = Field(
        {}, description="files or directories of this machine: the first of the list that is there"
    )
    programs: dict[AbsolutePath, Names] = Field(
        {}, description="programs of this machine, copied there, and the names that are links to each"
    )
    environment: dict[str, str] = Field({}, description="variables of the host's users")
    tmp: TmpName = Field("writable", description="what /tmp is: writable, read-only or missing")
    user: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(None, description="the number of the user (default: ours)")


def empty() -> SyntheticHost:
    """The host that has nothing."""
    return parse(OWN / f"{EMPTY}.yaml")


def load(layer_root: Path | None) -> tuple[SyntheticHost, ...]:
    """The program's own hosts and a site's, by name; a site's replaces one of the same name. Raises ``DeclarationError``."""
    places = [OWN, *([layer_root / SITES] if layer_root else [])]
    found: dict[str, SyntheticHost] = {}
    mistakes: list[Mistake] = []
    for place in places:
        for file in sorted(place.glob("*.yaml")):
            try:
                found[file.stem] = parse(file, layer_root)
            except DeclarationError as error:
                mistakes += error.mistakes
    if mistakes:
        raise DeclarationError(mistakes)
    return tuple(found[name] for name in sorted(found, key=lambda name: (name != EMPTY, name)))


def choose(hosts: Sequence[SyntheticHost], wanted: Sequence[str]) -> tuple[SyntheticHost, ...]:
    """The hosts of those names; without names all. Raises ``UsageError``."""
    known = {host.name: host for host in hosts}
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}"
            raise UsageError(f"there is no synthetic host named '{name}'", hint=hint)
    return tuple(known[name] for name in dict.fromkeys(wanted)) if wanted else tuple(hosts)


def parse(file: Path, layer_root: Path | None = None) -> SyntheticHost:
    """One host. Raises ``DeclarationError`` with all mistakes of the file."""
    shown = file.relative_to(layer_root) if layer_root and file.is_relative_to(layer_root) else file
    document = read(file, str(shown))
    entry = validate(document, HostFile)
    if document.mistakes or entry is None:
        raise DeclarationError(document.mistakes)
    return SyntheticHost(
        file.stem,
        entry.description,
        {PurePosixPath(path): text for path, text in entry.files.items()},
        {PurePosixPath(path): target for path, target in entry.links.items()},
        {PurePosixPath(path): tuple(map(PurePosixPath, candidates)) for path, candidates in entry.shows.items()},
        {PurePosixPath(path): links for path, links in entry.programs.items()},
        entry.environment,
        Temporary(entry.tmp),
        entry.user,
        file,
    )
