"""The part of a transaction that every backend shares: the lock, the journal, and the manifest that goes along.

Each step is in the journal, on disk, before it is done. A crash at any point leaves a journal whose last line says what
was begun; the backend then tells whether it came to be (``find_published``).
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from compatlayer.declaration.model import Part
from compatlayer.errors import RepositoryError, StageError
from compatlayer.journal import Record
from compatlayer.repository.base import Message, Revision, State, is_tag
from compatlayer.repository.ledger import BEGIN, Ledger, disk_errors, message_document, message_of, part_document, part_of
from compatlayer.tree.beneath import Beneath
from compatlayer.tree.changes import ChangeList
from compatlayer.tree.entries import Entry, entry_at
from compatlayer.tree.manifest import Manifest, update


class JournalledTransaction(abc.ABC):
    """A transaction of one part; made by ``start`` or ``reopen`` with the ledger's lock in ``held``."""

    def __init__(self, ledger: Ledger, part: Part, message: Message, number: int, held: ExitStack) -> None:
        self.ledger = ledger
        self.part = part
        self.message = message
        self.number = number
        self._held = held
        self._state = State.OPEN
        self._manifest: Manifest | None = None
        self._notes: dict[str, Mapping[str, Any]] = {}

    def start(self, before: Manifest | None, expect: Revision | None) -> None:
        """Write the first line of the journal, then open the backend."""
        self._manifest = before
        self._record(
            BEGIN,
            part=part_document(self.part),
            number=self.number,
            expect=expect.id if expect else None,
            **message_document(self.message),
        )
        try:
            self._open()
        except BaseException:
            self._clear()
            raise

    def reopen(self, records: Sequence[Record]) -> None:
        """Take up what the journal tells of another process's transaction."""
        self._notes = {record.step: record.data for record in records}
        if self.find_published(records) is not None:
            self._state = State.PUBLISHED

    @property
    def state(self) -> State:
        """Whether it was published."""
        return self._state

    @property
    def manifest(self) -> Manifest | None:
        """What the tree is after all that was applied."""
        return self._manifest

    @property
    def notes(self) -> Mapping[str, Mapping[str, Any]]:
        """The data of each step in the journal, the latest of each name."""
        return self._notes

    @property
    def published(self) -> Revision:
        """The revision that this transaction has made. Raises ``RepositoryError`` before that."""
        found = self.find_published(self.ledger.journal.read())
        if found is None:
            raise RepositoryError(f"the transaction of {self.part} was not published")
        return found

    def apply(self, changes: ChangeList, source: Path, becomes: Manifest | None = None) -> None:
        """Carry a change list out on the part's tree."""
        with disk_errors(self.ledger.name):
            after = self._after(changes, source) if becomes is None else becomes
            self._record("apply", root=after.root, puts=len(changes.puts), deletes=len(changes.deletes))
            self._apply(changes, source, after)
            self._manifest = after

    def reread(self, paths: Iterable[str]) -> Iterator[Entry]:
        """What the repository holds at ``paths``, read back."""
        self._record("reread")
        with disk_errors(self.ledger.name):
            yield from self._reread(paths)

    def remember(self, step: str, **data: Any) -> None:
        """Write a step of the caller's into the journal."""
        self._record(step, **data)

    def publish(self, tag: str | None) -> Revision:
        """Make it visible."""
        if self._manifest is None:
            raise RepositoryError(f"nothing was applied for {self.part}")
        if tag is not None and not is_tag(tag):
            raise RepositoryError(f"{tag!r} cannot be a tag", hint="letters, digits, '.', '_' and '-'")
        with disk_errors(self.ledger.name):
            self._record("manifest", root=self._manifest.root)
            self.ledger.manifests.save(self._manifest)
            self._record("publish", tag=tag, root=self._manifest.root, **self._prepare(tag, self._manifest))
            revision = self._publish()
            self._state = State.PUBLISHED
        self._record("published", id=revision.id)
        return revision

    def abort(self) -> None:
        """Undo, and close. What was published stays: it is a rollback that takes it back."""
        try:
            if self._state is State.OPEN:
                with disk_errors(self.ledger.name):
                    self._abort()
            self._clear()
        finally:
            self._held.close()

    def close(self) -> None:
        """Nothing is under way any more."""
        if self._state is not State.PUBLISHED:
            raise RepositoryError(f"the transaction of {self.part} is open", hint="publish or abort it")
        try:
            self._clear()
        finally:
            self._held.close()

    def __enter__(self) -> JournalledTransaction:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._state is State.OPEN:
            self.abort()
        elif kind is None:
            self.close()
        else:
            # Published, and then something failed that belongs to it: the journal stays, so that the next run finishes it.
            self._held.close()

    @abc.abstractmethod
    def find_published(self, records: Sequence[Record]) -> Revision | None:
        """The revision that was made, if what ``records`` announce came to be."""

    @abc.abstractmethod
    def _open(self) -> None: ...

    @abc.abstractmethod
    def _apply(self, changes: ChangeList, source: Path, after: Manifest) -> None: ...

    @abc.abstractmethod
    def _reread(self, paths: Iterable[str]) -> Iterator[Entry]: ...

    @abc.abstractmethod
    def _prepare(self, tag: str | None, manifest: Manifest) -> dict[str, Any]:
        """Do all that nobody sees yet; what it gives goes into the journal before ``_publish``."""

    @abc.abstractmethod
    def _publish(self) -> Revision: ...

    @abc.abstractmethod
    def _abort(self) -> None: ...

    def _after(self, changes: ChangeList, source: Path) -> Manifest:
        if self._manifest is not None:
            return update(self._manifest, changes, source)
        if not changes.opaque:
            raise StageError(f"{self.part} does not exist yet, so its first change list must hold all of it")
        with Beneath(source) as tree:
            return Manifest.of(entry_at(tree, put.path) for put in changes.puts)

    def _record(self, step: str, **data: Any) -> None:
        with disk_errors(self.ledger.name):
            self.ledger.journal.record(step, **data)
        self._notes[step] = data

    def _clear(self) -> None:
        with disk_errors(self.ledger.name):
            self.ledger.journal.clear()


def reopened(records: Sequence[Record]) -> tuple[Part, Message, int]:
    """Part, message and number of the transaction that a journal tells of. Raises ``RepositoryError`` for a strange one."""
    data = records[0].data if records[0].step == BEGIN else {}
    try:
        return part_of(data["part"]), message_of(data), int(data["number"])
    except (KeyError, TypeError, ValueError) as error:
        raise RepositoryError("the journal of a repository begins with something else than a transaction") from error
