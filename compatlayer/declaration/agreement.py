"""What the keys of ``layer.yaml`` must agree on with each other and with the files beside it.

The checks look at plain data, not at validated models, so that one mistake in a file does not hide another: each looks
only at what has the right shape, and leaves saying so about the rest to ``schema``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from compatlayer.declaration import names
from compatlayer.declaration.model import TARGETS, EngineName
from compatlayer.declaration.names import WrongNameError, suggest
from compatlayer.declaration.yaml_nodes import Document, KeyPath
from compatlayer.errors import Mistake

# Where a prefix would hide what the host itself needs.
_HOST_DIRECTORIES = frozenset(
    f"/{name}"
    for name in [
        "bin",
        "boot",
        "cvmfs",
        "dev",
        "etc",
        "home",
        "lib",
        "lib32",
        "lib64",
        "media",
        "mnt",
        "opt",
        "proc",
        "root",
        "run",
        "sbin",
        "srv",
        "sys",
        "tmp",
        "usr",
        "var",
    ]
) | {"/", "/usr/bin", "/usr/lib", "/usr/lib64", "/usr/local", "/usr/sbin", "/usr/share", "/var/lib", "/var/tmp"}  # noqa: S108
# File systems that hold no files.
_KERNEL_TREES = ("/proc", "/sys", "/dev")


@dataclass(frozen=True, slots=True)
class View:
    """A place in a document: its value, and a way down that ignores what has another shape."""

    document: Document
    path: KeyPath = ()

    @property
    def value(self) -> Any:
        """The plain value here."""
        return self.document.value(self.path)

    def get(self, key: str) -> View | None:
        """The value of ``key``; None when this is no mapping, has no such key, or it is empty."""
        value = self.value
        if isinstance(value, dict) and value.get(key) is not None:
            return View(self.document, (*self.path, key))
        return None

    def text(self, key: str) -> str | None:
        """The text of ``key``; None when it is missing or something else."""
        found = self.get(key)
        return found.value if found and isinstance(found.value, str) else None

    def items(self, key: str) -> list[View]:
        """The items of the list at ``key``."""
        found = self.get(key)
        if found is None or not isinstance(found.value, list):
            return []
        return [View(self.document, (*found.path, index)) for index in range(len(found.value))]

    def texts(self, key: str) -> list[View]:
        """The items of the list at ``key`` that are text."""
        return [item for item in self.items(key) if isinstance(item.value, str)]

    def entries(self, key: str) -> list[tuple[str, View]]:
        """The keys and values of the mapping at ``key``."""
        found = self.get(key)
        if found is None or not isinstance(found.value, dict):
            return []
        return [(name, View(self.document, (*found.path, name))) for name in found.value]

    def mistake(self, fact: str, hint: str | None = None) -> Mistake:
        """A mistake here."""
        return self.document.mistake(self.path, fact, hint)


def layer_targets(document: Document) -> tuple[str, ...]:
    """The targets ``layer.yaml`` lists, as far as they exist."""
    return tuple(view.value for view in View(document).texts("targets") if view.value in TARGETS)


def repository_names(version: View) -> tuple[str, ...]:
    """The names of a version's tree and overlays."""
    tree = version.get("tree")
    sources = ([tree] if tree else []) + version.items("overlays")
    return tuple(dict.fromkeys(name for source in sources if (name := source.text("name")) is not None))


def check_layer(document: Document, root: Path) -> Iterator[Mistake]:
    """Every disagreement in ``layer.yaml``; ``root`` is its directory."""
    layer = View(document)
    yield from _unique(layer.texts("targets"), "target")
    for _, version in layer.entries("versions"):
        yield from _check_version(version, root)
    yield from _check_prefix(layer)
    yield from _check_repositories(layer)
    yield from _check_binaries(layer, root)
    yield from _check_gates(layer, root)
    yield from _check_builders(layer)
    yield from _unique([view for item in layer.items("accepted_risks") if (view := item.get("advisory"))], "advisory")
    yield from _unique([view for item in layer.items("consumers") if (view := item.get("name"))], "consumer")


