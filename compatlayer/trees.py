"""Ebuild repositories by git URL and commit: fetched once, checked whenever they are used, never synced.

On disk, under the state directory::

    trees/<name>-<commit>/           the files of that commit; with metadata/md5-cache where the commit brings none
    trees/.git/<name>-<url>/         what git fetched (bare, shallow), so that the next commit costs a difference
    trees/.git/<name>-<commit>.index what the files looked like when they were checked out
    trees/.git/<name>-<commit>.cache for which repositories the metadata cache was made

A commit's id is a hash over all it holds, so neither the server nor the way is trusted. git runs with no configuration but ours:
no hooks, no prompts, no credential helpers; a private repository is reached through ssh's agent or ``~/.netrc``.
Sources: git-config(1), gitprotocol-v2(5), githooks(5), gitattributes(5).
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compatlayer import lock, process
from compatlayer.declaration.model import EbuildRepository
from compatlayer.errors import ProgramError, RepositoryError
from compatlayer.journal import write_atomically
from compatlayer.process import Completed

if TYPE_CHECKING:
    from compatlayer.gentoo.client import Worker

log = logging.getLogger(__name__)

DIRECTORY = "trees"
PROTOCOLS = "file:git:http:https:ssh"
# Where Portage keeps, or once kept, the metadata that it computes from ebuilds.
CACHES = ("metadata/md5-cache", "metadata/cache")
# What the server says when it will not give a single commit, or not without its history: then everything is fetched.
_REFUSALS = (
    "not our ref",
    "unadvertised object",
    "couldn't find remote ref",
    "no such remote ref",
    "does not support shallow",
    "dumb http transport",
    "expected shallow",
)
_FULL = ("no space left on device", "disk quota exceeded", "file too large")
# Variables of ours that say how to reach the network, and which certificates to believe.
_PASSED = (
    "http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSH_AUTH_SOCK",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE",
)  # fmt: skip
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
    "core.longpaths=true",
    "credential.helper=",
    "fetch.fsckObjects=true",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.version=2",
    # A server that sends less than this for a minute is given up.
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "advice.detachedHead=false",
)


@dataclass(frozen=True, slots=True)
class Pin:
    """A repository at one commit, and its places on this machine."""

    name: str
    url: str
    commit: str
    state: Path

    @property
    def directory(self) -> Path:
        """The files."""
        return self.state / DIRECTORY / f"{self.name}-{self.commit}"

    @property
    def store(self) -> Path:
        """Git's objects, shared by all commits of one URL."""
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:12]
        return self.state / DIRECTORY / ".git" / f"{self.name}-{digest}"

    @property
    def index(self) -> Path:
        """Git's index of ``directory``."""
        return self.state / DIRECTORY / ".git" / f"{self.name}-{self.commit}.index"

    @property
    def bundle(self) -> Path:
        """The commit as the mirror keeps it, should it do so."""
        return self.state / "mirror" / DIRECTORY / bundle_name(self.name, self.commit)

    @property
    def cache_stamp(self) -> Path:
        """What the metadata cache was made for."""
        return self.index.with_suffix(".cache")

    def __str__(self) -> str:
        return f"'{self.name}' at {self.commit[:12]}"


def bundle_name(name: str, commit: str) -> str:
    """What the mirror calls the git bundle of a repository at a commit."""
    return f"{name}-{commit}.bundle"


# Checking a tree of Gentoo's size takes a second: once in a process is enough.
_checked: set[Path] = set()


def pin(repository: EbuildRepository, state: Path) -> Pin | None:
    """The pin of a repository that is declared by URL and commit; None for a local one."""
    if repository.url is None or repository.commit is None:
        return None
    return Pin(repository.name, repository.url, repository.commit, state.absolute())


def tree(wanted: Pin, *, nearby: Sequence[Path] = (), network: bool = True) -> Path:
    """The directory with the files of ``wanted``, to be read only; fetched first where it is not there.

    ``nearby`` are git directories of this machine to look into before the URL: the commit's id vouches for what they give.
    Without ``network`` the URL is not asked. Raises ``RepositoryError`` when the commit cannot be had, or when somebody has
    changed the files.
    """
    if wanted.directory in _checked and wanted.directory.is_dir():
        return wanted.directory
    if not wanted.directory.is_dir():
        with lock.hold(wanted.state / DIRECTORY / ".lock", f"fetching {wanted}"):
            if not wanted.directory.is_dir():  # another process may have been faster
                _obtain(wanted, nearby, network=network)
                _check_out(wanted)
    _refuse_changed(wanted)
    _checked.add(wanted.directory)
    return wanted.directory


