"""``config/common`` and ``config/<target>``: what they contribute to a prefix's ``etc/portage``.

Portage reads a directory in place of most of its configuration files, in the order of the names in it (portage(5)). So
a file that both directories may hold does not have to be merged: ``package.use`` from common becomes
``package.use/10-common``, from a target ``package.use/20-<target>``, content verbatim, and the target's comes later and
wins. In ``make.conf`` a later assignment replaces an earlier one; ``USE="${USE} flag"`` adds to it. Everything else
(``patches/``, ``env/``, ``bashrc``, …) keeps its path, and a target's file replaces common's of the same path.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from compatlayer.declaration.model import TARGETS, Layer, Target
from compatlayer.declaration.names import suggest
from compatlayer.errors import DeclarationError, Location, Mistake

COMMON = "common"
DIRECTORY = "config"
MAX_FILES = 10_000
MAX_BYTES = 16 * 1024 * 1024

# Read recursively by Portage 3.0.83: config.py, binrepo/config.py, fetch.py and the managers
# below package/ebuild/_config. sets.conf, too, may be a directory (_sets/__init__.py).
MERGED = frozenset({
    "binrepos.conf", "make.conf", "mirrors", "package.accept_keywords", "package.accept_restrict", "package.env",
    "package.keywords", "package.license", "package.mask", "package.properties", "package.unmask", "package.use",
    "sets.conf",
})  # fmt: skip
# Made from the declaration itself (gentoo.portage_configuration).
GENERATED = {
    "repos.conf": "declare repositories in layer.yaml: tree and overlays",
    "make.profile": "declare the profile in layer.yaml",
}
# Like MERGED, below profile/, which Portage reads as the last profile (portage(5), /etc/portage/profile). ``packages``,
# ``parent``, ``eapi`` and ``profile.bashrc`` there are plain files only.
MERGED_IN_PROFILE = frozenset({
    "make.defaults", "package.accept_keywords", "package.bashrc", "package.keywords", "package.mask",
    "package.provided", "package.unmask", "package.use", "package.use.force", "package.use.mask", "package.use.stable",
    "package.use.stable.force", "package.use.stable.mask", "soname.provided", "use.force", "use.mask", "use.stable",
    "use.stable.force", "use.stable.mask",
})  # fmt: skip


def portage_files(layer: Layer, target: Target) -> Mapping[PurePosixPath, bytes]:
    """The files that ``config/`` contributes to ``etc/portage`` on ``target``: path below it → content, sorted by path.

    A layer without ``config/`` contributes none. Raises ``DeclarationError`` with every mistake in what was read:
    unknown directories below ``config/``, symbolic links and other special files, files that cannot be read, names
    Portage would pass over.
    """
    mistakes = list(_directory_mistakes(layer))
    files: dict[PurePosixPath, bytes] = {}
    for rank, name in (("10", COMMON), ("20", target.name)):
        for path, content in _read(layer.root, name, mistakes):
            if path.parts[0] in GENERATED:
                mistakes.append(_mistake(f"{DIRECTORY}/{name}/{path}", "is generated, not given", GENERATED[path.parts[0]]))
            files[_installed_path(path, rank, name)] = content
    mistakes += _clashes(files, target)
    if mistakes:
        raise DeclarationError(sorted(mistakes, key=lambda mistake: (mistake.location.file, mistake.fact)))
    return dict(sorted(files.items()))


def check(layer: Layer) -> tuple[Mistake, ...]:
    """Every mistake in ``config/``, for all of the layer's targets, each once."""
    found: dict[Mistake, None] = {}
    for target in layer.targets:
        try:
            portage_files(layer, target)
        except DeclarationError as error:
            found.update(dict.fromkeys(error.mistakes))
    return tuple(found)


def digest(files: Mapping[PurePosixPath, bytes]) -> str:
    """SHA-256 over paths and contents, in hexadecimal; the same for the same files in any order."""
    total = hashlib.sha256()
    for path, content in sorted(files.items()):
        name = str(path).encode()
        # Lengths first, so that no two different trees give the same bytes.
        total.update(b"%d %d\n" % (len(name), len(content)) + name + content)
    return total.hexdigest()