def _unique(views: list[View], kind: str) -> Iterator[Mistake]:
    seen: dict[str, View] = {}
    for view in views:
        if not isinstance(view.value, str):
            continue
        first = seen.setdefault(view.value, view)
        if first is not view:
            line = view.document.lines[first.path]
            yield view.mistake(f"duplicate {kind} '{view.value}', first given in line {line}", "keep one")


def _check_version(version: View, root: Path) -> Iterator[Mistake]:
    tree = version.get("tree")
    overlays = version.items("overlays")
    sources = ([tree] if tree else []) + overlays
    if (
        isinstance(version.value, dict)
        and not sources
        and not _odd(version, "tree", dict)
        and not _odd(version, "overlays", list)
    ):
        yield version.mistake("names neither a tree nor an overlay", "give it a tree, or an overlay that stands alone")
    for source in sources:
        if isinstance(source.value, dict):
            yield from _check_source(source, root)
    yield from _unique([view for source in sources if (view := source.get("name"))], "repository")
    yield from _unique(version.texts("sets"), "set file")
    yield from _unique(version.texts("locales"), "locale")
    yield from _unique(version.texts("trusted_dirs"), "directory")
    links = [item if isinstance(item.value, str) else item.get("path") for item in version.items("host_links")]
    yield from _unique([link for link in links if link], "host link")
    yield from _check_bootstrap(version)


def _check_bootstrap(version: View) -> Iterator[Mistake]:
    """Engine ``bootstrap`` and the key of that name belong together, and to Gentoo's own tree."""
    engine, bootstrap = version.text("engine"), version.get("bootstrap")
    if engine != EngineName.BOOTSTRAP:
        if bootstrap and engine in set(EngineName):
            yield bootstrap.mistake(f"engine '{engine}' has no use for it", "remove it, or set engine: bootstrap")
        return
    if not bootstrap and not _odd(version, "bootstrap", dict):
        yield version.mistake(
            "missing key 'bootstrap'", "engine bootstrap works from a pinned script: docs/guides/bootstrap.md has one to copy"
        )
    tree = version.get("tree")
    if tree is None:
        yield version.mistake("missing key 'tree'", "engine bootstrap builds from Gentoo's own ebuild repository: pin it")
    elif (name := tree.text("name")) not in (None, names.GENTOO):
        yield View(tree.document, (*tree.path, "name")).mistake(
            f"engine bootstrap cannot work from '{name}'",
            f"the script, and the Portage that it builds, know the repository as '{names.GENTOO}'; others are overlays",
        )
    if bootstrap is not None:
        yield from _check_bootstrap_sources(bootstrap)


def _check_bootstrap_sources(bootstrap: View) -> Iterator[Mistake]:
    script = bootstrap.get("script")
    url, commit = (script.get("url"), script.text("commit")) if script else (None, None)
    if url and commit and isinstance(url.value, str) and "{commit}" not in url.value and commit not in url.value:
        yield url.mistake("the URL does not name the commit", "write {commit} where it belongs: a branch moves")
    seen: dict[str, View] = {}
    for source in bootstrap.items("sources"):
        address = source.text("url")
        name = source.text("name") or (address.rpartition("/")[2] if address else None)
        if not name:
            continue
        if not re.fullmatch(names.FILE_NAME, name) and not source.get("name"):
            yield source.mistake(f"'{name}' is not a file name", "give it one of its own: name:")
        first = seen.setdefault(name, source)
        if first is not source:
            line = source.document.lines[first.path]
            yield source.mistake(f"duplicate source file '{name}', first given in line {line}", "keep one")


def _odd(version: View, key: str, kind: type) -> bool:
    """Whether ``key`` holds something, but of another type: then schema has already said so."""
    found = version.get(key)
    return found is not None and not isinstance(found.value, kind)


