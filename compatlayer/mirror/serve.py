"""Serving the mirror: a configuration for nginx that only ever reads, and nginx in the foreground."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from compatlayer import process
from compatlayer.errors import UsageError
from compatlayer.journal import write_atomically
from compatlayer.mirror.check import refuse_unverified
from compatlayer.mirror.store import Store

LISTEN = "127.0.0.1:8085"

# Every path that nginx would otherwise choose itself, some of them only root's, lies in one directory of ours.
_CONFIGURATION = """\
# Written by `compatlayer mirror serve --print-config`; the same file serves a site. It reads, and does nothing else.
# Portage: GENTOO_MIRRORS="http://{shown}". For https, put ssl_certificate and ssl_certificate_key beside `listen`.
daemon off;
worker_processes auto;
pid "{run}/nginx.pid";
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    default_type application/octet-stream;
    access_log off;
    server_tokens off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 30s;
    client_max_body_size 1k;
    client_body_temp_path "{run}/client_body";
    proxy_temp_path "{run}/proxy";
    fastcgi_temp_path "{run}/fastcgi";
    uwsgi_temp_path "{run}/uwsgi";
    scgi_temp_path "{run}/scgi";
    server {{
        listen {listen};
        server_name _;
        root "{root}";
        disable_symlinks on from=$document_root;
        location / {{ return 404; }}
        location /distfiles/ {{
            limit_except GET {{ deny all; }}
            autoindex on;
        }}
        location /trees/ {{
            limit_except GET {{ deny all; }}
            autoindex on;
        }}
        location ~ /\\. {{ return 404; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """How to serve a store: where nginx listens (``address:port``), and the directory for its own files."""

    store: Path
    listen: str = LISTEN

    @property
    def run(self) -> Path:
        """The server's pid file and temporary files."""
        return self.store / "serve"

    @property
    def place(self) -> tuple[str, int]:
        """Address and port, as sockets take them. Raises ``UsageError``."""
        address, _, port = self.listen.rpartition(":")
        if not address or not port.isdigit() or not 0 < int(port) < 1 << 16:
            raise UsageError(f"{self.listen!r} is not where a server can listen", hint="address:port, such as 127.0.0.1:8085")
        return address.strip("[]"), int(port)

    def configuration(self) -> str:
        """nginx.conf. What is restricted lies outside the directories that it shows."""
        self.place  # noqa: B018  (raises for what nginx would not understand)
        return _CONFIGURATION.format(run=_escaped(self.run), root=_escaped(self.store), listen=self.listen, shown=self.listen)


def serve(store: Store, server: Server, announce: Callable[[int], None]) -> None:
    """Become nginx; does not return. ``announce`` is told how many files are served, just before.

    Raises ``DistfileError`` for an unverified store, ``UsageError`` where nobody can listen, ``ProgramError`` without nginx.
    """
    files = refuse_unverified(store)
    _refuse_taken(server)
    configuration = write_configuration(server)
    store.index.close()
    announce(files)
    # nginx opens its compiled-in log before it has read any configuration, unless it is told otherwise.
    process.become(["nginx", "-e", "stderr", "-p", server.run, "-c", configuration], env=process.base_environment())


def _refuse_taken(server: Server) -> None:
    """Say it in one sentence; nginx says it six times, three seconds later, and ends with 1."""
    address, port = server.place
    try:
        family, kind, _, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        hint = "ports below 1024 are root's" if isinstance(error, PermissionError) else "choose another with --listen"
        raise UsageError(f"nobody can listen on {server.listen}", cause=error.strerror or str(error), hint=hint) from error


def write_configuration(server: Server) -> Path:
    """Write nginx.conf and make its directory. Started as root, nginx would read as a user of its own: it is told the owner's."""
    server.run.mkdir(parents=True, exist_ok=True)
    path = server.run / "nginx.conf"
    text = server.configuration()
    if os.geteuid() == 0:
        text = f"user {_owner(server.store)};\n{text}"
    write_atomically(path, text.encode())
    return path


def _owner(path: Path) -> str:
    """Who owns the store: nginx's workers run as that user and can read it wherever it lies."""
    try:
        owner = path.owner()
        return f"{owner} {path.group()}"
    except KeyError as error:
        raise UsageError(f"{path} belongs to a user without a name, as whom nginx cannot run", cause=str(error)) from error


def _escaped(path: Path) -> str:
    """A path as nginx's configuration takes it between quotes; ``$`` would begin a variable there, and cannot be escaped."""
    text = str(path)
    if "$" in text or "\n" in text:
        raise UsageError(f"nginx cannot serve from {text!r}", hint="put the state directory where no $ is in its path")
    return text.replace("\\", "\\\\").replace('"', '\\"')
