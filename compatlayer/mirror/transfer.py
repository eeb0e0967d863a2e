"""One attempt to get one file from one place: resumed where possible, watched for stalls, hashed as it comes in.

What comes in lies under an unverified name in the store's ``incoming``. HTTP details: RFC 9110 (ranges, If-Range, Retry-After).
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.auth import HTTPBasicAuth
from requests.utils import get_netrc_auth

from compatlayer import __version__
from compatlayer.mirror import hashes, sources
from compatlayer.mirror.distfiles import Wanted
from compatlayer.mirror.schedule import Patience

_CHUNK_BYTES = 1 << 18
# From this size on it is worth a file of its own to remember where a part came from.
_RESUME_BYTES = 1 << 20
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = 10


class TransferError(Exception):
    """An attempt failed: ``again`` says whether the same place may be asked again, ``wait_s`` for how long it wants to be left
    alone, ``unreachable`` that nobody answered there, ``fresh`` that a resumed part is to blame.
    """

    def __init__(
        self, reason: str, *, again: bool = False, wait_s: float | None = None, unreachable: bool = False, fresh: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again
        self.wait_s = wait_s
        self.unreachable = unreachable
        self.fresh = fresh


class Stopped(Exception):
    """The run is over; what has come in stays for the next one."""


@dataclass(frozen=True, slots=True)
class Part:
    """An unverified file and the note of where it came from."""

    path: Path

    @property
    def note(self) -> Path:
        """JSON: the URL, and the validator (ETag or Last-Modified) that the server gave."""
        return self.path.with_name(f"{self.path.name}.from")

    def begun(self, url: str) -> tuple[int, str | None]:
        """How many bytes are there that came from ``url``, and that server's validator."""
        try:
            size = self.path.lstat().st_size
            note = json.loads(self.note.read_text(encoding="utf-8"))
            return (size, note["validator"]) if note["url"] == url else (0, None)
        except (OSError, ValueError, KeyError, TypeError):
            return 0, None

    def remember(self, url: str, validator: str | None) -> None:
        """Write the note. It need not survive a crash: without it the file is fetched from its start."""
        self.note.write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")

    def discard(self) -> None:
        """Start afresh next time."""
        self.note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def new_session() -> requests.Session:
    """A session for one thread: proxies, certificates and netrc as requests takes them from the environment."""
    session = requests.Session()
    session.max_redirects = _REDIRECTS
    # identity: what a Manifest describes are the bytes as the server has them.
    session.headers.update({"User-Agent": f"compatlayer/{__version__}", "Accept-Encoding": "identity"})
    return session


class Client:
    """What one thread asks servers with. What requests takes from the environment (proxies, certificates, netrc) it is asked for
    once for each host: requests itself looks that up for every file, which takes longer than fetching a small one.
    """

    def __init__(self) -> None:
        self._session = new_session()
        self._hosts: dict[tuple[str, str], tuple[Mapping[str, Any], Callable[..., Any] | None]] = {}

    def get(self, url: str, headers: Mapping[str, str], timeout: tuple[float, float]) -> requests.Response:
        """The answer's beginning; redirects are followed. A context manager."""
        parts = urlsplit(url)
        host = (parts.scheme, parts.netloc)
        if host not in self._hosts:
            looked_up: Any = self._session.merge_environment_settings(url, {}, stream=True, verify=None, cert=None)
            named = get_netrc_auth(url)
            # Told that there is nothing, requests does not look for itself.
            auth = HTTPBasicAuth(*named) if named else None if "@" in parts.netloc else _as_it_is
            self._hosts[host] = (looked_up, auth)
        settings, auth = self._hosts[host]
        request = requests.PreparedRequest()
        request.prepare(
            method="GET", url=url, headers={**self._session.headers, **headers}, cookies=self._session.cookies, auth=auth
        )
        return self._session.send(request, timeout=timeout, allow_redirects=True, **settings)

    def close(self) -> None:
        """Close its connections."""
        self._session.close()


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def get(
    client: Client, url: str, part: Part, wanted: Wanted, patience: Patience, received: Callable[[int], None]
) -> dict[str, str]:
    """Fetch ``wanted`` from ``url`` into ``part``; returns its digests, which match. It is not fsynced yet.

    ``received`` is called with the number of bytes of each chunk (negative when bytes are thrown away) and may raise ``Stopped``.
    Raises ``TransferError``; ``OSError`` only when the part cannot be written.
    """
    scheme = urlsplit(url).scheme
    if scheme == "file":
        return _copy(url, part, wanted, received)
    if scheme not in ("http", "https"):
        raise TransferError(f"{scheme or 'no'} URLs are not supported")
    try:
        return _Download(client, url, part, wanted, patience, received).run()
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _explained(error, patience) from error


