"""Looking for paths of the building machine in any bytes, chunk by chunk."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

# The build's fixed places (compatlayer.converge), of which a layer's own share/compatlayer is none.
PLACES = ("build", "distfiles", "packages", "logs", "files", "tools", "home", "machine")
# How many bytes of a chunk are looked at again with the next: longer than any path that matters.
OVERLAP_BYTES = 512
# What may not stand before and after a path, since it makes it part of another one; a compiler's options may.
_BEFORE = rb"(?:(?<![A-Za-z0-9._+-])|(?<=-[ILR]))"
_AFTER = rb"(?![A-Za-z0-9._+-])"
# A path goes on to the first byte that quotes, separates or ends it.
_REST = rb"[!#%+,\-./0-9=@A-Z\[\]^_a-z{}~]*"


class Leaks:
    """Finds build paths: ours, Portage's own, temporary files of compilers and shells, and the given directories.

    A plain ``/tmp`` is no leak, and a plain ``/home`` neither: programs name them for good reasons.
    """

    def __init__(self, directories: Sequence[str]) -> None:
        places = "|".join(PLACES).encode()
        kinds: list[tuple[bytes, bytes]] = [
            (b"/compatlayer/", _BEFORE + rb"/compatlayer/(?:" + places + rb")" + _AFTER),
            (b"/var/tmp/portage/", rb"/var/tmp/portage/[a-z0-9]"),
            # GCC's, Python's and mktemp's names.
            (b"/tmp/cc", _BEFORE + rb"/tmp/cc[A-Za-z0-9]{6}\.[a-z]{1,3}" + _AFTER),
            (b"/tmp/tmp", _BEFORE + rb"/tmp/tmp(?:[a-z0-9_]{8}|\.[A-Za-z0-9]{10})" + _AFTER),
        ]
        for directory in directories:
            path = os.fsencode(directory.rstrip("/"))
            kinds.append((path, _BEFORE + re.escape(path) + _AFTER))
        # A quick search for fixed bytes (gigabytes a second) decides whether the slow expression has to look.
        self._literals = tuple(literal for literal, _ in kinds)
        self._expression = re.compile(rb"(?:" + rb"|".join(expression for _, expression in kinds) + rb")" + _REST)
        self._before = b""
        self.found: str | None = None
        self.count = 0

    def feed(self, chunk: bytes, *, is_first: bool, is_last: bool) -> None:
        """Look at the next chunk of a file; ``found`` and ``count`` then hold the first leak and how many there were so far."""
        if is_first:
            self._before = b""
            self.found = None
            self.count = 0
        data = self._before + chunk if self._before else chunk
        if any(literal in data for literal in self._literals):
            self._look(data, len(self._before), is_last=is_last)
        self._before = b"" if is_last else data[-OVERLAP_BYTES:]

    def _look(self, data: bytes, known: int, *, is_last: bool) -> None:
        for match in self._expression.finditer(data):
            # Counted with the chunk before, or, if it may go on, with the next.
            if match.end() < known or (match.end() == len(data) and not is_last):
                continue
            self.count += 1
            if self.found is None:
                self.found = match[0][:200].decode("utf-8", "backslashreplace")
