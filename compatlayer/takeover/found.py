"""Reading what a prefix consists of into pieces of a declaration: its place, its repositories, its ``etc/portage``.

Nothing in the prefix is changed, and nothing of it is run but its Portage, which ``from_prefix`` asks.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from compatlayer import process
from compatlayer.declaration import names
from compatlayer.declaration.configuration import GENERATED
from compatlayer.declaration.model import TARGETS, Target
from compatlayer.errors import Location, Mistake, UsageError
from compatlayer.gentoo.adoption import FoundRepository, PrefixDescription
from compatlayer.takeover.describe import Source

# The repository that Gentoo's own mirrors are made from: metadata/timestamp.commit of a synced tree names a commit of it.
GENTOO_URL = "https://anongit.gentoo.org/git/repo/gentoo.git"
# What may be copied: an overlay, not a tree of Gentoo's size.
MAX_COPY_BYTES = 64 * 1024 * 1024
VERSION = re.compile(r"[0-9]{4}\.[0-9]{2}([.-][0-9A-Za-z]+)?|[0-9]+(\.[0-9]+)+")
DEFAULT_VERSION = "adopted"
# In etc/portage, but not configuration that could be taken over: sets become sets of ours.
_NOT_TAKEN = frozenset(GENERATED) | {"sets"}


@dataclass(slots=True)
class Notes:
    """What a person has to know, gathered on the way."""

    found: list[Mistake] = field(default_factory=list)

    def add(self, place: Path | str, fact: str, hint: str | None = None) -> None:
        """Note a fact about a place."""
        self.found.append(Mistake(Location(str(place)), fact, hint))


@dataclass(frozen=True, slots=True)
class FoundSource:
    """A repository as the new layer declares it; with the directory to look into first, or the files to be copied."""

    source: Source
    nearby: Path | None = None
    files: dict[PurePosixPath, bytes] = field(default_factory=dict)


def target_of(description: PrefixDescription) -> Target:
    """The target whose packages a prefix holds. Raises ``UsageError`` for one that cannot be declared."""
    for target in TARGETS.values():
        if target.keyword == description.arch:
            return target
    machine, _, system = description.chost.partition("-")
    for target in TARGETS.values():
        if target.chost.startswith(f"{machine}-") and ("linux" in system) == (target.os == "linux"):
            return target
    raise UsageError(
        f"the prefix is for ARCH={description.arch} and CHOST={description.chost}, which is no target that can be declared",
        hint=f"known targets: {', '.join(TARGETS)}",
    )


def template_of(prefix: Path, target: Target) -> tuple[str, str]:
    """The version's name and the prefix template: the parts of the path that name version, system and architecture are fields."""
    parts = list(prefix.parts)
    version = next((part for part in parts if VERSION.fullmatch(part)), None)
    fields = {version: "{version}", target.os: "{os}", target.arch: "{arch}"}
    seen: set[str] = set()
    for index, part in enumerate(parts):
        if part in fields and part not in seen:
            seen.add(part)
            parts[index] = fields[part]
    template = str(PurePosixPath(*parts))
    try:
        names.prefix(template)
    except names.WrongNameError as error:
        raise UsageError(f"{prefix} cannot be the prefix of a layer: {error.fact}", hint=error.hint) from error
    return version or DEFAULT_VERSION, template


def profile_of(description: PrefixDescription) -> str:
    """The profile as ``repository:path``. Raises ``UsageError`` for one that lies in no repository."""
    for repository in description.repositories:
        profiles = Path(os.path.realpath(repository.location)) / "profiles"
        if description.profile.is_relative_to(profiles):
            return f"{repository.name}:{description.profile.relative_to(profiles)}"
    # A directory instead of a link: fine as long as it only names its parent.
    place = description.profile_directory
    held = sorted(path.name for path in place.iterdir() if path.name != "eapi")
    if held == ["parent"]:
        lines = (place / "parent").read_text(encoding="utf-8").split("\n")
        parents = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if len(parents) == 1 and re.fullmatch(r"[A-Za-z0-9_-]+:[^:]+", parents[0]):
            return parents[0]
    raise UsageError(
        f"{place} is a profile of its own: it lies in no ebuild repository",
        cause=f"it leads to {description.profile}",
        hint="move it into an overlay of the prefix, below profiles/, and let make.profile point there",
    )


