"""A store of binary packages behind a web server: any that shows the files of a directory will do."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import quote

import requests
import urllib3

from compatlayer.binaries.entry import Entry
from compatlayer.binaries.store import INDEX, Index, UnusableError, parse_index
from compatlayer.mirror import transfer
from compatlayer.mirror.distfiles import Wanted
from compatlayer.mirror.schedule import Pace, Patience
from compatlayer.mirror.transfer import Part, TransferError

_INDEX_BYTES = 512 << 20
_BLOCK_BYTES = 1 << 18


class WebStore:
    """A store that is only read. Its index is asked for once."""

    def __init__(self, url: str, pace: Pace = Pace(tries=3), patience: Patience = Patience()) -> None:  # noqa: B008  (frozen)
        self.name = url.rstrip("/")
        self._pace, self._patience = pace, patience
        self._client = transfer.Client()
        self._index: Index | None = None

    def index(self) -> Index:
        if self._index is None:
            try:
                self._index = parse_index(self._read_index())
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                raise UnusableError(f"the index of {self.name} cannot be had", cause=_said(error)) from error
        return self._index

    def fetch(self, entry: Entry, target: Path) -> None:
        wanted = Wanted(target.name, entry.size_bytes, {"SHA256": entry.sha256})
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Part(target)
        tried = 0
        while True:
            tried += 1
            try:
                transfer.get(self._client, f"{self.name}/{quote(entry.path)}", part, wanted, self._patience, lambda _: None)
            except TransferError as error:
                if error.again and tried < self._pace.tries:
                    time.sleep(min(error.wait_s or self._pace.wait_s(tried), self._pace.longest_wait_s))
                    continue
                part.discard()
                raise UnusableError("it cannot be had", cause=error.reason) from error
            except OSError as error:
                raise UnusableError("it cannot be written", cause=str(error)) from error
            part.note.unlink(missing_ok=True)
            return

    def _read_index(self) -> bytes:
        timeout = (self._patience.connect_s, self._patience.stall_s)
        # Compressed on the way, where the server can: the digests in it are most of it, and they do not compress badly.
        headers = {"Accept-Encoding": "gzip, deflate"}
        with self._client.get(f"{self.name}/{INDEX}", headers, timeout) as answer:
            answer.raise_for_status()
            content = bytearray()
            for block in answer.iter_content(_BLOCK_BYTES):
                content += block
                if len(content) > _INDEX_BYTES:
                    raise UnusableError(f"the index of {self.name} is larger than any")
            return bytes(content)


def _said(error: Exception) -> str:
    """What a web server or the network said, without the library's account of itself."""
    answer = getattr(error, "response", None)
    if answer is not None:
        return f"{answer.status_code} {answer.reason}".strip()
    return transfer.innermost(error)