def complete_caches(repositories: Sequence[EbuildRepository], root: Path, state: Path, *, worker: Callable[[], Worker]) -> None:
    """Make the metadata cache of every pinned repository that brings none; once for a commit, and for the eclasses it rests on.

    ``root`` is a configuration root that names them all, ``worker`` starts the Portage to ask. With a cache
    Portage reads a tree of Gentoo's size in a second; without, it starts bash for each ebuild.
    """
    key = " ".join(f"{one.name}={one.commit or one.path}" for one in repositories) + "\n"
    lacking = []
    for repository in repositories:
        wanted = pin(repository, state)
        if wanted is not None and _text(wanted.cache_stamp) != key and not _brings_cache(wanted):
            lacking.append(wanted)
    if not lacking:
        return
    jobs = len(os.sched_getaffinity(0))
    with lock.hold(state.absolute() / DIRECTORY / ".lock", "making metadata caches"), worker() as asked:
        for wanted in lacking:
            log.warning("making the metadata cache of %s, once", wanted)
            made = asked.metadata_cache(root, wanted.name, jobs=jobs)
            for cpv in made.failed:
                log.warning("%s: bash cannot read %s", wanted, cpv)
            write_atomically(wanted.cache_stamp, key.encode())


def bundle(wanted: Pin) -> Path:
    """The commit as a git bundle in the mirror, made where it is not there; ``tree`` reads it before it asks the URL.

    It holds the files of that one commit, not its history. Raises ``RepositoryError`` when the commit cannot be had.
    """
    if wanted.bundle.is_file():
        return wanted.bundle
    tree(wanted)
    wanted.bundle.parent.mkdir(parents=True, exist_ok=True)
    beside = wanted.bundle.with_name(f".{wanted.bundle.name}.{os.getpid()}")
    try:
        _git(["-C", wanted.store, "bundle", "create", "--quiet", beside, f"refs/pins/{wanted.commit}"])
        _git(["-C", wanted.store, "bundle", "verify", "--quiet", beside])
        beside.replace(wanted.bundle)
    finally:
        beside.unlink(missing_ok=True)
    return wanted.bundle


def is_here(wanted: Pin) -> bool:
    """Whether the commit is on this machine, outside of the mirror."""
    return wanted.directory.is_dir() or ((wanted.store / "config").is_file() and _has(wanted.store, wanted.commit))


def fault_of(wanted: Pin, file: Path) -> str | None:
    """What is wrong with a git bundle that should give the commit; None when it gives all of it, every object checked."""
    wanted.store.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".check-", dir=wanted.store.parent) as scratch:
        store = Path(scratch)
        _git(["init", "--quiet", "--bare", "--template=", store])
        done = _unbundle(store, wanted.commit, file)
        if done.returncode == 0 and _has(store, wanted.commit):
            done = _git(["-C", store, "fsck", "--connectivity-only", "--no-dangling", wanted.commit], check=False)
        elif done.returncode == 0:
            return f"it does not hold commit {wanted.commit}"
        return None if done.returncode == 0 else _words(done)


def _unbundle(store: Path, commit: str, file: Path) -> Completed:
    """Take a commit out of a bundle. A bundle holds no history: git has to be told where it ends before it reads it."""
    shallow = store / "shallow"
    lines = (_text(shallow) or "").split()
    write_atomically(shallow, "".join(f"{line}\n" for line in dict.fromkeys((*lines, commit))).encode())
    done = _git(["-C", store, "bundle", "unbundle", file], check=False)
    if done.returncode != 0:
        write_atomically(shallow, "".join(f"{line}\n" for line in lines).encode())
    return done


