"""What set files must agree on with ``layer.yaml`` and with each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compatlayer.declaration.agreement import View, target_problem
from compatlayer.declaration.names import suggest
from compatlayer.declaration.yaml_nodes import Document
from compatlayer.errors import Mistake


@dataclass(frozen=True, slots=True, eq=False)
class VersionContext:
    """What a version offers its sets: its name, its repositories' names, and its set files."""

    name: str
    repositories: tuple[str, ...]
    documents: tuple[Document, ...]


def check_sets(versions: Sequence[VersionContext], listed: tuple[str, ...]) -> Iterator[Mistake]:
    """Every disagreement in the set files of these versions; ``listed`` are the layer's targets.

    A set file that several versions share is looked at for each of them; the same mistake may come more than once.
    """
    documents = {document.shown: document for version in versions for document in version.documents}
    for document in documents.values():
        for package in View(document).items("packages"):
            yield from _check_targets(package, listed)
    yield from _check_names(list(documents.values()))
    # Versions often share their sets; what is the same in all of them is looked at once, for the first.
    shown = {version: tuple(document.shown for document in version.documents) for version in versions}
    for version in {(shown[version], version.repositories): version for version in reversed(versions)}.values():
        yield from _check_overlays(version)
    for version in {shown[version]: version for version in reversed(versions)}.values():
        yield from _check_duplicates(version, listed)


def _check_targets(package: View, listed: tuple[str, ...]) -> Iterator[Mistake]:
    include, exclude = package.get("include_on"), package.get("exclude_on")
    if include and exclude:
        yield exclude.mistake("include_on and exclude_on exclude each other", "keep the shorter list")
    for key in ("include_on", "exclude_on"):
        seen = set()
        for target in package.texts(key):
            problem = target_problem(target.value, listed)
            # Where layer.yaml lists no usable target, that is the mistake, not every target named here.
            if problem and listed:
                yield target.mistake(*problem)
            if target.value in seen:
                yield target.mistake(f"duplicate target '{target.value}'", "keep one")
            seen.add(target.value)
    excluded = {target.value for target in package.texts("exclude_on")}
    if exclude and not include and listed and excluded.issuperset(listed):
        yield exclude.mistake("excludes every target of this layer", "remove the package, or a target from the list")


def _check_names(documents: Sequence[Document]) -> Iterator[Mistake]:
    seen: dict[str, Document] = {}
    for document in documents:
        name = View(document).text("name")
        if name is None:
            continue
        first = seen.setdefault(name, document)
        if first is not document:
            yield document.mistake(
                ("name",),
                f"duplicate set name '{name}', already used by {first.shown}",
                "sets are files named after it: choose another",
            )


def _check_overlays(version: VersionContext) -> Iterator[Mistake]:
    for document in version.documents:
        for package in View(document).items("packages"):
            overlay = package.get("overlay")
            if overlay and isinstance(overlay.value, str) and overlay.value not in version.repositories:
                yield overlay.mistake(
                    f"version {version.name} declares no repository '{overlay.value}'",
                    suggest(overlay.value, version.repositories, "repositories"),
                )


def _check_duplicates(version: VersionContext, listed: tuple[str, ...]) -> Iterator[Mistake]:
    seen: dict[str, list[tuple[View, frozenset[str]]]] = {}
    for document in version.documents:
        for package in View(document).items("packages"):
            name = package.get("name")
            if name is None or not isinstance(name.value, str):
                continue
            targets = _targets(package, listed)
            for first, taken in seen.get(name.value, []):
                common = targets & taken
                if common:
                    where = ", ".join(target for target in listed if target in common)
                    yield name.mistake(
                        f"duplicate package '{name.value}', already declared at {_place(first)} for {where}",
                        "keep one, or give them include_on lists that do not overlap",
                    )
                    targets = frozenset()
                    break
            # Remembering only what takes a target keeps the comparison short: at most one entry for each.
            if targets:
                seen.setdefault(name.value, []).append((name, targets))


def _targets(package: View, listed: tuple[str, ...]) -> frozenset[str]:
    if package.get("include_on"):
        return frozenset(target.value for target in package.texts("include_on")) & frozenset(listed)
    return frozenset(listed) - {target.value for target in package.texts("exclude_on")}


def _place(view: View) -> str:
    return view.document.location(view.path).line_in_file
