"""Text for people: 80 columns, colour only where it is wanted, and nothing in a name that could move a cursor."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

WIDTH = 80


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours, or not. Without ``colour`` every method gives its text back unchanged."""

    colour: bool = False

    @classmethod
    def on(cls, stream: IO[str], environment: Mapping[str, str] | None = None) -> Paint:
        """Colour only where ``stream`` is a terminal other than ``dumb`` and NO_COLOR is unset or empty
        (https://no-color.org).
        """
        environment = os.environ if environment is None else environment
        plain = bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb"
        return cls(colour=not plain and stream.isatty())

    def bad(self, text: str) -> str:
        """Wrong, refused, removed."""
        return self._wrap("1;31", text)

    def doubtful(self, text: str) -> str:
        """A warning; something changed."""
        return self._wrap("33", text)

    def good(self, text: str) -> str:
        """Done, new."""
        return self._wrap("32", text)

    def faint(self, text: str) -> str:
        """A reason, a remark."""
        return self._wrap("2", text)

    def strong(self, text: str) -> str:
        """What the eye should find first."""
        return self._wrap("1", text)

    def _wrap(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text


def printable(text: str, *, lines: bool = False) -> str:
    r"""``text`` with everything that is not visible written as an escape: ``\n``, ``\x1b``, a byte that is no UTF-8 as
    ``\x80``.

    File names and a program's last words are not ours: an escape sequence in them could rewrite what a person has read.
    With ``lines`` line ends stay, for text that is meant to run over several.
    """
    return "".join(
        char if char.isprintable() or (lines and char == "\n") else _escaped(char)
        for char in (text.expandtabs() if lines else text)
    )


def wrapped(text: str, *, first: str = "", indent: str = "", width: int = WIDTH) -> str:
    """``text`` made printable and folded to ``width`` columns: ``first`` before its first line, ``indent`` before the
    others.

    A word that is longer than the line, such as a path, is kept whole: it can be copied.
    """
    folded = textwrap.fill(
        printable(text),
        width=width,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return folded or first.rstrip()


def count(number: int, singular: str, plural: str | None = None) -> str:
    """``1 package``, ``2 packages``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def size(bytes_: int) -> str:
    """A number of bytes in the largest binary unit that leaves at least 1: ``512 B``, ``1.5 MiB``."""
    amount = float(bytes_)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def clock(seconds: float) -> str:
    """Time as a clock shows it: ``0:07``, ``12:34``, ``1:02:03``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3:05``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 60 else clock(seconds)


def about(seconds: float) -> str:
    """An estimate, no more precise than it is: ``a few seconds``, ``about 40 s``, ``about 3 min``, ``about 1 h 20
    min``.
    """
    if seconds < 10:
        return "a few seconds"
    if seconds < 55:
        return f"about {round(seconds / 10) * 10} s"
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return f"about {minutes} min"
    hours, minutes = divmod(round(minutes / 10) * 10, 60)
    return f"about {hours} h {minutes} min" if minutes else f"about {hours} h"


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as surrogateescape carries it
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")