def _obtain(wanted: Pin, nearby: Sequence[Path], *, network: bool) -> None:
    """Bring the commit into the store: by itself where the server gives it, else out of everything that the server has."""
    if not (wanted.store / "config").is_file():
        _git(["init", "--quiet", "--bare", "--template=", wanted.store])
    if not _has(wanted.store, wanted.commit) and wanted.bundle.is_file():
        # A damaged bundle is as good as none.
        done = _unbundle(wanted.store, wanted.commit, wanted.bundle)
        if done.returncode != 0:
            log.warning("%s is no use: %s", wanted.bundle, _words(done))
    if not _has(wanted.store, wanted.commit):
        for directory in nearby:
            if _fetch_commit(wanted, f"file://{directory.absolute()}").returncode == 0:
                break
        else:
            if not network:
                raise _not_fetched(wanted)
            _obtain_from_url(wanted)
    kind = _git(["-C", wanted.store, "cat-file", "-t", wanted.commit]).stdout.strip()
    if kind != "commit":
        raise RepositoryError(
            f"{wanted.commit} in {wanted.url} is not a commit, but a {kind}",
            hint=f"git rev-parse '{wanted.commit[:12]}^{{commit}}' prints the commit behind a tag",
        )
    checked = _git(["-C", wanted.store, "fsck", "--connectivity-only", "--no-dangling", wanted.commit], check=False)
    if checked.returncode != 0:
        raise RepositoryError(
            f"what was fetched of {wanted} is damaged", cause=_words(checked), hint=f"remove {wanted.store}, and run this again"
        )
    # A name keeps the objects, and tells the next fetch what is here already.
    _git(["-C", wanted.store, "update-ref", f"refs/pins/{wanted.commit}", wanted.commit])


def _obtain_from_url(wanted: Pin) -> None:
    log.warning("fetching %s from %s, once", wanted, wanted.url)
    fetched = _fetch_commit(wanted, wanted.url)
    if fetched.returncode == 0:
        return
    if not any(word in fetched.stderr.lower() for word in _REFUSALS):
        raise _unreachable(wanted, fetched)
    everything = wanted.store.with_name(f"{wanted.store.name}.everything")
    shutil.rmtree(everything, ignore_errors=True)
    try:
        _git(["init", "--quiet", "--bare", "--template=", everything])
        # History holds objects that today's git would refuse; only the commit that is wanted has to be without fault.
        full = _git(
            [
                "-C",
                everything,
                "-c",
                "fetch.fsckObjects=false",
                "fetch",
                "--quiet",
                "--no-tags",
                wanted.url,
                "+refs/*:refs/all/*",
            ],
            check=False,
        )
        if full.returncode != 0:
            raise _unreachable(wanted, full)
        if not _has(everything, wanted.commit):
            raise _vanished(wanted)
        _git(["-C", everything, "config", "uploadpack.allowAnySHA1InWant", "true"])
        again = _fetch_commit(wanted, f"file://{everything}")
        if again.returncode != 0:
            raise _unreachable(wanted, again)
    finally:
        shutil.rmtree(everything, ignore_errors=True)


def _fetch_commit(wanted: Pin, url: str) -> Completed:
    fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--depth=1", url, wanted.commit]
    return _git(["-C", wanted.store, *fetch], check=False)


def _check_out(wanted: Pin) -> None:
    """Put the commit's files in place: beside first, under their name only when all are there."""
    beside = wanted.directory.with_name(f".new-{wanted.directory.name}")
    shutil.rmtree(beside, ignore_errors=True)
    wanted.index.unlink(missing_ok=True)
    # What the tree says about line ends, keywords and filters must not change its files.
    attributes = wanted.store / "info" / "attributes"
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text("* -text -eol -ident -filter -working-tree-encoding\n", encoding="ascii")
    beside.mkdir(parents=True)
    try:
        _fill(wanted, beside)
        beside.rename(wanted.directory)
    except BaseException:
        wanted.index.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _fill(wanted: Pin, directory: Path) -> None:
    """Write the commit's files into ``directory``. Raises ``RepositoryError`` when they are not the repository of that name."""
    environment = _worktree(wanted, directory)
    _git(["read-tree", wanted.commit], env=environment)
    done = _git(["checkout-index", "--all", "--index", "--quiet"], env=environment, check=False)
    if done.returncode != 0:
        raise _unreachable(wanted, done)
    name = _text(directory / "profiles" / "repo_name")
    if name is None or name.strip() != wanted.name:
        raise RepositoryError(
            f"{wanted.url} at {wanted.commit[:12]} is not the ebuild repository '{wanted.name}'",
            cause="it has no profiles/repo_name" if name is None else f"its profiles/repo_name says '{name.strip()}'",
            hint="correct name, url or commit in layer.yaml",
        )


