"""One change, carried into a repository and read back: what publishing, promoting and rolling back share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from compatlayer.declaration.model import Part
from compatlayer.errors import RepositoryError
from compatlayer.repository.base import Message, Repository, Revision, State, Transaction, tag_of
from compatlayer.tree.changes import ChangeList
from compatlayer.tree.entries import Entry, Kind
from compatlayer.tree.manifest import Manifest

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Load:
    """A change list, where its contents lie, and what the tree is after it."""

    changes: ChangeList
    source: Path
    becomes: Manifest


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is to become of a part: the loads one after the other, on top of ``expect``, with a message.

    ``full_readback`` reads everything back and not only what has changed.
    """

    part: Part
    expect: Revision | None
    message: Message
    loads: tuple[Load, ...]
    full_readback: bool = False


def deliver(
    repository: Repository,
    delivery: Delivery,
    *,
    before: Callable[[Transaction], None] = lambda _: None,
    after: Callable[[Transaction, Revision], None] = lambda _, __: None,
) -> Revision:
    """Begin, apply, read back, publish; or nothing at all.

    ``before`` may write into the journal what ``after`` needs, which is called when everybody can see the new revision
    and before the transaction is closed: should it not come to that, whoever resumes finishes it. Raises
    ``RepositoryError``; the repository then stands where it stood.
    """
    with repository.begin(delivery.part, delivery.message, delivery.expect) as transaction:
        before(transaction)
        for load in delivery.loads:
            transaction.apply(load.changes, load.source, load.becomes)
        prove(transaction, delivery)
        revision = transaction.publish(tag_of(delivery.part, transaction.number))
        after(transaction, revision)
        return revision


def prove(transaction: Transaction, delivery: Delivery) -> None:
    """Read back what was written. Raises ``RepositoryError`` where the repository holds something else."""
    wanted = delivery.loads[-1].becomes
    changed = {put.path for load in delivery.loads for put in load.changes.puts}
    paths = sorted(changed | {path for load in delivery.loads for path in load.changes.deletes})
    if delivery.full_readback:
        paths = sorted({*paths, *(entry.path for entry in wanted)})
    found: dict[str, Entry] = {entry.path: entry for entry in transaction.reread(paths)}
    wrong = [path for path in paths if found.get(path) != wanted.get(path)]
    if wrong:
        raise RepositoryError(
            f"{transaction.part} was not written as it should be; nothing was published",
            cause="\n".join(_difference(path, wanted.get(path), found.get(path)) for path in wrong[:SHOWN]),
            hint="a file was changed while it was published, or the disk is damaged: try again, then check the disk",
        )


def take_up(repository: Repository, finish: Callable[[Transaction], None] | None = None) -> str | None:
    """Finish or undo what a crash has left open in a repository; says what was done, or None when nothing was open.

    ``finish`` does what belongs to a transaction that was published. Raises ``LockHeldError`` when it is at work still.
    """
    pending = repository.pending()
    if pending is None:
        return None
    transaction = repository.resume()
    if transaction is None:
        return None
    what = f"{pending.line} ({pending.part} in {pending.repository}, begun by {pending.operator} at {pending.since_utc})"
    if transaction.state is State.OPEN:
        transaction.abort()
        return f"an interrupted transaction was undone: {what}"
    with transaction:
        if finish is not None:
            finish(transaction)
    return f"an interrupted transaction was finished: {what}"


def _difference(path: str, wanted: Entry | None, found: Entry | None) -> str:
    return f"{path}: expected {_described(wanted)}, read back {_described(found)}"


def _described(entry: Entry | None) -> str:
    if entry is None:
        return "nothing"
    if entry.kind is Kind.SYMLINK:
        return f"a link to {entry.target}"
    content = f" of {entry.size_bytes} bytes, sha256 {entry.sha256[:12]}" if entry.kind is Kind.FILE else ""
    return f"a {entry.kind}{content}, mode {entry.mode:04o}"
