"""A journal: what was under way, on disk before it is done, so that the next run can finish or undo it.

One JSON object a line, each line flushed and fsynced before ``record`` returns. A crash can tear only the last line; a torn
last line is ignored when read, since what it announced had not begun. A finished piece of work empties its journal.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compatlayer.errors import RepositoryError


@dataclass(frozen=True, slots=True)
class Record:
    """One step: its name, when it was announced (UTC, ISO 8601), and what the next run needs to know about it."""

    step: str
    at_utc: str
    data: dict[str, Any] = field(default_factory=dict)


class Journal:
    """The journal in one file. Not safe for two writers: hold the owner's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self, step: str, **data: Any) -> Record:
        """Announce a step before it is done; on return it is on disk. ``data`` must be JSON."""
        entry = Record(step, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), data)
        line = json.dumps({"step": entry.step, "at_utc": entry.at_utc, "data": entry.data}, sort_keys=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not self.path.exists()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # A torn last line of a crashed run is cut off first, so that what follows it can be read.
            end = self._intact_bytes()
            os.ftruncate(descriptor, end)
            os.pwrite(descriptor, line.encode() + b"\n", end)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if fresh:
            fsync_directory(self.path.parent)
        return entry

    def read(self) -> tuple[Record, ...]:
        """All steps, oldest first; empty when nothing is under way. Raises ``RepositoryError`` when a line is not ours."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return ()
        records = []
        for number, line in enumerate(raw[: self._intact_bytes()].splitlines(), start=1):
            try:
                document = json.loads(line)
                records.append(Record(document["step"], document["at_utc"], document["data"]))
            except (ValueError, KeyError, TypeError) as error:
                raise RepositoryError(
                    f"{self.path}:{number}: the journal is damaged",
                    cause=line.decode("utf-8", "replace")[:200],
                    hint="look at what it says was under way, put that right by hand, then delete this file",
                ) from error
        return tuple(records)

    def clear(self) -> None:
        """Nothing is under way any more."""
        self.path.unlink(missing_ok=True)
        if self.path.parent.is_dir():
            fsync_directory(self.path.parent)

    def _intact_bytes(self) -> int:
        try:
            return self.path.read_bytes().rfind(b"\n") + 1
        except FileNotFoundError:
            return 0


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that its name always holds the old or the new content, whole: temporary name, fsync, rename, fsync."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def fsync_directory(path: Path) -> None:
    """Put on disk what names a directory holds."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