def _directory_mistakes(layer: Layer) -> Iterator[Mistake]:
    root = layer.root / DIRECTORY
    known = (COMMON, *(target.name for target in layer.targets))
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        yield _mistake(DIRECTORY, f"cannot be read: {error.strerror}")
        return
    for entry in entries:
        shown = f"{DIRECTORY}/{entry.name}"
        if not entry.is_dir(follow_symlinks=False):
            if entry.is_symlink() or entry.name not in ("README.md", ".gitkeep"):
                yield _mistake(shown, "is not a directory", f"files belong in {DIRECTORY}/{COMMON} or {DIRECTORY}/<target>")
        elif entry.name in TARGETS and entry.name not in known:
            listed = ", ".join(known[1:])
            yield _mistake(shown, f"target '{entry.name}' is not one of this layer's targets", f"layer.yaml lists: {listed}")
        elif entry.name not in known:
            yield _mistake(shown, f"unknown target '{entry.name}'", suggest(entry.name, known, "directories"))


def _read(root: Path, name: str, mistakes: list[Mistake]) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Every file below ``config/<name>``, by path below it; what cannot be taken is noted in ``mistakes``."""
    start = root / DIRECTORY / name
    if start.is_symlink() or not start.is_dir():
        return  # absent, or already a mistake
    count = total_bytes = 0
    for path in _walk(root, start, mistakes):
        shown = path.relative_to(root).as_posix()
        count += 1
        try:
            content = _content(path)
        except OSError as error:
            mistakes.append(_mistake(shown, f"cannot be read: {error.strerror}"))
            continue
        total_bytes += len(content)
        if count > MAX_FILES or total_bytes > MAX_BYTES:
            limit = f"{MAX_FILES} files or {MAX_BYTES} bytes"
            mistakes.append(
                _mistake(f"{DIRECTORY}/{name}", f"holds more than {limit}", "only Portage's configuration belongs here")
            )
            return
        yield PurePosixPath(path.relative_to(start).as_posix()), content


def _content(path: Path) -> bytes:
    # O_NOFOLLOW: what was a plain file when it was listed is not followed elsewhere when it is opened.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _walk(root: Path, directory: Path, mistakes: list[Mistake]) -> Iterator[Path]:
    shown = directory.relative_to(root).as_posix()
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        mistakes.append(_mistake(shown, f"cannot be read: {error.strerror}"))
        return
    for entry in entries:
        mode = entry.stat(follow_symlinks=False).st_mode
        inner = f"{shown}/{entry.name}"
        fact = _refusal(entry.name, mode)
        if entry.name == ".gitkeep":
            continue  # keeps an otherwise empty directory in git
        if fact:
            mistakes.append(_mistake(_printable(inner), *fact))
        elif stat.S_ISDIR(mode):
            yield from _walk(root, Path(entry.path), mistakes)
        else:
            yield Path(entry.path)


def _refusal(name: str, mode: int) -> tuple[str, str] | None:
    """Why an entry cannot be installed verbatim, with a hint; None when it can."""
    if stat.S_ISLNK(mode):
        return "is a symbolic link", "put the file itself here: the prefix must not depend on this directory"
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return "is neither a file nor a directory", "only files can be installed"
    if not name.isprintable() or any(0xD800 <= ord(character) <= 0xDFFF for character in name):
        return "has a name that cannot be printed", "rename it"
    # The same names that Portage passes over without a word (_recursive_basename_filter).
    if name.startswith(".") or name.endswith("~"):
        return (
            "would be passed over by Portage",
            "rename it, or remove it: it looks like a hidden file or an editor's backup",
        )
    return None


def _installed_path(path: PurePosixPath, rank: str, name: str) -> PurePosixPath:
    """``package.use`` → ``package.use/10-common``; ``package.use/x`` → ``package.use/10-common-x``; other paths as they
    are.
    """
    inside_profile = path.parts[0] == "profile" and len(path.parts) > 1
    depth = 2 if inside_profile else 1
    merged = MERGED_IN_PROFILE if inside_profile else MERGED
    if path.parts[depth - 1] not in merged:
        return path
    head = PurePosixPath(*path.parts[:depth])
    rest = path.parts[depth:]
    # A deeper path keeps its directories; Portage sorts them together with the files.
    return head.joinpath("-".join((rank, name, *rest[:1])), *rest[1:])


def _clashes(files: Mapping[PurePosixPath, bytes], target: Target) -> Iterator[Mistake]:
    """A path that one side has as a file and the other as a directory."""
    common, own = f"{DIRECTORY}/{COMMON}", f"{DIRECTORY}/{target.name}"
    for path in files:
        for parent in path.parents:
            if parent in files:
                yield _mistake(
                    f"{own}/{parent}",
                    f"is a file in one of {common} and {own}, and a directory in the other",
                    "make it the same in both",
                )


def _mistake(shown: str, fact: str, hint: str | None = None) -> Mistake:
    return Mistake(Location(shown), fact, hint)


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
