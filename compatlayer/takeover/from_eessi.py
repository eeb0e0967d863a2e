"""``init --from-eessi``: EESSI's ``eessi_sets.yml``, and the Ansible variables of a version, as a declaration of our own.

Of the set file everything is taken over: all sets, each as a version of its own, all listed architectures, all packages in
order; so ``sets render`` writes the very files that EESSI's generator writes. Of a version's variables: the packages
(``prefix_packages``), the commit of the tree, overlays, trusted directories and host links. Jinja is not carried out: only
variables whose meaning a layer has too are put in (``eessi_words``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compatlayer.declaration import names
from compatlayer.declaration.model import TARGETS
from compatlayer.declaration.yaml_nodes import Document, KeyPath, describe, read
from compatlayer.errors import DeclarationError, Location, Mistake
from compatlayer.takeover.describe import Entry, NewLayer, NewSet, NewVersion, Source
from compatlayer.takeover.eessi_rules import Reader, is_template
from compatlayer.takeover.eessi_words import PREFIX, Words, default_of

# What EESSI builds for, where the data do not say so.
DEFAULT_TARGETS = ("linux-aarch64", "linux-x86_64", "linux-riscv64")
# Where EESSI's role fetches the tree from, and where its layer lives, unless its variables say otherwise.
TREE_URL = "https://github.com/gentoo/gentoo.git"
REPOSITORY = "software.eessi.io"
# The layer's own overlay: profiles and rendered sets; EESSI's ebuilds stay in theirs.
OVERLAY = "site"
# ``eessi-2023.06``: the layer's name, and the version's.
_SET_NAME = re.compile(r"(?P<layer>.+?)-(?P<version>[0-9][A-Za-z0-9_.]*)")
# Variables that have a place of their own in a layer, for the note that says where.
_PLACES = {
    "prefix_mask_packages": "config/common/package.mask",
    "prefix_unmask_packages": "config/common/package.unmask",
    "prefix_bootstrap_use_flags": "config/common/package.use",
    "prefix_accept_keywords": "config/common/package.accept_keywords",
    "prefix_profile_package_use_mask": "config/common/profile/package.use.mask",
    "prefix_make_conf_files": "config/common/make.conf/",
    "prefix_package_env_files": "config/common/package.env and config/common/env/",
    "prefix_locales": "locales of the version, in layer.yaml",
    "prefix_remove_packages": "nothing: a package that nothing needs is not built; install --remove-unneeded",
    "package_sets": "sets of the version, in layer.yaml",
}


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A layer that was read, and what a person has to know about it: notes have the form of mistakes, with file and line."""

    layer: NewLayer
    notes: tuple[Mistake, ...]


@dataclass(slots=True)
class _File:
    """One file being read."""

    document: Document
    mistakes: list[Mistake]
    notes: list[Mistake]

    def get(self, key: str) -> Any:
        return self.document.data.get(key)

    def reader(self, targets: Sequence[str]) -> Reader:
        return Reader(self.document, targets, self.mistakes, self.notes)

    def text(self, key: str) -> str | None:
        """A text that is spelled out; a template is noted."""
        value = self.get(key)
        if is_template(value):
            self.notes.append(self.document.mistake((key,), "holds a Jinja template, which is not carried out: left out"))
            return None
        return self.document.spellings.get((key,)) if value is not None else None