def _explained(error: Exception, patience: Patience) -> TransferError:
    """What an exception of the HTTP libraries means for us. The order matters: each is a kind of those below it."""
    said = innermost(error)
    match error:
        case requests.exceptions.SSLError() | urllib3.exceptions.SSLError():
            return TransferError(f"the certificate cannot be verified: {said}")
        case requests.exceptions.TooManyRedirects():
            return TransferError(f"more than {_REDIRECTS} redirects")
        case requests.exceptions.InvalidSchema():
            return TransferError(f"redirected to something that is no web address: {said}")
        case requests.exceptions.ConnectTimeout():
            return TransferError(f"no connection within {patience.connect_s:g} s", again=True, unreachable=True)
        case requests.exceptions.ReadTimeout() | urllib3.exceptions.ReadTimeoutError():
            return TransferError(f"nothing came for {patience.stall_s:g} s", again=True)
        case requests.exceptions.ChunkedEncodingError() | urllib3.exceptions.ProtocolError():
            return TransferError(f"the connection broke: {said}", again=True)
        case requests.exceptions.ConnectionError():
            return TransferError(f"no connection: {said}", again=True, unreachable=not _was_connected(error))
        case _:
            return TransferError(said)


class _Download:
    """The state of one HTTP transfer."""

    def __init__(
        self, client: Client, url: str, part: Part, wanted: Wanted, patience: Patience, received: Callable[[int], None]
    ) -> None:
        self.client, self.url, self.part, self.wanted = client, url, part, wanted
        self.patience, self.received = patience, received
        self.digester = hashes.Digester(wanted.hashes)

    def run(self) -> dict[str, str]:
        offset, validator = self.part.begun(self.url)
        if offset > self.wanted.size_bytes:
            offset = 0
        headers = {}
        if 0 < offset < self.wanted.size_bytes:
            headers["Range"] = f"bytes={offset}-"
            if validator:
                headers["If-Range"] = validator
        elif offset == self.wanted.size_bytes:
            return self._finish_part(offset)
        timeout = (self.patience.connect_s, self.patience.stall_s)
        with self.client.get(self.url, headers, timeout) as answer:
            offset = self._accept(answer, offset if headers else 0)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self.part.path, flags, 0o644)
            try:
                return self._receive(answer, descriptor, offset)
            finally:
                os.close(descriptor)

    def _accept(self, answer: requests.Response, offset: int) -> int:
        """Where the bytes of this answer belong. Raises ``TransferError`` for one that cannot be the file."""
        status = answer.status_code
        if status == 416:
            self.part.discard()
            raise TransferError("416: the part we had does not fit", again=True, fresh=True)
        if status not in (200, 206):
            reason = f"{status} {answer.reason or ''}".strip()
            raise TransferError(reason, again=status in _TRANSIENT, wait_s=retry_after_s(answer.headers.get("Retry-After")))
        if status == 206:
            expected = f"bytes {offset}-{self.wanted.size_bytes - 1}/{self.wanted.size_bytes}"
            if not offset or answer.headers.get("Content-Range", "").strip() != expected:
                self.part.discard()
                raise TransferError(f"206 with another range: {answer.headers.get('Content-Range')}", again=True, fresh=True)
        else:
            offset = 0
        length = answer.headers.get("Content-Length", "")
        if length.isdigit() and int(length) != self.wanted.size_bytes - offset:
            kind = ", a web page" if "html" in answer.headers.get("Content-Type", "") else ""
            raise TransferError(f"{int(length) + offset} bytes{kind} instead of {self.wanted.size_bytes}")
        return offset

    def _receive(self, answer: requests.Response, descriptor: int, offset: int) -> dict[str, str]:
        os.ftruncate(descriptor, offset)
        if offset:
            self.digester.copy_from(descriptor, offset)
            self.received(offset)
        elif self.wanted.size_bytes >= _RESUME_BYTES:
            self.part.remember(self.url, _validator(answer))
        done, counted = offset, offset
        try:
            since, moved = time.monotonic(), 0
            while True:
                block = answer.raw.read1(_CHUNK_BYTES, decode_content=False)
                if not block:
                    break
                if done + len(block) > self.wanted.size_bytes:
                    self.part.discard()
                    raise TransferError(f"more than {self.wanted.size_bytes} bytes")  # noqa: TRY301
                self.digester.update(block)
                write_all(descriptor, block)
                done, moved, counted = done + len(block), moved + len(block), counted + len(block)
                self.received(len(block))
                elapsed = time.monotonic() - since
                if elapsed > self.patience.window_s:
                    if moved < self.patience.slow_bytes_s * elapsed:
                        raise TransferError(f"too slow: {moved / elapsed:.0f} bytes a second", again=True)  # noqa: TRY301
                    since, moved = time.monotonic(), 0
            return self._finish(done, resumed=offset > 0)
        except BaseException:
            self.received(-counted)
            raise

    def _finish(self, done: int, *, resumed: bool) -> dict[str, str]:
        if done < self.wanted.size_bytes:
            raise TransferError(f"it ended after {done} of {self.wanted.size_bytes} bytes", again=True)
        digests = self.digester.digests()
        wrong = hashes.difference(done, digests, self.wanted.size_bytes, self.wanted.hashes)
        if wrong:
            self.part.discard()
            where = " after it was resumed" if resumed else ""
            raise TransferError(f"{wrong}{where}", again=resumed, fresh=resumed)
        return digests

    def _finish_part(self, size: int) -> dict[str, str]:
        """The part is whole already: a run ended between its last byte and its acceptance."""
        descriptor = os.open(self.part.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self.digester.copy_from(descriptor, size)
            digests = self._finish(size, resumed=True)
            self.received(size)
            return digests
        finally:
            os.close(descriptor)


def _copy(url: str, part: Part, wanted: Wanted, received: Callable[[int], None]) -> dict[str, str]:
    try:
        # O_NONBLOCK: a named pipe would keep us for ever.
        source = os.open(sources.file_path(url), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise TransferError("no such file") from error
    except (OSError, ValueError) as error:
        raise TransferError(str(error)) from error
    counted = 0
    try:
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode):
            raise TransferError("not a regular file")  # noqa: TRY301
        if status.st_size != wanted.size_bytes:
            raise TransferError(f"{status.st_size} bytes instead of {wanted.size_bytes}")  # noqa: TRY301
        part.discard()
        target = os.open(part.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            digester = hashes.Digester(wanted.hashes)
            while block := os.read(source, hashes.BLOCK_BYTES):
                digester.update(block)
                write_all(target, block)
                counted += len(block)
                received(len(block))
            digests = digester.digests()
            wrong = hashes.difference(counted, digests, wanted.size_bytes, wanted.hashes)
            if wrong:
                raise TransferError(wrong)
            return digests
        finally:
            os.close(target)
    except BaseException:
        received(-counted)
        part.discard()
        raise
    finally:
        os.close(source)


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date; None when it says nothing that can be understood."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


def is_full(error: OSError) -> bool:
    """Whether the disk, or the user's share of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def write_all(descriptor: int, block: bytes) -> None:
    """Write all of it: a nearly full disk takes a part first, and says so on the next call."""
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


def _validator(answer: requests.Response) -> str | None:
    """What If-Range may carry: a strong ETag, else Last-Modified."""
    tag = answer.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return str(tag)
    modified = answer.headers.get("Last-Modified")
    return str(modified) if modified else None


def innermost(error: BaseException) -> str:
    """The plainest words in a chain of exceptions that wrap each other."""
    seen = [error]
    while (inner := _inner(seen[-1])) is not None and inner not in seen:
        seen.append(inner)
    last = seen[-1]
    text = last.strerror if isinstance(last, OSError) and last.strerror else str(last)
    return text.strip() or type(last).__name__


def _inner(error: BaseException) -> BaseException | None:
    """What an exception wraps, wherever it keeps it."""
    for held in (getattr(error, "reason", None), *error.args, error.__cause__):
        if isinstance(held, BaseException):
            return held
    return None


def _was_connected(error: BaseException) -> bool:
    """Whether there was a connection that then broke; a server under load does that, a dead one does not."""
    text = repr(error)
    return any(word in text for word in ("ConnectionReset", "RemoteDisconnected", "BrokenPipe", "Connection aborted"))
