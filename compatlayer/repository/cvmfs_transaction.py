"""A transaction of the CernVM-FS backend: changes go into the mounted repository path by path, a snapshot makes them visible."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compatlayer.declaration.model import Part
from compatlayer.errors import RepositoryError
from compatlayer.journal import Record, write_atomically
from compatlayer.repository.base import Message, Revision, safe_line
from compatlayer.repository.ledger import message_document, part_document
from compatlayer.repository.transaction import JournalledTransaction
from compatlayer.tree.apply import apply
from compatlayer.tree.changes import ChangeList
from compatlayer.tree.entries import Entry, entries_at
from compatlayer.tree.manifest import Manifest

if TYPE_CHECKING:
    from compatlayer.repository.cvmfs import CvmfsRepository

DIRTAB = ".cvmfsdirtab"
OPENED = "opened"


class CvmfsTransaction(JournalledTransaction):
    """Changes go into the mounted repository, path by path; ``publish`` makes the snapshot."""

    def __init__(self, repository: CvmfsRepository, part: Part, message: Message, number: int, held: ExitStack) -> None:
        super().__init__(repository.ledger, part, message, number, held)
        self.repository = repository
        self._changed: set[str] = set()

    def keep(self, held: ExitStack) -> None:
        """Take the lock over."""
        self._held = held

    @property
    def place(self) -> Path:
        """The part's tree in the mounted repository."""
        return self.repository.mounted / self.repository.below(self.part)

    def reopen(self, records: Sequence[Record]) -> None:
        """Take it up: discard what is ours and open, which repairs the mounts that a killed publish has left.

        Only then does ``cvmfs_server`` answer, and can it be told whether there is a snapshot. Raises ``RepositoryError`` while
        a publish goes on that has outlived whoever began it.
        """
        self._notes = {record.step: record.data for record in records}
        if self._holds_it():
            self.repository.server.abort()
        super().reopen(records)

    def find_published(self, records: Sequence[Record]) -> Revision | None:
        """It came to be when the snapshot that was announced is there."""
        tags = {record.data["tag"] for record in records if record.step == "publish"}
        return next((one for one in self.repository.revisions(self.part) if tags & set(one.tags)), None)

    def _open(self) -> None:
        before = self.repository.opened()
        try:
            self.repository.server.transaction(self.repository.leased(self.part))
        except RepositoryError:
            raise  # its exit code says that it has opened nothing
        except BaseException:  # stopped by hand: what it was about to open may be open now
            if self.repository.opened() not in (None, before):
                self.repository.server.abort()
            raise
        try:
            self._record(OPENED, identity=self.repository.opened())
        except BaseException:
            self.repository.server.abort()
            raise

    def _apply(self, changes: ChangeList, source: Path, after: Manifest) -> None:
        self._refuse_lost()
        self.place.mkdir(parents=True, exist_ok=True)
        apply(changes, source, self.place)
        self._changed.update(put.path for put in changes.puts)
        self._changed.update(changes.deletes)
        if not self.repository.leased(self.part):
            self._keep_catalogs_small()

    def _reread(self, paths: Iterable[str]) -> Iterator[Entry]:
        yield from entries_at(self.place, list(paths))

    def _prepare(self, tag: str | None, manifest: Manifest) -> dict[str, Any]:
        if tag is None:
            raise RepositoryError("a CernVM-FS revision needs a tag: without one nobody finds it again")
        if tag in self.repository.tags():
            raise RepositoryError(f"the tag {tag} is in use in {self.repository.name}")
        record = {"part": part_document(self.part), "root": manifest.root, **message_document(self.message)}
        write_atomically(self.repository.record_file(tag), json.dumps(record, sort_keys=True).encode() + b"\n")
        return {"description": safe_line(f"root={manifest.root} {self.message.line}")}

    def _publish(self) -> Revision:
        announced = self.notes["publish"]
        self._refuse_lost()
        self.repository.server.publish(announced["tag"], announced["description"])
        revision = next((one for one in self.repository.revisions(self.part) if announced["tag"] in one.tags), None)
        if revision is None:
            raise RepositoryError(f"{self.repository.name} was published, and yet has no snapshot {announced['tag']}")
        assert self._manifest is not None, "what is published has a tree"
        # Once more, from what clients will see: content has been lost in publishing before.
        found = {entry.path: entry for entry in self._reread(sorted(self._changed))}
        lost = [path for path in sorted(self._changed) if found.get(path) != self._manifest.get(path)]
        if lost:
            raise RepositoryError(
                f"{self.part} was published to {self.repository.name} and reads back different",
                cause="\n".join(lost[:5]),
                hint=f"go back at once: compatlayer rollback {self.number - 1}",
            )
        return revision

    def _abort(self) -> None:
        """Discard what is ours, and only that. A publish that has failed may have made its snapshot all the same."""
        if self._holds_it():
            self.repository.server.abort()
        if "publish" in self.notes and self.find_published(self.ledger.journal.read()) is not None:
            raise RepositoryError(
                f"{self.part} was published to {self.repository.name}, although cvmfs_server failed in the end",
                hint="run the same command again: it finishes what belongs to it",
            )

    def _refuse_lost(self) -> None:
        if not self._holds_it():
            raise RepositoryError(
                f"the transaction of {self.part} in {self.repository.domain} was taken away; nothing was published",
                cause="somebody has aborted it, and perhaps begun another",
                hint="find out who; then run the same command again",
            )

    def _holds_it(self) -> bool:
        """Whether the transaction that is open in ``cvmfs_server`` is this one.

        A crash between opening it and writing down that it is open leaves the journal without its identity. It is ours
        then if it was opened since the journal began and nobody has written into it: we write only afterwards.
        """
        there = self.repository.opened()
        if there is None:
            return False
        if OPENED in self.notes:
            return bool(there == self.notes[OPENED]["identity"])
        began = datetime.fromisoformat(self.ledger.journal.read()[0].at_utc)
        return self.repository.opened_at_utc() >= began and not self.repository.server.staged()

    def _keep_catalogs_small(self) -> None:
        """Have nested catalogs made for the part and its large directories: one catalog holds 200,000 entries at most."""
        below = self.repository.below(self.part)
        wanted = [f"/{below}", f"/{below}/usr", f"/{below}/usr/*", f"/{below}/var/db/pkg"]
        file = self.repository.mounted / DIRTAB
        try:
            lines = file.read_text(errors="surrogateescape").splitlines()
        except FileNotFoundError:
            lines = []
        if missing := [line for line in wanted if line not in lines]:
            file.write_text("\n".join([*lines, *missing, ""]), errors="surrogateescape")