def read_files(files: Sequence[Path]) -> TakenOver:
    """The layer that EESSI's files describe: any number of set files and of files with a version's variables.

    Raises ``DeclarationError`` with every mistake of every file: what is no YAML, no such list, or a package that cannot be.
    """
    mistakes: list[Mistake] = []
    notes: list[Mistake] = []
    opened = [_open(file, mistakes, notes) for file in files]
    readable = [file for file in opened if file.document.readable]
    targets = _targets(readable, notes)
    versions: dict[str, NewVersion] = {}
    layer_name = None
    for file in readable:
        if "eessi_sets" in file.document.data:
            layer_name = _take_sets(file, targets, versions) or layer_name
    repository = next((found for file in readable if (found := file.text("cvmfs_repository"))), REPOSITORY)
    for file in readable:
        if "eessi_sets" not in file.document.data:
            _take_variables(file, targets, versions, repository)
    if mistakes:
        raise DeclarationError(sorted(set(mistakes), key=_position))
    layer = NewLayer(
        name=layer_name or "eessi",
        targets=targets,
        prefix=f"/cvmfs/{repository}/versions/{{version}}/compat/{{os}}/{{arch}}",
        versions=tuple(versions.values()),
        header="Taken over from " + ", ".join(file.name for file in files) + " by `compatlayer init --from-eessi`.\n"
        "Every package still needs its reason: `compatlayer check` lists those that say TODO.",
        prefix_comment="The path compiled into every part. A layer of your own needs a path of its own.",
    )
    return TakenOver(layer, tuple(dict.fromkeys(notes)))


def _open(file: Path, mistakes: list[Mistake], notes: list[Mistake]) -> _File:
    document = read(file, str(file))
    if not document.readable:
        mistakes += document.mistakes
    else:
        # A variable that we do not read may be empty or odd; that is nobody's mistake.
        ours = re.compile(r"(eessi_sets|eessi_archs|prefix_packages)\b")
        mistakes += [one for one in document.mistakes if ours.match(one.location.path)]
        if not {"eessi_sets", "prefix_packages", "eessi_version"} & set(document.data):
            mistakes.append(
                document.mistake(
                    (),
                    "holds neither eessi_sets nor prefix_packages",
                    "name EESSI's eessi_sets.yml, or the Ansible variables of a version (vars/VERSION.yml)",
                )
            )
    return _File(document, mistakes, notes)


def _targets(files: Sequence[_File], notes: list[Mistake]) -> tuple[str, ...]:
    """The architectures of all set files, in order. They have to be targets that we know."""
    found: dict[str, None] = {}
    for file in files:
        listed = file.get("eessi_archs")
        if listed is None:
            if "eessi_sets" in file.document.data:
                file.mistakes.append(file.document.mistake((), "missing key 'eessi_archs'", "EESSI's generator needs it as well"))
            continue
        if not isinstance(listed, list) or not listed:
            file.mistakes.append(file.document.mistake(("eessi_archs",), f"expected a list, found {describe(listed)}"))
            continue
        for index, target in enumerate(listed):
            if not isinstance(target, str) or target not in TARGETS:
                file.mistakes.append(
                    file.document.mistake(
                        ("eessi_archs", index),
                        f"unknown target {describe(target).removeprefix('the text ')}",
                        names.suggest(str(target), TARGETS, "targets"),
                    )
                )
            else:
                found[target] = None
    if not found and files:
        notes.append(
            Mistake(
                Location(files[0].document.shown),
                f"names no architectures; taken: {', '.join(DEFAULT_TARGETS)}",
                "give eessi_sets.yml as well (--from-eessi can be repeated), or change targets in layer.yaml",
            )
        )
    return tuple(found) or DEFAULT_TARGETS


def _take_sets(file: _File, targets: Sequence[str], versions: dict[str, NewVersion]) -> str | None:
    """Every set of a set file as a version; the layer's name, as its first set says it."""
    layer_name = None
    listed = file.get("eessi_sets")
    if not isinstance(listed, list) or not listed:
        fact = "is empty" if listed == [] else f"expected a list of sets, found {describe(listed)}"
        file.mistakes.append(file.document.mistake(("eessi_sets",), fact))
        return None
    seen: dict[str, KeyPath] = {}
    for index, entry in enumerate(listed):
        path: KeyPath = ("eessi_sets", index)
        name = _set_name(file, path, entry, seen)
        if name is None:
            continue
        found = _SET_NAME.fullmatch(name)
        layer_name = layer_name or (found["layer"] if found else None)
        version = found["version"] if found and found["version"] not in versions else name
        packages = file.reader(targets).entries((*path, "packages"))
        versions[version] = _version(version, NewSet(name, packages, _set_header(file)))
    return layer_name