def _check_source(source: View, root: Path) -> Iterator[Mistake]:
    path, url, commit = source.get("path"), source.get("url"), source.get("commit")
    if path and url:
        yield url.mistake(
            "path and url exclude each other", "keep path for a directory beside layer.yaml, url for a git repository"
        )
    elif path and commit:
        yield commit.mistake("a commit goes with url; a path is taken as it is", "remove it, or declare the url")
    elif url and not commit:
        yield url.mistake("url without commit", "pin it: commit: and the 40 hex digits that git rev-parse prints")
    elif commit and not url:
        yield commit.mistake("commit without url", "say where the commit comes from: url:")
    elif not path and not url:
        yield source.mistake(
            "names neither path nor url", "path: a directory beside layer.yaml; url and commit: a git repository"
        )
    if path and isinstance(path.value, str) and _is_inside(path.value) and not (root / path.value).is_dir():
        yield path.mistake(f"no such directory '{path.value}'", "paths are relative to the directory of layer.yaml")


def _is_inside(text: str) -> bool:
    try:
        names.inside(text)
    except WrongNameError:
        return False
    # A name the file system cannot hold does not exist; asking for it would raise.
    return len(os.fsencode(text)) < 4096 and all(len(os.fsencode(part)) < 256 for part in text.split("/"))


def _check_prefix(layer: View) -> Iterator[Mistake]:
    prefix = layer.get("prefix")
    if prefix is None or not isinstance(prefix.value, str):
        return
    try:
        names.prefix(prefix.value)
    except WrongNameError:
        return
    parts: dict[str, PurePosixPath] = {}
    for version, _ in layer.entries("versions"):
        for name in layer_targets(layer.document):
            target = TARGETS[name]
            parts[f"{version}/{name}"] = PurePosixPath(prefix.value.format(version=version, os=target.os, arch=target.arch))
    yield from _check_prefix_length(prefix, parts)
    yield from _check_prefix_place(prefix, layer, parts)
    # No field holds a slash, so all prefixes are equally deep: two are the same or neither lies inside the other.
    taken: dict[PurePosixPath, str] = {}
    for part, path in parts.items():
        first = taken.setdefault(path, part)
        if first != part:
            missing = [f"{{{field}}}" for field in names.PART_FIELDS if f"{{{field}}}" not in prefix.value]
            yield prefix.mistake(
                f"parts {first} and {part} would have the same prefix '{path}'",
                f"the template lacks {', '.join(missing)}" if missing else "put the fields into directories of their own",
            )
            return


def _check_prefix_length(prefix: View, parts: dict[str, PurePosixPath]) -> Iterator[Mistake]:
    if not parts:
        return
    part, longest = max(parts.items(), key=lambda item: len(str(item[1])))
    if len(str(longest)) > names.MAX_PREFIX_BYTES:
        yield prefix.mistake(
            f"too long: {len(str(longest))} bytes for part {part}, at most {names.MAX_PREFIX_BYTES}",
            "Linux reads 256 bytes of a script's #! line, and the interpreter lies below the prefix",
        )


def _check_prefix_place(prefix: View, layer: View, parts: dict[str, PurePosixPath]) -> Iterator[Mistake]:
    repositories = dict(layer.entries("repositories"))
    production = repositories.get("production")
    mount = None
    if production and production.text("backend") == "cvmfs" and (name := production.text("name")):
        mount = PurePosixPath("/cvmfs", name)
    for part, path in parts.items():
        if str(path) in _HOST_DIRECTORIES:
            yield prefix.mistake(f"part {part} would hide the host's own '{path}'", "choose a directory that only the layer uses")
            return
        if any(path.is_relative_to(tree) for tree in _KERNEL_TREES):
            yield prefix.mistake(
                f"part {part} would lie in '{path.parents[-2]}', which holds no files", "choose another directory"
            )
            return
        if mount and (mount not in path.parents):
            yield prefix.mistake(
                f"part {part} would lie outside '{mount}', where the production repository is mounted",
                f"begin it with {mount}/",
            )
            return


