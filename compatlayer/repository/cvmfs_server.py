"""``cvmfs_server``, as it behaves: its texts, its exit codes, its traps. The only place that runs it.

Measured against 2.12. What it prints on standard output or standard error, and with which exit code, follows no rule, so
every outcome that matters is told by its text. Text that a person wrote never reaches it: a publish message passes through
an unquoted shell (``safe_line``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from compatlayer import process
from compatlayer.errors import ProgramError, RepositoryError
from compatlayer.process import Completed
from compatlayer.repository.base import is_tag, safe_line

# A forced remount would wait a minute so that people may close their files; nobody works on a publisher's mount.
_ENVIRONMENT = {"CVMFS_FORCE_REMOUNT_WARNING": "false"}
_ROOT_HASH = re.compile(r"[0-9a-f]{40}(?:-[a-z0-9]+)?")
# What it says → what that means, and what to do.
_KNOWN: Mapping[str, tuple[str, str]] = {
    "another transaction is already open": (
        "a transaction is open that is not ours",
        "find out whose it is; `cvmfs_server abort -f` discards it",
    ),
    "Unable to find the configuration file": (
        "this machine does not publish it",
        "work on the publisher (Stratum 0), or hand over a bundle: publish --to-bundle",
    ),
    "No write permission": ("it belongs to somebody else", "work as the repository's owner"),
    "expired whitelist": ("its whitelist has expired", "renew it with the master key: cvmfs_server resign"),
    "bad whitelist": ("its whitelist has expired, or is not its own", "renew it with the master key: cvmfs_server resign"),
    "failed to download": ("its web server does not answer", "start the web server, then run the same command again"),
    "Repository unavailable under": (
        "its web server does not answer",
        "start the web server, then run the same command again",
    ),
    "Open writable file descriptors": ("somebody writes a file in it", "close it, then run the same command again"),
    "Current working directory is in": ("somebody's working directory is in it", "leave it, then run the same command again"),
    # A publish was killed, perhaps after its snapshot could be seen. From then on even listing tags is refused.
    "cannot be repaired": (
        "a publish was killed in it",
        "compatlayer transaction abort; if nothing of ours is open: cvmfs_server abort -f",
    ),
    "Another publish process is active": ("it is being published right now", "wait until that has finished"),
    "is not mounted read/write": ("it is being published right now", "wait until that has finished"),
    "Could not acquire lock": (
        "it is being published right now",
        "wait until that has finished, then run the same command again",
    ),
    "is already in use": ("the tag is in use", "compatlayer history lists them"),
}


@dataclass(frozen=True, slots=True)
class Tagged:
    """A named snapshot: its root hash, the repository's revision, when it was made, and its description."""

    name: str
    root_hash: str
    revision: int
    created_at_utc: datetime
    description: str


@dataclass(frozen=True, slots=True)
class Health:
    """What ``cvmfs_server list`` says of a repository."""

    in_transaction: bool
    trouble: tuple[str, ...]


