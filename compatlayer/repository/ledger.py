"""A repository's ledger: its lock, its journal, and the manifests and receipts of its revisions.

On disk (``<repository>/extensions/compatlayer`` of an OSTree repository, else in the state directory)::

    lock            who is changing the repository (``compatlayer.lock``)
    journal         what is under way (``compatlayer.journal``)
    manifests.db    the manifest of every revision, directory by directory (``compatlayer.tree.store``)
    receipts/       one signed receipt for each promotion
    approvals/      signed approvals
    checkouts/      trees of revisions that views and stages stand on
    scratch/        what a run needs while it lasts
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from compatlayer import lock
from compatlayer.declaration.model import TARGETS, Part
from compatlayer.errors import RepositoryError
from compatlayer.journal import Journal
from compatlayer.repository.base import Message, Origin, Pending
from compatlayer.tree.beneath import remove_tree
from compatlayer.tree.store import ManifestStore

BEGIN = "begin"


class Ledger:
    """The ledger in one directory; ``name`` is the repository's, for messages."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.name = name
        self.journal = Journal(directory / "journal")
        self.manifests = ManifestStore(directory / "manifests.db")

    @property
    def receipts(self) -> Path:
        """Where receipts are kept."""
        return self.directory / "receipts"

    @property
    def approvals(self) -> Path:
        """Where approvals are kept."""
        return self.directory / "approvals"

    @contextmanager
    def hold(self, purpose: str) -> Iterator[None]:
        """Hold the repository. Raises ``LockHeldError`` naming who has it."""
        with disk_errors(self.name), lock.hold(self.directory / "lock", purpose):
            yield

    @contextmanager
    def scratch(self, inside: str = "scratch") -> Iterator[Path]:
        """An empty directory that goes away again, unless it is given another name. What killed runs have left goes first."""
        with disk_errors(self.name):
            above = self.directory / inside
            above.mkdir(parents=True, exist_ok=True)
            for place in above.glob("*.lock"):
                if lock.holder(place) is None:
                    remove_tree(place.with_suffix(""))
                    place.unlink(missing_ok=True)
            place = above / f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
        held = place.with_name(f"{place.name}.lock")
        try:
            with lock.hold(held, f"working on {self.name}"):
                try:
                    place.mkdir()
                    yield place
                finally:
                    remove_tree(place)
        finally:
            held.unlink(missing_ok=True)

    def refuse_if_open(self) -> None:
        """Raise ``RepositoryError`` when a transaction was left open."""
        pending = self.pending()
        if pending is not None:
            raise RepositoryError(
                f"a transaction of {pending.part} is open in {self.name}",
                cause=f"begun by {pending.operator} at {pending.since_utc}: {pending.line}",
                hint="look at it: compatlayer transaction status; undo it: compatlayer transaction abort",
            )

    def pending(self) -> Pending | None:
        """What the journal says is under way."""
        records = self.journal.read()
        if not records:
            return None
        data = records[0].data
        holder = lock.holder(self.directory / "lock")
        return Pending(
            self.name,
            str(data.get("part", {}).get("text", "a part")),
            str(data.get("origin", {}).get("operator", "somebody")),
            records[0].at_utc,
            str(data.get("line", "")),
            tuple(record.step for record in records),
            str(holder) if holder else None,
        )


def part_document(part: Part) -> dict[str, Any]:
    """A part as the journal has it."""
    return {
        "text": str(part),
        "layer": part.layer,
        "version": part.version,
        "target": part.target.name,
        "prefix": str(part.prefix),
    }


def part_of(document: dict[str, Any]) -> Part:
    """The inverse of ``part_document``."""
    return Part(document["layer"], document["version"], TARGETS[document["target"]], PurePosixPath(document["prefix"]))


def message_document(message: Message) -> dict[str, Any]:
    """A message as journals and revisions have it."""
    return {"line": message.line, "origin": asdict(message.origin)}


def message_of(document: dict[str, Any]) -> Message:
    """The inverse of ``message_document``."""
    return Message(document["line"], Origin(**document["origin"]))


def operator() -> str:
    """Who is at it: user@host; ``COMPATLAYER_OPERATOR`` says it better where a robot runs this for a person."""
    named = os.environ.get("COMPATLAYER_OPERATOR", "").strip()
    if named:
        return named[:200]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


@contextmanager
def disk_errors(name: str) -> Iterator[None]:
    """Turn what the file system refuses into ``RepositoryError``."""
    try:
        yield
    except OSError as error:
        raise RepositoryError(
            f"the repository {name} cannot be changed",
            cause=f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror or error),
            hint="nothing was published; make room or give permission, then run the same command again",
        ) from error
