"""Package sets as Portage reads them: ``<set>-<target>``, one atom a line, in the order of ``sets/*.yaml``.

The format is that of EESSI's generator: atoms only, each line ended, nothing for a package the target does not get. A
set that is empty on a target is rendered as an empty file all the same: Portage then knows the set and ``emerge @set``
has nothing to do, whereas a set without a file is an error ("There are no sets to satisfy", exit code 1).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from compatlayer.declaration.findings import LeftoverSet, SetFinding, StaleSet, TodoReason, UnrenderedSet
from compatlayer.declaration.model import TARGETS, EbuildRepository, Layer, Target, Version
from compatlayer.declaration.names import PACKAGE_VERSION, SET_NAME
from compatlayer.errors import CompatlayerError, Location, UsageError
from compatlayer.journal import write_atomically

SETS_DIRECTORY = PurePosixPath("metadata/sets")
SETS_CONF = "sets.conf"
_RENDER = "compatlayer sets render"
_RENDERED_NAME = re.compile(rf"{SET_NAME}-(?:{'|'.join(re.escape(name) for name in TARGETS)})")
_ATOM = re.compile(
    rf"(?:[A-Za-z0-9+_.-]+/[A-Za-z0-9+_-]+|=[A-Za-z0-9+_.-]+/[A-Za-z0-9+_-]+-{PACKAGE_VERSION})(?:::[A-Za-z0-9_-]+)?"
)


@dataclass(frozen=True, slots=True)
class Written:
    """What ``write`` did, as names: files with a new content, files removed, and how many were already right."""

    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int


def render(layer: Layer, versions: Iterable[Version] | None = None, targets: Iterable[Target] | None = None) -> Mapping[str, str]:
    """Every set of these versions and targets (None: of all), as file name → text, sorted by name."""
    wanted = layer.targets if targets is None else tuple(targets)
    rendered = {}
    for version in layer.versions if versions is None else versions:
        for package_set in version.sets:
            for target in wanted:
                atoms = (package.atom for package in package_set.for_target(target.name))
                rendered[package_set.rendered_name(target.name)] = "".join(f"{atom}\n" for atom in atoms)
    return dict(sorted(rendered.items()))


def sets_conf(repository: str) -> str:
    """The ``sets.conf`` at the top of the overlay called ``repository``, with which Portage finds the rendered sets
    below it.

    Format: portage's config/sets.html. ``world-candidate`` lets ``emerge @set`` record the set in the world file.
    """
    return (
        "# Written by `compatlayer sets render`: the sets of this layer, one for each target.\n"
        f"[{repository} sets]\n"
        "class = portage.sets.files.StaticFileSet\n"
        "multiset = true\n"
        f"directory = ${{repository:{repository}}}/{SETS_DIRECTORY}\n"
        "world-candidate = true\n"
    )


def home(layer: Layer) -> EbuildRepository | None:
    """The overlay that carries the rendered sets: the first that is a directory of this layer; None when there is
    none.
    """
    for version in layer.versions:
        for overlay in version.overlays:
            if overlay.path is not None:
                return overlay
    return None


def default_directory(layer: Layer) -> Path:
    """Where sets are rendered unless told otherwise: ``metadata/sets`` of ``home``. Raises ``UsageError`` without a
    home.
    """
    overlay = home(layer)
    if overlay is None or overlay.path is None:
        raise UsageError(
            "no overlay of this layer is a directory beside layer.yaml, so there is no place for rendered sets",
            hint="name one: --output DIR",
        )
    return layer.root / overlay.path / SETS_DIRECTORY


def companion(layer: Layer, directory: Path) -> tuple[Path, str] | None:
    """Path and text of the ``sets.conf`` that belongs to rendered sets in ``directory``; None outside the layer's
    overlay.
    """
    overlay = home(layer)
    if overlay is None or overlay.path is None or directory.absolute() != (layer.root / overlay.path / SETS_DIRECTORY).absolute():
        return None
    return layer.root / overlay.path / SETS_CONF, sets_conf(overlay.name)


def write(directory: Path, rendered: Mapping[str, str], *, remove_leftovers: bool = True) -> Written:
    """Bring ``directory`` to hold ``rendered``; each file is replaced in one step, and left alone when it is right.

    With ``remove_leftovers`` (not for a narrowed rendering), files that only a rendering can have made go away: see
    ``is_rendered``. Raises ``CompatlayerError`` when the directory cannot be written.
    """
    changed, removed = [], []
    try:
        for name, text in rendered.items():
            if _text(directory / name) != text:
                write_atomically(directory / name, text.encode())
                changed.append(name)
        if remove_leftovers:
            for name in _leftovers(directory, rendered):
                (directory / name).unlink()
                removed.append(name)
    except OSError as error:
        raise _cannot_write(directory, error) from error
    return Written(tuple(changed), tuple(removed), len(rendered) - len(changed))


def write_layer(layer: Layer, directory: Path | None = None) -> Written:
    """Render all sets of the layer into ``directory`` (None: its overlay), with ``sets.conf`` where that is the
    overlay.
    """
    directory = directory or default_directory(layer)
    written = write(directory, render(layer))
    beside = companion(layer, directory)
    if beside is None:
        return written
    path, text = beside
    if _text(path) == text:
        return Written(written.changed, written.removed, written.unchanged + 1)
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise _cannot_write(path, error) from error
    return Written((*written.changed, SETS_CONF), written.removed, written.unchanged)


def is_rendered(path: Path) -> bool:
    """Whether a file looks like one of ours: a plain file, named ``<set>-<target>`` with a target we know, holding
    atoms only.

    A set kept by hand beside ours has another name, or a comment; either keeps it.
    """
    if path.is_symlink() or not path.is_file() or not _RENDERED_NAME.fullmatch(path.name):
        return False
    text = _text(path)
    return text is not None and (not text or text.endswith("\n")) and all(_ATOM.fullmatch(line) for line in text.splitlines())


def stale(layer: Layer, directory: Path | None = None) -> Sequence[SetFinding]:
    """How the files in ``directory`` (None: the layer's overlay) differ from what would be rendered, sorted by name.

    A layer without a local overlay renders only on request, so nothing there can be stale.
    """
    if directory is None and home(layer) is None:
        return ()
    directory = directory or default_directory(layer)
    expected = {directory / name: text for name, text in render(layer).items()}
    beside = companion(layer, directory)
    if beside is not None:
        expected[beside[0]] = beside[1]
    findings: list[SetFinding] = []
    for path, text in expected.items():
        location = Location(_shown(layer, path))
        present = _text(path)
        if present is None:
            findings.append(UnrenderedSet(location=location, expected="a rendered file", actual="none", remedy=_RENDER))
        elif present != text:
            wanted, found = _difference(text, present)
            findings.append(StaleSet(location=location, expected=wanted, actual=found, remedy=_RENDER))
    for name in _leftovers(directory, {path.name: "" for path in expected}):
        location = Location(_shown(layer, directory / name))
        findings.append(LeftoverSet(location=location, expected="no such set", actual="a rendered file", remedy=_RENDER))
    return tuple(sorted(findings, key=lambda finding: finding.location.file if finding.location else ""))


def todo_reasons(layer: Layer, versions: Iterable[Version] | None = None) -> Sequence[TodoReason]:
    """Every package of these versions (None: of all) whose reason is still ``TODO``, each once, in file order."""
    found = {}
    for version in layer.versions if versions is None else versions:
        for package in (package for package_set in version.sets for package in package_set.packages):
            if package.reason.rstrip(".:! ").upper() == "TODO":
                found[package.location] = TodoReason(
                    package=package.name,
                    location=package.location,
                    expected="a reason",
                    actual=f"'{package.reason}'",
                    remedy="say in one sentence who needs this package, or remove it",
                )
    return tuple(found.values())


def _leftovers(directory: Path, wanted: Mapping[str, str]) -> list[str]:
    try:
        present = sorted(entry.name for entry in os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name for name in present if name not in wanted and is_rendered(directory / name)]


def _difference(wanted: str, found: str) -> tuple[str, str]:
    """The first lines that differ, in words."""
    ours, theirs = wanted.splitlines(), found.splitlines()
    for index in range(max(len(ours), len(theirs))):
        one = ours[index] if index < len(ours) else None
        other = theirs[index] if index < len(theirs) else None
        if one != other:
            return (f"'{one}' in line {index + 1}" if one else f"{len(ours)} lines"), (f"'{other}'" if other else "nothing")
    return "other line ends", "the same lines"


def _text(path: Path) -> str | None:
    """A file's text, line ends as they are; None when there is none or it is not UTF-8."""
    try:
        return path.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, UnicodeDecodeError):
        return None


def _shown(layer: Layer, path: Path) -> str:
    absolute = path.absolute()
    return absolute.relative_to(layer.root).as_posix() if absolute.is_relative_to(layer.root) else str(path)


def _cannot_write(path: Path, error: OSError) -> CompatlayerError:
    return UsageError(f"{path} cannot be written: {error.strerror}", hint="choose another place: --output DIR")