class CvmfsServer:
    """The commands for one repository; all raise ``RepositoryError`` with what they mean."""

    def __init__(self, repository: str, program: str = "cvmfs_server") -> None:
        self.repository = repository
        self.program = program

    def transaction(self, lease: str = "") -> None:
        """Open a transaction; behind a gateway on the directory ``lease``, which must exist."""
        place = f"{self.repository}/{lease}" if lease else self.repository
        self._run("transaction", place)

    def publish(self, tag: str | None, message: str) -> None:
        """Publish the open transaction as a named snapshot."""
        if tag is not None and not is_tag(tag):
            raise RepositoryError(f"{tag!r} cannot be a tag")
        named = ["-a", tag] if tag else []
        self._run("publish", "-f", *named, "-m", safe_line(message), self.repository)

    def abort(self) -> None:
        """Discard the open transaction; none is no error. Repairs what a killed publish has left."""
        done = self._call("abort", "-f", self.repository)
        if done.returncode != 0 and "is not in a transaction" not in _said(done):
            raise self._error(done)

    def tags(self) -> tuple[Tagged, ...]:
        """All named snapshots, newest first."""
        lines = self._run("tag", "-l", "-x", self.repository).stdout.splitlines()
        return tuple(found for line in lines if (found := _tagged(line)) is not None)

    def tag(self, name: str, root_hash: str, message: str) -> None:
        """Name a snapshot."""
        if not is_tag(name) or not _ROOT_HASH.fullmatch(root_hash):
            raise RepositoryError(f"{name!r} cannot be a tag of {root_hash!r}")
        self._run("tag", "-a", name, "-h", root_hash, "-m", safe_line(message), self.repository)

    def untag(self, name: str) -> None:
        """Forget a name."""
        self._run("tag", "-f", "-r", name, self.repository)

    def changed(self, since: str) -> tuple[str, ...]:
        """The paths (with a leading slash) that differ between a tag and what is published now."""
        lines = self._run("diff", "-m", "-s", since, "-d", "trunk", self.repository).stdout.splitlines()
        found = (re.fullmatch(r"[AMRD]\S* \S (/.*?)(?: [+-]\d+)?", line) for line in lines)
        return tuple(match[1] for match in found if match)

    def staged(self) -> bool:
        """Whether somebody has written into the open transaction. When that cannot be told, somebody may have."""
        done = self._call("diff", "--worktree", self.repository)
        return done.returncode != 0 or bool(done.stdout.strip())

    def health(self) -> Health:
        """What is wrong, and whether a transaction is open. Raises ``RepositoryError`` for a repository that is not here."""
        for line in self._run("list").stdout.splitlines():
            name, _, rest = line.partition(" ")
            if name == self.repository:
                words = [word.strip() for word in rest.strip().strip("()").split(" - ")[1:]]
                return Health("in transaction" in words, tuple(word for word in words if word != "in transaction"))
        raise RepositoryError(
            f"this machine does not publish {self.repository}",
            hint="work on the publisher (Stratum 0), or hand over a bundle: publish --to-bundle",
        )

    def rollback(self, tag: str) -> None:
        """Rewind the whole repository, all parts in it; every newer tag is lost."""
        self._run("rollback", "-f", "-t", tag, self.repository)

    def collect(self) -> None:
        """Remove what no named snapshot needs; nothing, in a repository that was made without (``mkfs`` without ``-z``)."""
        done = self._call("gc", "-f", self.repository)
        if done.returncode != 0 and "Garbage Collection is not enabled" not in _said(done):
            raise self._error(done)

    def check(self) -> str | None:
        """What ``cvmfs_server check`` finds wrong; None when it finds nothing."""
        done = self._call("check", self.repository)
        if done.returncode == 0 and "no problems found" in _said(done):
            return None
        return "\n".join(_said(done).splitlines()[-5:])

    def _run(self, *arguments: str) -> Completed:
        done = self._call(*arguments)
        if done.returncode != 0:
            raise self._error(done)
        return done

    def _call(self, *arguments: str) -> Completed:
        try:
            # From /: a working directory inside the mount would stop a publish.
            return process.run([self.program, *arguments], env=_ENVIRONMENT, cwd=Path("/"), check=False)
        except ProgramError as error:
            raise RepositoryError(error.fact, cause=error.cause, hint="install cvmfs-server, or work on the publisher") from error

    def _error(self, done: Completed) -> RepositoryError:
        said = _said(done)
        verb = done.args[1]
        for text, (fact, hint) in _KNOWN.items():
            if text in said:
                return RepositoryError(f"cvmfs_server {verb} {self.repository}: {fact}", cause=_last(said), hint=hint)
        return RepositoryError(
            f"cvmfs_server {verb} {self.repository} failed with exit code {done.returncode}", cause=_last(said)
        )


def _said(done: Completed) -> str:
    """Errors go to standard output as often as to standard error."""
    return f"{done.stderr}\n{done.stdout}".strip()


def _last(said: str) -> str:
    return "\n".join(said.splitlines()[-6:])


def _tagged(line: str) -> Tagged | None:
    """One line of ``tag -l -x``: name, root hash, size, revision, epoch, branch, description."""
    words = line.split(maxsplit=6)
    if len(words) < 6 or not _ROOT_HASH.fullmatch(words[1]) or not (words[3] + words[4]).isdecimal():
        return None
    created = datetime.fromtimestamp(int(words[4]), UTC)
    return Tagged(words[0], words[1], int(words[3]), created, words[6] if len(words) > 6 else "")
