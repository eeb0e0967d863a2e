"""What a repository is, whatever publishes it: revisions of parts, changed by transactions only.

Many parts live in one repository. A *revision* here is one state of one part; publishing a part makes a new revision of
that part and touches no other. Two backends implement this, ``ostree`` and ``cvmfs``; one contract suite runs on both.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from compatlayer.declaration.model import Part
from compatlayer.findings import Finding, Severity
from compatlayer.tree.changes import ChangeList
from compatlayer.tree.entries import Entry
from compatlayer.tree.manifest import Manifest

if TYPE_CHECKING:
    from compatlayer.repository.ledger import Ledger

# What may reach a program's command line as text, wherever a shell stands between (cvmfs_server publish -m).
_UNSAFE = re.compile(r"[^A-Za-z0-9 ._:+=@,/-]+")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MAX_LINE = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """By whom a revision was made, and from what; kept with it.

    ``operator`` is user@host; ``commit`` and ``pull_request`` are those of the declaration, where it lies in git;
    ``stage`` the identifier of the stage that was published. A promoted revision names the test revision in
    ``promoted_from``, a rollback the one it restores in ``restored_from``. ``changelog`` is the document of its changes.
    """

    operator: str
    commit: str | None = None
    pull_request: str | None = None
    stage: str | None = None
    promoted_from: str | None = None
    restored_from: str | None = None
    changelog: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Revision:
    """One published state of one part.

    ``id`` is the backend's own identity of what was published (an OSTree commit, a CernVM-FS root hash): if anybody
    changes the repository behind our back, it no longer leads to the same tree. ``number`` counts a part's revisions
    in one repository, from 1. ``root`` is the Merkle root of its manifest.
    """

    id: str
    number: int
    tags: tuple[str, ...]
    created_at_utc: datetime
    message: str
    root: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Message:
    """What a new revision says of itself: one line, and its origin."""

    line: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """What a garbage collection has removed."""

    objects: int
    size_bytes: int


class State(enum.StrEnum):
    """Where a transaction stands: nothing is visible yet, or all of it is."""

    OPEN = "open"
    PUBLISHED = "published"


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedRevision(Finding):
    """A published revision is not what its name says.

    An object is missing or altered in the repository. What clients have already may be whole. Restore the object from
    the other repository or from a client, or roll the part back to a revision that is whole.
    """

    identifier: ClassVar[str] = "revision-damaged"
    check: ClassVar[str] = "repository"
    severity: ClassVar[Severity] = Severity.ERROR


class Transaction(Protocol):
    """The only way to change a repository. Nothing is visible before ``publish``, everything at once after it."""

    part: Part
    number: int

    @property
    def state(self) -> State:
        """Whether it was published; one that was resumed after a crash may have been."""
        ...

    @property
    def manifest(self) -> Manifest | None:
        """What the part's tree is after all that was applied; None for a part that does not exist."""
        ...

    @property
    def published(self) -> Revision:
        """The revision that this transaction has made."""
        ...

    @property
    def notes(self) -> Mapping[str, Mapping[str, Any]]:
        """What ``remember`` wrote down, by step."""
        ...

    def apply(self, changes: ChangeList, source: Path, becomes: Manifest | None = None) -> None:
        """Carry a change list out, whose contents lie in ``source``; ``becomes`` is the manifest afterwards, if known."""
        ...

    def reread(self, paths: Iterable[str]) -> Iterator[Entry]:
        """What the repository holds now at ``paths``, contents read and hashed; a path that is not there gives nothing."""
        ...

    def remember(self, step: str, **data: Any) -> None:
        """Write a step of the caller's into the journal, for whoever resumes."""
        ...

    def publish(self, tag: str | None) -> Revision:
        """Make it visible, under a tag. The transaction stays open for what belongs to it, until ``close``."""
        ...

    def abort(self) -> None:
        """Undo everything that was applied, and close."""
        ...

    def close(self) -> None:
        """Nothing is under way any more; for a published transaction."""
        ...

    def __enter__(self) -> Transaction: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close what was published; abort what was not."""
        ...


class Repository(Protocol):
    """A place where parts are published. Raises ``RepositoryError`` throughout."""

    name: str
    kind: str
    mount_path: PurePosixPath
    ledger: Ledger

    def head(self, part: Part) -> Revision | None:
        """The newest revision of a part, or None before the first."""
        ...

    def revisions(self, part: Part) -> Sequence[Revision]:
        """All revisions of a part that are kept, newest first."""
        ...

    def manifest(self, revision: Revision, part: Part) -> Manifest:
        """The manifest of a revision; read as far as it is looked into."""
        ...

    def read(self, revision: Revision, part: Part) -> AbstractContextManager[Path]:
        """The part's whole tree, to read only; it stays while the block lasts."""
        ...

    def source(self, revision: Revision, part: Part, paths: Sequence[str]) -> AbstractContextManager[Path]:
        """A directory that holds at least ``paths`` of the part's tree, with the directories above them, to read only."""
        ...

    def tree(self, revision: Revision, part: Part) -> Path:
        """A lasting read-only directory with the part's tree, for a stage or a view to stand on."""
        ...

    def shows(self, revision: Revision, part: Part) -> bool:
        """Whether the revision's tree can be read here; a backend may keep one that it cannot show."""
        ...

    def begin(self, part: Part, message: Message, expect: Revision | None) -> Transaction:
        """Open the one transaction. Refuses when the head is not ``expect``, or when something is open already."""
        ...

    def resume(self) -> Transaction | None:
        """The transaction that a crash, or somebody else's hands, left open; to be aborted, or closed."""
        ...

    def pending(self) -> Pending | None:
        """What is under way, without touching it."""
        ...

    def tags(self) -> Mapping[str, str]:
        """All tags of all parts, with the identity each points at."""
        ...

    def tag(self, revision: Revision, name: str) -> None:
        """Give a revision one more name. A tag is never moved."""
        ...

    def untag(self, name: str) -> None:
        """Forget a tag; the revision goes with the next garbage collection, unless another keeps it."""
        ...

    def collect_garbage(self, keep: Sequence[Revision]) -> Reclaimed:
        """Remove what neither a head, nor a tag, nor ``keep`` leads to."""
        ...

    def check(self) -> Sequence[Finding]:
        """Read everything and compare it with its own checksums; the warnings too."""
        ...

    def warnings(self) -> Sequence[Finding]:
        """What will go wrong soon unless somebody acts; costs next to nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Pending:
    """What a journal says is under way: which part, by whom, since when, the steps so far; who holds the lock, if anybody."""

    repository: str
    part: str
    operator: str
    since_utc: str
    line: str
    steps: tuple[str, ...]
    holder: str | None


def tag_of(part: Part, number: int) -> str:
    """The name that every revision gets: ``2026.11-linux-x86_64.4``."""
    return f"{part.version}-{part.target.name}.{number}"


def is_tag(name: str) -> bool:
    """Whether ``name`` can be a tag in every backend."""
    return _TAG.fullmatch(name) is not None and name != "trunk"


def safe_line(text: str) -> str:
    """One line without anything that a shell or an option parser could take for something else.

    Letters, digits, space and ``._:+=@,/-`` stay, no word begins with ``-``; the rest becomes a space. The full text lives
    in the changelog, as a file.
    """
    words = (word.lstrip("-") for word in _UNSAFE.sub(" ", text).split())
    return " ".join(filter(None, words))[:_MAX_LINE].rstrip() or "no message"