def _set_name(file: _File, path: KeyPath, entry: object, seen: dict[str, KeyPath]) -> str | None:
    if not isinstance(entry, dict) or "name" not in entry or "packages" not in entry:
        file.mistakes.append(file.document.mistake(path, "expected a set with the keys 'name' and 'packages'"))
        return None
    name = file.document.spellings.get((*path, "name"), "")
    try:
        names.matching(names.SET_NAME, "a set name", "letters, digits and _ . + - only")(name)
    except names.WrongNameError as error:
        file.mistakes.append(file.document.mistake((*path, "name"), error.fact, error.hint))
        return None
    if name in seen:
        line = file.document.lines[seen[name]]
        file.mistakes.append(
            file.document.mistake((*path, "name"), f"duplicate set '{name}', first given in line {line}", "keep one")
        )
        return None
    seen[name] = path
    return name


def _take_variables(file: _File, targets: Sequence[str], versions: dict[str, NewVersion], repository: str) -> None:
    """One version's variables: its packages become its set (unless a set file has brought one), its pins are added."""
    name = file.text("eessi_version")
    if name is None:
        file.mistakes.append(file.document.mistake((), "missing key 'eessi_version'", "it names the version that this is"))
        return
    if "prefix_packages" in file.document.data:
        packages = file.reader(targets).entries(("prefix_packages",))
        if name in versions and packages:
            file.notes.append(
                file.document.mistake(("prefix_packages",), f"version {name} has a set already; these packages form a second one")
            )
        suffix = "-packages" if name in versions else ""
        added = NewSet(f"eessi-{name}{suffix}", packages, _set_header(file))
        there = versions.get(name)
        versions[name] = replace(there, sets=(*there.sets, added)) if there else _version(name, added)
    if name not in versions:
        file.mistakes.append(
            file.document.mistake(
                ("eessi_version",),
                f"version {name} has no packages here",
                f"give the set file with eessi-{name} as well: --from-eessi can be repeated",
            )
        )
        return
    versions[name] = _pinned(file, versions[name], Words(repository, name))
    for key, place in _PLACES.items():
        value = file.get(key)
        if value not in (None, [], {}) and file.document.spellings.get((key,)) != "":
            file.notes.append(file.document.mistake((key,), "is not taken over", f"its place is: {place}"))


def _pinned(file: _File, version: NewVersion, words: Words) -> NewVersion:
    """``version`` with the tree, overlays, trusted directories and links of its variables."""
    commit = file.text("gentoo_git_commit")
    tree = version.tree
    if commit:
        url = file.text("gentoo_git_repo") or TREE_URL
        if _good(file, ("gentoo_git_commit",), commit, names.commit):
            tree = Source("gentoo", url=url, commit=commit)
    overlays = {overlay.name: overlay for overlay in version.overlays if tree is None or overlay.name != tree.name}
    for source in _overlays(file):
        # The layer's own overlay is a directory, whatever is called like it.
        overlays.setdefault(source.name, source)
        if source.name != OVERLAY:
            overlays[source.name] = source
    return replace(
        version,
        tree=tree,
        overlays=tuple(overlays.values()),
        profile=f"{OVERLAY}:gentoo/{{os}}/{{arch}}" if tree else version.profile,
        trusted_dirs=tuple(_trusted_dirs(file, words)),
        host_links=tuple(_host_links(file, words)),
    )


