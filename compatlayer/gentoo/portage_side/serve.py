"""One request at a time: read a JSON line, answer with a JSON line.

A request is ``{"id": n, "operation": name, …}``. The answer is ``{"id": n, "ok": …}``, or ``{"id": n, "failures": […], "text":
…}`` when Portage has a reason to refuse (``text`` is what it said), or ``{"id": n, "error": …}`` for a bug or a bad request.
"""

from __future__ import annotations

import grp
import importlib
import io
import json
import os
import pwd
import sys
import traceback
from typing import Any, Callable, Dict, TextIO, Tuple

from .refusal import Refused

Operation = Callable[[Dict[str, Any]], Any]

# Name → module and function, imported on first use: `hello` and `match` need no resolver.
OPERATIONS: Dict[str, Tuple[str, str]] = {
    "hello": ("roots", "hello"),
    "match": ("atoms", "match"),
    "check_atoms": ("atoms", "check_atoms"),
    "closure": ("closure", "closure"),
    "fetch_map": ("fetch", "fetch_map"),
    "ingredients": ("ingredients", "ingredients"),
    "metadata_cache": ("metadata", "metadata_cache"),
    "describe": ("adopt", "describe"),
    "vercmp": ("atoms", "compare_versions"),
}


class Chatter(io.TextIOBase):
    """Takes what Portage prints during one request: passes it on to standard error and keeps it for the answer."""

    def __init__(self, through: TextIO) -> None:
        self._through = through
        self._kept: list[str] = []

    def write(self, text: Any) -> int:
        shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        self._kept.append(shown)
        self._through.write(shown)
        return len(text)

    def flush(self) -> None:
        self._through.flush()

    def fileno(self) -> int:
        return self._through.fileno()

    @property
    def buffer(self) -> Chatter:
        """Where older Portages write their bytes."""
        return self

    @property
    def text(self) -> str:
        return "".join(self._kept)


def serve() -> int:
    """Serve until standard input ends; 0 then. Standard output carries answers only: stray prints go to standard error."""
    requests, answers = _take_pipes()
    _be_our_own_user()
    for line in requests:
        answer = _answer(line)
        try:
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
        except BrokenPipeError:
            return 0
    return 0


def _take_pipes() -> Tuple[TextIO, TextIO]:
    """Move both pipes to private descriptors, so that neither Portage nor a program it starts can read or write them."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8", errors="surrogateescape")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="surrogateescape")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _be_our_own_user() -> None:
    """Make Portage take this user for its ``portage`` user, which need not exist: resolving changes nobody's files."""
    try:
        os.environ.setdefault("PORTAGE_USERNAME", pwd.getpwuid(os.getuid()).pw_name)
        os.environ.setdefault("PORTAGE_GRPNAME", grp.getgrgid(os.getgid()).gr_name)
    except KeyError:
        # A user without a name, as in some containers: Portage then complains on standard error, and goes on.
        pass
    os.environ["NO_COLOR"] = "1"
    os.environ["NOCOLOR"] = "true"


def _answer(line: str) -> Dict[str, Any]:
    """Carry out one request; whatever goes wrong becomes an answer."""
    number = None
    stdout, stderr = sys.stdout, sys.stderr
    chatter = Chatter(stderr)
    sys.stdout = sys.stderr = chatter
    try:
        request = json.loads(line)
        number = request["id"]
        return {"id": number, "ok": _operation(request["operation"])(request)}
    except Refused as refused:
        return {"id": number, "failures": refused.failures, "text": chatter.text}
    except KeyboardInterrupt:
        raise
    except SystemExit as ending:
        # Portage leaves through sys.exit where its configuration is beyond use.
        failure = {"kind": "configuration", "detail": last_words(chatter.text) or f"Portage gave up ({ending.code})"}
        return {"id": number, "failures": [failure], "text": chatter.text}
    except BaseException as error:  # the client must always get an answer, and it reports this as a bug
        return {
            "id": number,
            "error": f"{type(error).__name__}: {error}",
            "traceback": traceback.format_exc(),
            "text": chatter.text,
        }
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        stderr.flush()


def _operation(name: str) -> Operation:
    """The function that carries out ``name``."""
    if name not in OPERATIONS:
        raise ValueError(f"unknown operation {name!r}")
    module, function = OPERATIONS[name]
    found: Operation = getattr(importlib.import_module(f"{__package__}.{module}"), function)
    return found


def last_words(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
