"""What Portage reads below a configuration root, as values: written alike for the resolver and for the real prefix.

A configuration root R is a directory that Portage takes as its EPREFIX: ``R/etc/portage`` (make.conf, make.profile, repos.conf,
package.use, …) and, for a Portage that is installed as a Python module, ``R/share/portage/config`` (make.globals, sets). The
worker resolves against a root whose ``var/db/pkg`` is empty; a prefix has the same files and packages on top of them.

Sources: portage(5); what Portage 3 reads from below its EPREFIX was measured.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from compatlayer.errors import HostError

Files = Mapping[PurePosixPath, bytes]

# Both are what Portage's own installation does: as a Python module, and as Gentoo's package.
MODULE_CONFIG = PurePosixPath("share/portage/config")
SYSTEM_CONFIG = PurePosixPath("usr/share/portage/config")

ETC_PORTAGE = PurePosixPath("etc/portage")
PACKAGE_DATABASE = PurePosixPath("var/db/pkg")
STAMP = ".compatlayer-files.json"


@dataclass(frozen=True, slots=True)
class RepositoryLocation:
    """An ebuild repository as repos.conf names it; ``masters`` None leaves the repository's own layout.conf in force."""

    name: str
    location: PurePosixPath
    masters: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class GlobalConfig:
    """The files a Portage brings along, by path below ``directory``, which is relative to any EPREFIX."""

    directory: PurePosixPath
    files: Files


def read_global_config(installed_at: Path | None = None) -> GlobalConfig:
    """Read make.globals and the set definitions of the Portage installed below ``installed_at`` (default: ``sys.prefix``).

    ``repos.conf`` is left out: the stock one names a repository of its own. Raises ``HostError`` where no Portage is.
    """
    prefix = installed_at or Path(sys.prefix)
    for directory in (MODULE_CONFIG, SYSTEM_CONFIG):
        source = prefix / directory
        if not (source / "make.globals").is_file():
            continue
        files = {PurePosixPath("make.globals"): (source / "make.globals").read_bytes()}
        for path in sorted((source / "sets").glob("*.conf")):
            files[PurePosixPath("sets", path.name)] = path.read_bytes()
        return GlobalConfig(directory, files)
    raise HostError(
        f"no Portage is installed below {prefix}",
        cause=f"neither {MODULE_CONFIG}/make.globals nor {SYSTEM_CONFIG}/make.globals exists there",
        hint="run `make` to set up the project's own environment",
    )


def has_global_config(directory: Path) -> bool:
    """Whether a Portage is installed below ``directory``, with the files that every root needs a copy of."""
    return any((directory / place / "make.globals").is_file() for place in (MODULE_CONFIG, SYSTEM_CONFIG))


def config_root_files(
    global_config: GlobalConfig | None,
    *,
    repositories: Sequence[RepositoryLocation],
    profile: str,
    etc_portage: Files,
    make_globals: Mapping[str, str] | None = None,
) -> dict[PurePosixPath, bytes]:
    """Everything below a configuration root, by path relative to it; without ``global_config``, only ``etc/portage``.

    ``repositories`` come in the order of precedence of a tree and its overlays: the first is Portage's main repository, a later
    one wins over an earlier one. ``profile`` is ``repository:path``. ``etc_portage`` holds the layer's own files by path below
    ``etc/portage``; it may not name what is generated here. ``make_globals`` are assignments appended to make.globals, for
    programs that read no make.conf. Raises ``ValueError`` for a clash, an empty list or a malformed profile.
    """
    if not repositories:
        raise ValueError("a configuration root needs at least one ebuild repository")
    generated = {
        ETC_PORTAGE / "repos.conf": repos_conf(repositories),
        ETC_PORTAGE / "make.profile" / "parent": make_profile(profile, repositories),
    }
    files: dict[PurePosixPath, bytes] = {}
    if global_config is not None:
        files |= {global_config.directory / path: content for path, content in global_config.files.items()}
        files[global_config.directory / "repos.conf"] = b""
    if make_globals and global_config is not None:
        assignments = "".join(f"{name}={shell_quoted(value)}\n" for name, value in make_globals.items())
        files[global_config.directory / "make.globals"] += b"\n" + assignments.encode()
    for path, content in etc_portage.items():
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{path} does not lie below etc/portage")
        if ETC_PORTAGE / path in generated or path.parts[0] in ("repos.conf", "make.profile"):
            raise ValueError(f"etc/portage/{path} is generated, not given")
        files[ETC_PORTAGE / path] = content
    return files | generated


def repos_conf(repositories: Sequence[RepositoryLocation]) -> bytes:
    """``repos.conf``: the first repository is the main one; priorities follow the order, so that overlays win."""
    lines = ["[DEFAULT]", f"main-repo = {repositories[0].name}"]
    for priority, repository in enumerate(repositories):
        # The main repository may not be outranked by accident: Portage's default priority for it is -1000.
        rank = -1000 if priority == 0 else priority
        lines += ["", f"[{repository.name}]", f"location = {repository.location}", f"priority = {rank}", "auto-sync = no"]
        if repository.masters is not None:
            lines.append(f"masters = {' '.join(repository.masters)}")
    return ("\n".join(lines) + "\n").encode()


def make_profile(profile: str, repositories: Sequence[RepositoryLocation]) -> bytes:
    """``make.profile/parent`` for ``repository:path``; the directory form needs no symlink, so a root can be moved."""
    name, colon, path = profile.partition(":")
    if not colon or not path or name not in {repository.name for repository in repositories}:
        raise ValueError(f"profile {profile!r} is not 'repository:path' with one of the given repositories")
    return f"{profile}\n".encode()


def shell_quoted(value: str) -> str:
    """``value`` in double quotes for Portage's make.conf reader; ``${…}`` stays alive, quotes and backslashes do not."""
    return '"' + re.sub(r'(["\\`])', r"\\\1", value) + '"'


def digest_of(files: Files) -> str:
    """One SHA-256 over names and contents, for stamps and keys."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path}\0{len(files[path])}\0".encode())
        digest.update(files[path])
    return digest.hexdigest()


def write_config_root(directory: Path, files: Files) -> bool:
    """Write a root for the resolver: ``files`` and an empty ``var/db/pkg``; True when something had to be written.

    Nothing is touched when the stamp of the last write names the same contents. Otherwise each file is replaced whole, and files
    of the last write that are no longer wanted are removed. Files of others stay, and so does what Portage puts there.
    """
    (directory / PACKAGE_DATABASE).mkdir(parents=True, exist_ok=True)
    stamp = directory / STAMP
    digest, previous = digest_of(files), _read_stamp(stamp)
    if previous.get("digest") == digest:
        return False
    # Without a stamp an interrupted write is done again.
    stamp.unlink(missing_ok=True)
    for name in previous.get("files", []):
        if PurePosixPath(name) not in files:
            _remove(directory, PurePosixPath(name))
    for path, content in files.items():
        _replace(directory / path, content)
    _replace(stamp, json.dumps({"digest": digest, "files": sorted(map(str, files))}).encode())
    return True


def _read_stamp(stamp: Path) -> dict[str, list[str] | str]:
    """The last write's stamp; empty when there is none or it is damaged, which leads to writing again."""
    try:
        found = json.loads(stamp.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remove(directory: Path, name: PurePosixPath) -> None:
    """Remove a file, and the directories that it leaves empty: a file may take the place of one."""
    (directory / name).unlink(missing_ok=True)
    for parent in list(name.parents)[:-1]:
        try:
            (directory / parent).rmdir()
        except OSError:
            return


def _replace(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` in one step, making its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    temporary.write_bytes(content)
    temporary.replace(path)