def _overlays(file: _File) -> Iterator[Source]:
    """The overlays that are pinned; one that follows a branch cannot be taken over, since it moves."""
    listed = file.get("custom_overlays")
    for index, overlay in enumerate(listed if isinstance(listed, list) else []):
        path: KeyPath = ("custom_overlays", index)
        if not isinstance(overlay, dict) or is_template(overlay):
            file.notes.append(file.document.mistake(path, "holds a Jinja template, which is not carried out: left out"))
            continue
        name, url, commit = (file.document.spellings.get((*path, key)) for key in ("name", "url", "commit"))
        if not name or not url:
            continue
        if not commit:
            hint = f"git ls-remote {url} HEAD names one; then url and commit replace path in layer.yaml"
            file.notes.append(
                file.document.mistake(path, f"overlay '{name}' has no commit: declared as the directory overlay-{name}", hint)
            )
            continue
        if _good(file, path, url, names.git_url) and _good(file, path, commit, names.commit):
            yield Source(name, url=url, commit=commit)


def _trusted_dirs(file: _File, words: Words) -> Iterator[str]:
    """The directories that the loader searches; those below EESSI's prefix are below ``{prefix}``."""
    key = "prefix_user_defined_trusted_dirs"
    for path, item in _items(file, key):
        if not isinstance(item, str):
            file.notes.append(file.document.mistake(path, f"expected text, found {describe(item)}: left out"))
        elif _plain(file, path, text := words.fill(item)) and _good(file, path, text, names.trusted_dir):
            yield text


def _host_links(file: _File, words: Words) -> Iterator[tuple[str, str | None]]:
    """The paths that point at the host, each with another target or None; ``dest`` lies below EESSI's prefix."""
    variants = file.get("create_variant_symlinks") is not False
    for path, item in _items(file, "symlinks_to_host"):
        given = item if isinstance(item, dict) else {"dest": f"{PREFIX}{item}", "src": item}
        if not all(isinstance(given.get(key), str) for key in ("dest", "src")):
            file.notes.append(file.document.mistake(path, "expected a path, or a link with dest and src: left out"))
            continue
        link, target = words.fill(given["dest"]).removeprefix(PREFIX), words.fill(given["src"])
        if not _plain(file, path, link, target):
            continue
        if not variants:
            target = default_of(target)
        if _good(file, path, link, names.absolute) and _good(file, path, target, names.link_target):
            yield link, None if target == link else target


def _items(file: _File, key: str) -> Iterator[tuple[KeyPath, Any]]:
    """The items of a list with their places; nothing when it is none."""
    listed = file.get(key)
    for index, item in enumerate(listed if isinstance(listed, list) else []):
        yield (key, index), item


def _plain(file: _File, path: KeyPath, *texts: str) -> bool:
    """Whether nothing is left in the texts that Jinja would have to work out; noted where there is."""
    if not any(is_template(text) for text in texts):
        return True
    file.notes.append(file.document.mistake(path, "holds a Jinja template, which is not carried out: left out"))
    return False


def _good(file: _File, path: KeyPath, text: str, check: Any) -> bool:
    try:
        check(text)
    except names.WrongNameError as error:
        file.notes.append(file.document.mistake(path, f"{error.fact}: left out", error.hint))
        return False
    return True


def _version(name: str, package_set: NewSet) -> NewVersion:
    """A version with the layer's own overlay and a directory for each that its packages name: nothing is pinned yet."""
    named = dict.fromkeys(entry.overlay for entry in package_set.entries if isinstance(entry, Entry) and entry.overlay)
    overlays = [Source(OVERLAY, path="overlay")]
    overlays += [Source(one, path=f"overlay-{one}") for one in named if one != OVERLAY]
    comment = "The host's compiler and libc, so that check and plan work today; EESSI bootstraps its own (engine: bootstrap)."
    return NewVersion(name, "guest", (package_set,), tuple(overlays), comment=comment)


def _set_header(file: _File) -> str:
    return f"Taken over from {Path(file.document.shown).name}, in its order; EESSI gives no reasons, so each is yours to write."


def _position(mistake: Mistake) -> tuple[str, int, str]:
    return (mistake.location.file, mistake.location.line or 0, mistake.fact)
