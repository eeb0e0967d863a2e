"""A real HTTP server on the loopback that misbehaves as told: each path has a script of answers, and the last one stays.

``with MisbehavingServer() as server: server.serve("/a.tar", content, status(500), whole())``
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self


class Request(BaseHTTPRequestHandler):
    """One request being answered; a behaviour gets it and the content of its path."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        owner = self.server.owner
        page, behave = owner.next_answer(self)
        try:
            behave(self, page.content if page else b"")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET  # noqa: N815  (http.server's name)

    def answer(self, status: int, body: bytes = b"", *, length: int | None = None, **headers: str) -> None:
        """A status, headers (``Retry_After=…``) and as much of the body as is given."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def finish(self) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            super().finish()

    def log_message(self, *_: object) -> None:
        pass


Behaviour = Callable[[Request, bytes], None]


@dataclass
class Page:
    """A path's content and the answers still to come."""

    content: bytes
    answers: list[Behaviour]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    owner: MisbehavingServer

    def handle_error(self, *_: object) -> None:
        pass


@dataclass
class MisbehavingServer:
    """``certificate`` is a PEM file with key and certificate; without one it speaks plain HTTP."""

    certificate: Path | None = None
    pages: dict[str, Page] = field(default_factory=dict)
    log: list[tuple[str, str, dict[str, str], float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), Request)
        self._server.owner = self
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        scheme = "https" if self.certificate else "http"
        return f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    def serve(self, path: str, content: bytes, *answers: Behaviour) -> str:
        """Answer ``path`` so from now on; returns its URL."""
        self.pages[path] = Page(content, list(answers or (whole(),)))
        return self.url + path

    def requests_for(self, path: str) -> list[dict[str, str]]:
        """The headers of every request for ``path``."""
        return [headers for _, asked, headers, _ in self.log if asked == path]

    def times_of(self, path: str) -> list[float]:
        return [at for _, asked, _, at in self.log if asked == path]

    def next_answer(self, request: Request) -> tuple[Page | None, Behaviour]:
        with self._lock:
            self.log.append((request.command, request.path, dict(request.headers.items()), time.monotonic()))
            page = self.pages.get(request.path)
            if page is None:
                return None, status(404)
            behave = page.answers.pop(0) if len(page.answers) > 1 else page.answers[0]
        return page, behave


def whole(tag: str | None = '"v1"') -> Behaviour:
    """As it should be: ranges, If-Range, ETag and Last-Modified."""

    def behave(request: Request, content: bytes) -> None:
        headers: dict[str, str] = {"Last_Modified": formatdate(1_700_000_000, usegmt=True)}
        if tag:
            headers["ETag"] = tag
        asked = request.headers.get("Range", "")
        condition = request.headers.get("If-Range")
        if asked.startswith("bytes=") and (condition is None or condition == tag):
            first = int(asked[6:].rstrip("-").split("-")[0])
            body = content[first:]
            request.answer(206, body, Content_Range=f"bytes {first}-{len(content) - 1}/{len(content)}", **headers)
        else:
            request.answer(200, content, **headers)

    return behave


def status(code: int, **headers: str) -> Behaviour:
    """Only a status."""
    return lambda request, _: request.answer(code, b"no\n", **headers)


def instead(other: bytes, **headers: str) -> Behaviour:
    """Something else, announced honestly."""
    return lambda request, _: request.answer(200, other, **headers)


def ignoring_ranges() -> Behaviour:
    """The whole file, whatever was asked for."""
    return lambda request, content: request.answer(200, content, ETag='"v1"')


def wrong_range() -> Behaviour:
    """206 with bytes from the beginning, whatever was asked for."""

    def behave(request: Request, content: bytes) -> None:
        request.answer(206, content, Content_Range=f"bytes 0-{len(content) - 1}/{len(content)}")

    return behave


def truncated(after: int, tag: str | None = '"v1"') -> Behaviour:
    """Announces everything, sends ``after`` bytes of what was asked for, hangs up."""

    def behave(request: Request, content: bytes) -> None:
        headers: dict[str, Any] = {"ETag": tag} if tag else {}
        request.answer(200, content[:after], length=len(content), **headers)
        request.close_connection = True

    return behave


def stalled(after: int, for_s: float = 30) -> Behaviour:
    """Sends ``after`` bytes and then nothing."""

    def behave(request: Request, content: bytes) -> None:
        request.answer(200, content[:after], length=len(content))
        request.wfile.flush()
        time.sleep(for_s)
        request.close_connection = True

    return behave


def dripping(every_s: float) -> Behaviour:
    """One byte at a time."""

    def behave(request: Request, content: bytes) -> None:
        request.answer(200, b"", length=len(content))
        for byte in content:
            request.wfile.write(bytes([byte]))
            request.wfile.flush()
            time.sleep(every_s)

    return behave


def slowly(block: int, every_s: float) -> Behaviour:
    """The right bytes, but slowly enough for somebody to be interrupted."""

    def behave(request: Request, content: bytes) -> None:
        first = 0
        asked = request.headers.get("Range", "")
        if asked.startswith("bytes="):
            first = int(asked[6:].rstrip("-"))
            request.answer(
                206,
                b"",
                length=len(content) - first,
                ETag='"v1"',
                Content_Range=f"bytes {first}-{len(content) - 1}/{len(content)}",
            )
        else:
            request.answer(200, b"", length=len(content), ETag='"v1"')
        for start in range(first, len(content), block):
            request.wfile.write(content[start : start + block])
            request.wfile.flush()
            time.sleep(every_s)

    return behave


def redirect(to: str) -> Behaviour:
    return lambda request, _: request.answer(302, b"", Location=to)


def endless() -> Behaviour:
    """Chunks without end, and no length."""

    def behave(request: Request, content: bytes) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        while True:
            request.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    return behave