def sources_of(description: PrefixDescription, notes: Notes) -> list[FoundSource]:
    """The repositories, the main one first, each with a commit or as files to be copied."""
    ordered = sorted(description.repositories, key=lambda one: not one.is_main)
    return [_source(one, notes) for one in ordered]


def _source(repository: FoundRepository, notes: Notes) -> FoundSource:
    place = repository.location
    commit = _git(place, "rev-parse", "--verify", "HEAD")
    if commit and (place / ".git").exists():
        if _git(place, "status", "--porcelain"):
            notes.add(
                place, f"'{repository.name}' has changes that are not committed: the layer stands on {commit[:12]}, without them"
            )
        url = _url(repository, notes)
        return FoundSource(Source(repository.name, url=url, commit=commit), nearby=place)
    synced = _synced_commit(place)
    if repository.name == "gentoo" and synced:
        return FoundSource(Source(repository.name, url=GENTOO_URL, commit=synced))
    path = f"repositories/{repository.name}"
    notes.add(place, f"'{repository.name}' is not under git: its ebuilds are copied to {path}")
    return FoundSource(Source(repository.name, path=path), files=dict(_copied(repository, path)))


def _url(repository: FoundRepository, notes: Notes) -> str:
    """Where the repository is fetched from: its remote, or what repos.conf says, as far as a declaration may name it."""
    for url in (_git(repository.location, "remote", "get-url", "origin"), repository.sync_uri):
        if not url:
            continue
        text = f"file://{url}" if url.startswith("/") else re.sub(r"^(?:git\+)?([\w.-]+@[\w.-]+):(?!/)", r"ssh://\1/", url)
        try:
            return names.git_url(text)
        except names.WrongNameError:
            continue
    notes.add(repository.location, f"'{repository.name}' has no remote: declared by its place on this machine")
    return f"file://{repository.location}"


def _synced_commit(place: Path) -> str | None:
    """The commit that a tree from Gentoo's mirrors was made from."""
    try:
        words = (place / "metadata/timestamp.commit").read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return None
    return words[0] if words and re.fullmatch(names.COMMIT, words[0]) else None


def _copied(repository: FoundRepository, path: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    total_bytes = 0
    for file in sorted(repository.location.rglob("*")):
        relative = file.relative_to(repository.location)
        if ".git" in relative.parts or relative.parts[:2] == ("metadata", "md5-cache") or not stat.S_ISREG(file.lstat().st_mode):
            continue
        total_bytes += file.stat().st_size
        if total_bytes > MAX_COPY_BYTES:
            raise UsageError(
                f"the repository '{repository.name}' in {repository.location} is too large to be copied, and has no commit",
                cause=f"it holds more than {MAX_COPY_BYTES >> 20} MB",
                hint="clone it with git, so that the layer can name its commit: emaint sync with sync-type = git",
            )
        yield PurePosixPath(path, relative.as_posix()), file.read_bytes()


def configuration_of(prefix: Path, notes: Notes) -> dict[PurePosixPath, bytes]:
    """``etc/portage`` as ``config/common``: every file that Portage reads, links replaced by what they lead to."""
    root = prefix / "etc/portage"
    files = {}
    for path in _walk(root):
        relative = path.relative_to(root)
        if relative.parts[0] in _NOT_TAKEN:
            continue
        shown = path.relative_to(prefix)
        if any(part.startswith(".") or part.endswith("~") for part in relative.parts):
            notes.add(shown, "is left out: Portage passes over hidden files and backups")
            continue
        try:
            content = path.read_bytes()
        except OSError as error:
            notes.add(shown, f"is left out: {error.strerror}")
            continue
        files[PurePosixPath("config/common", relative.as_posix())] = content
    return files


def _walk(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        # repos.conf and make.profile may be links to whole trees; they are not followed.
        if path.is_dir() and path.name not in _NOT_TAKEN:
            yield from _walk(path)
        elif path.is_file():
            yield path


def _git(place: Path, *arguments: str) -> str:
    """What git says there; empty when it is no repository. Its configuration decides nothing but where the remote is."""
    environment = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_OPTIONAL_LOCKS": "0"}
    settings = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", f"safe.directory={place}"]
    done = process.run(["git", *settings, "-C", place, *arguments], env=environment, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