def _refuse_changed(wanted: Pin) -> None:
    """Compare the files with the commit; a metadata cache of our own does not count."""
    environment = _worktree(wanted, wanted.directory)
    found = []
    if _git(["diff-index", "--cached", "--quiet", wanted.commit], env=environment, check=False).returncode != 0:
        found.append(f"what git knows about it is not commit {wanted.commit}")
    else:
        _git(["update-index", "-q", "--refresh"], env=environment, check=False)
        changed = _git(["diff-files", "--name-status", "--no-renames"], env=environment).stdout.splitlines()
        excluded = [f"--exclude=/{path}/" for path in CACHES]
        added = _git(["ls-files", "--others", *excluded], env=environment).stdout.splitlines()
        found += [line.replace("\t", " ") for line in changed] + [f"A {name}" for name in added]
    if found:
        more = [f"and {len(found) - 8} more"] if len(found) > 8 else []
        raise RepositoryError(
            f"{wanted.directory} is not what is pinned: somebody has changed it",
            cause="\n".join([*found[:8], *more]),
            hint=f"a pinned tree is read only; remove it, and it is made again: rm -r {wanted.directory}",
        )


def _brings_cache(wanted: Pin) -> bool:
    """Whether the commit itself holds a metadata cache."""
    return bool(_git(["ls-tree", wanted.commit, "--", *CACHES], env={"GIT_DIR": str(wanted.store)}).stdout.strip())


def _has(store: Path, commit: str) -> bool:
    return _git(["-C", store, "cat-file", "-e", commit], check=False).returncode == 0


def _worktree(wanted: Pin, directory: Path) -> dict[str, str]:
    return {"GIT_DIR": str(wanted.store), "GIT_WORK_TREE": str(directory), "GIT_INDEX_FILE": str(wanted.index)}


def _git(arguments: Sequence[str | Path], *, env: Mapping[str, str] | None = None, check: bool = True) -> Completed:
    """Run git with our settings and no others."""
    environment = {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
        "GIT_ALLOW_PROTOCOL": PROTOCOLS,
        "GIT_NO_REPLACE_OBJECTS": "1",
        **{name: os.environ[name] for name in _PASSED if name in os.environ},
        **(env or {}),
    }
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    # Work-tree commands take relative paths from where they are started.
    where = Path(environment["GIT_WORK_TREE"]) if "GIT_WORK_TREE" in environment else None
    try:
        return process.run(["git", *settings, *arguments], env=environment, cwd=where, check=check)
    except ProgramError as error:
        raise RepositoryError(error.fact, cause=error.cause, hint=error.hint) from error


def _unreachable(wanted: Pin, done: Completed) -> RepositoryError:
    """The error for a git that could not fetch or write, by what it said."""
    if any(word in done.stderr.lower() for word in _FULL):
        return RepositoryError(
            f"there is no space left for {wanted}",
            cause=_words(done),
            hint=f"free some on the file system of {wanted.state}, or keep the state elsewhere: --state DIR",
        )
    return RepositoryError(
        f"{wanted} cannot be fetched from {wanted.url}",
        cause=_words(done),
        hint="is the URL right, and can this machine reach it? A private repository needs ssh's agent or ~/.netrc",
    )


def _not_fetched(wanted: Pin) -> RepositoryError:
    return RepositoryError(
        f"{wanted} is not in the mirror, and nothing is fetched",
        cause=f"there is no usable {wanted.bundle}",
        hint="fill a mirror where there is a network, and carry it here with `mirror export` and `mirror import`",
    )


def _vanished(wanted: Pin) -> RepositoryError:
    return RepositoryError(
        f"{wanted.url} has no commit {wanted.commit}",
        cause="everything that its branches and tags hold was looked through: it was never there, or a branch was rewritten",
        hint=f"pin a commit that is there: git ls-remote {wanted.url}",
    )


def _words(done: Completed) -> str:
    """Git's last lines, without the ones that only point at its manual."""
    lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("hint:")]
    return "\n".join(lines[-6:]) or f"git ended with {done.returncode}"


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
