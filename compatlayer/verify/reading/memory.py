"""What a pass remembers for quick ones: what each slice of a directory looked like when a check had nothing to say about it.

A quick pass trusts a slice whose entries have the same names, types, modes, sizes, inodes, modification and change times, and the
same records, as when it was read. The kernel sets a change time (``ctime``) on every write and no program can set it back, so
nobody who works through the file system gets past this; a failing disk does, which is why full passes remain.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from compatlayer.journal import write_atomically

FORMAT = 1
# A file that was written within a clock tick of being read can be written again without a new time; network clocks differ more.
RACY_NS = 2_000_000_000

Remembered = Mapping[str, Mapping[str, str]]


def signature(names: Sequence[str], statuses: Iterable[os.stat_result], records: bytes) -> str:
    """32 hexadecimal digits that are the same when the slice looks the same."""
    digest = hashlib.blake2b(records, digest_size=16)
    digest.update("\0".join(names).encode("utf-8", "surrogateescape"))
    digest.update(
        repr([(one.st_mode, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in statuses]).encode("ascii")
    )
    return digest.hexdigest()


def is_settled(statuses: Iterable[os.stat_result], now_ns: int) -> bool:
    """Whether all times lie far enough back for a later change to show."""
    newest = max((one.st_ctime_ns for one in statuses), default=0)
    return newest < now_ns - RACY_NS


def is_file(status: os.stat_result) -> bool:
    """Whether it is a regular file, which a trusted slice need not read."""
    return stat.S_ISREG(status.st_mode)


def recall(directory: Path, tree: Path) -> Remembered:
    """What the last pass over ``tree`` left in ``directory``, by check and slice; nothing where we understand none."""
    try:
        document = json.loads(_file(directory, tree).read_bytes())
        if document["format"] == FORMAT and document["tree"] == str(tree.absolute()):
            checks: Remembered = document["checks"]
            return checks
    except (OSError, ValueError, KeyError, TypeError):
        pass  # a missing or damaged memory means that everything is read
    return {}


def keep(directory: Path, tree: Path, checks: Remembered) -> None:
    """Store it for the next quick pass. Checks that did not run this time are kept as they were."""
    known = dict(recall(directory, tree)) | dict(checks)
    document = {"format": FORMAT, "tree": str(tree.absolute()), "checks": known}
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(_file(directory, tree), json.dumps(document, separators=(",", ":")).encode("ascii"))


def _file(directory: Path, tree: Path) -> Path:
    name = hashlib.blake2b(os.fsencode(tree.absolute()), digest_size=8).hexdigest()
    return directory / f"verified-{name}.json"