def _check_repositories(layer: View) -> Iterator[Mistake]:
    places: dict[str, tuple[str, PurePosixPath]] = {}
    for role, repository in layer.entries("repositories"):
        backend = repository.text("backend")
        if backend not in ("ostree", "cvmfs"):
            continue
        wanted, unwanted = ("path", "name") if backend == "ostree" else ("name", "path")
        extra = repository.get(unwanted)
        if extra:
            yield extra.mistake(
                f"an {backend} repository has no {unwanted}"
                if backend == "ostree"
                else f"a {backend} repository has no {unwanted}",
                f"it has a {wanted}",
            )
        if not repository.get(wanted):
            what = "the directory it lies in" if wanted == "path" else "its fully qualified name"
            yield repository.mistake(f"missing key '{wanted}'", f"{wanted}: {what}")
        place = repository.text(wanted)
        if place is not None:
            places[role] = (backend, PurePosixPath(place))
    test, production = places.get("test"), places.get("production")
    if test is None or production is None or test[0] != production[0]:
        return
    where = layer.get("repositories")
    assert where is not None
    if test == production:
        yield where.mistake(
            f"test and production are the same repository '{test[1]}'",
            "a promotion needs two: what is tested is not yet published",
        )
    elif test[1] in production[1].parents or production[1] in test[1].parents:
        yield where.mistake(f"one repository lies inside the other: '{test[1]}', '{production[1]}'", "put them side by side")


def _check_binaries(layer: View, root: Path) -> Iterator[Mistake]:
    binaries = layer.get("binaries")
    if binaries is None:
        return
    if isinstance(binaries.value, dict) and not binaries.get("path") and not binaries.get("urls"):
        yield binaries.mistake(
            "names neither path nor urls", "path: a directory that packages are stored in; urls: stores to read"
        )
    yield from _unique(binaries.texts("urls"), "URL")
    yield from _check_key_files(binaries.texts("keys"), root, "key", "the public key of a builder")


def _check_key_files(files: list[View], root: Path, kind: str, what: str) -> Iterator[Mistake]:
    yield from _unique(files, kind)
    for file in files:
        if _is_inside(file.value) and not (root / file.value).is_file():
            yield file.mistake(f"no such file '{file.value}'", f"{what}, relative to layer.yaml")


def _check_gates(layer: View, root: Path) -> Iterator[Mistake]:
    gates = layer.get("gates")
    if gates is None:
        return
    approvers = gates.texts("approvers")
    yield from _check_key_files(approvers, root, "approver", "the public key of one approver")
    approvals = gates.get("approvals")
    given = len({approver.value for approver in approvers})
    if approvals and isinstance(approvals.value, int) and approvals.value > given:
        yield approvals.mistake(
            f"{approvals.value} approvals are asked for, but approvers lists {given}",
            "list the public keys of those who may approve",
        )


def _check_builders(layer: View) -> Iterator[Mistake]:
    listed = layer_targets(layer.document)
    for name, builder in layer.entries("builders"):
        fact_and_hint = target_problem(name, listed)
        # Where the layer lists no usable target, that is the mistake.
        if fact_and_hint and listed:
            yield builder.mistake(*fact_and_hint)


def target_problem(name: str, listed: tuple[str, ...]) -> tuple[str, str] | None:
    """Fact and hint when ``name`` is not among the layer's targets; None when it is."""
    if name in listed:
        return None
    if name in TARGETS:
        return (
            f"target '{name}' is not one of this layer's targets",
            f"add it to targets in layer.yaml, which lists: {', '.join(listed)}",
        )
    return f"unknown target '{name}'", suggest(name, listed, "targets")
