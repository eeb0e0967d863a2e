"""Why two contents of one file differ. Pure: bytes and circumstances in, causes out.

Each cause is found by what it leaves behind: a name that only the second build has, times where everything else is the same, an
archive with the same members in another order. What is left over is ``UNKNOWN``, and said beside what was found.
"""

from __future__ import annotations

import enum
import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from compatlayer.rebuild.archives import Member, members, unpacked
from compatlayer.rebuild.circumstances import Circumstances, traces


class Cause(enum.StrEnum):
    """What a build has put into a file that another one puts there differently."""

    TIME = "embedded time stamp"
    BUILD_PATH = "embedded build path"
    HOST_NAME = "host name"
    USER = "user name"
    TIME_ZONE = "time zone"
    UMASK = "umask"
    MEMBER_ORDER = "order of an archive's members"
    COMPRESSION = "compression header"
    LINE_ORDER = "order of lines"
    RECORD = "package record"
    DECLARATION = "another declaration"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Both:
    """The circumstances of the two builds; ``second_began_s`` and ``second_ended_s`` are seconds since 1970, if known."""

    first: Circumstances
    second: Circumstances
    second_began_s: float = 0
    second_ended_s: float = 0


_BY_TRACE = {
    "host name": Cause.HOST_NAME,
    "user name": Cause.USER,
    "build path": Cause.BUILD_PATH,
    "time zone": Cause.TIME_ZONE,
}
_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}"
_TIMES = re.compile(
    rb"(?:" + _DAY + rb",? +)?(?:\d{1,2} +)?" + _MONTH + rb"\.? +\d{1,2}(?:,? +\d{4}|(?= +\d{2}:\d{2}))"
    rb"|\d{1,2}[ -]" + _MONTH + rb"[ -]\d{4}"
    rb"|(?<!\d)(?:19|20)\d{2}[-/.]?(?:0[1-9]|1[0-2])[-/.]?(?:0[1-9]|[12]\d|3[01])(?!\d)"
    rb"|(?<!\d)\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?!\d)"
    # Seconds since 1970 from 2001 to 2065, with parts of a second at will.
    rb"|(?<!\d)[12]\d{9}(?:\d{3}|\d{6}|\d{9}|\.\d+)?(?!\d)"
)
_EARLIEST_S, _SLACK_S = 1_000_000_000, 24 * 3600
_MOST_SPANS = 64


def causes(first: bytes, second: bytes, both: Both) -> tuple[Cause, ...]:
    """Why ``first`` became ``second``; at least one cause, each once, the plainest first. Equal contents have none."""
    return tuple(dict.fromkeys(_causes(first, second, both)))


def in_text(first: str, second: str, both: Both) -> tuple[Cause, ...]:
    """The same for two short texts, such as the targets of a link."""
    return causes(first.encode("utf-8", "surrogateescape"), second.encode("utf-8", "surrogateescape"), both)


def of_modes(first: int, second: int, both: Both) -> tuple[Cause, ...]:
    """Why the permission bits of two builds differ."""
    for one, other, mask in ((first, second, both.second.umask), (second, first, both.first.umask)):
        if one & ~mask == other:
            return (Cause.UMASK,)
    return (Cause.UNKNOWN,)


def _causes(first: bytes, second: bytes, both: Both) -> Iterator[Cause]:
    if first == second:
        return
    plain = unpacked(first), unpacked(second)
    if plain[0] is not None and plain[1] is not None:
        yield from [Cause.COMPRESSION] if plain[0] == plain[1] else _causes(plain[0], plain[1], both)
        return
    packed = members(first), members(second)
    if packed[0] is not None and packed[1] is not None:
        yield from _of_archives(packed[0], packed[1], both)
        return
    yield from _of_bytes(first, second, both)


def _of_archives(first: tuple[Member, ...], second: tuple[Member, ...], both: Both) -> Iterator[Cause]:
    names = [one.name for one in first], [one.name for one in second]
    if Counter(names[0]) != Counter(names[1]):
        yield Cause.UNKNOWN
        return
    found = []
    if names[0] != names[1]:
        found.append(Cause.MEMBER_ORDER)
    # Names may come twice; their order then counts.
    pairs = zip(sorted(first, key=lambda one: one.name), sorted(second, key=lambda one: one.name), strict=True)
    for one, other in pairs:
        if one.time != other.time:
            found.append(Cause.TIME)
        if one.owner != other.owner:
            found.append(Cause.USER)
        if one.rest != other.rest:
            found += _of_rests(one.rest, other.rest, both)
        # An index of symbols (named "/") follows the order of the members.
        if one.content != other.content and not (one.name == "/" and names[0] != names[1]):
            found += _causes(one.content, other.content, both)
    # The same in everything that was looked at: what is between the members.
    yield from found or [Cause.UNKNOWN]


def _of_rests(first: str, second: str, both: Both) -> tuple[Cause, ...]:
    """Why what an archive says beside time and owner differs: its mode comes first, in octal digits."""
    (one, _, more), (other, _, more_too) = first.partition(" "), second.partition(" ")
    if more != more_too or not set(one + other) <= set("01234567"):
        return (Cause.UNKNOWN,)
    return of_modes(int(one, 8) & 0o7777, int(other, 8) & 0o7777, both)


def _of_bytes(first: bytes, second: bytes, both: Both) -> Iterator[Cause]:
    for (_, before), (name, trace) in zip(traces(both.first), traces(both.second), strict=True):
        # What was the same in both builds made no difference.
        if before != trace and _alone(trace).search(second) and not _alone(trace).search(first):
            yield _BY_TRACE[name]
    one, other = first, _in_words_of_the_first(second, both)
    if one == other:
        return
    without = _TIMES.sub(b"\0time\0", one), _TIMES.sub(b"\0time\0", other)
    if without != (one, other) and _TIMES.findall(one) != _TIMES.findall(other):
        # Lines that are sorted by a time, or tell several of them, are still nothing but times.
        yield Cause.TIME
        one, other = without
        if one == other:
            return
    if sorted(one.splitlines()) == sorted(other.splitlines()):
        yield Cause.LINE_ORDER
    elif _binary_times(one, other, both):
        yield Cause.TIME
    else:
        yield Cause.UNKNOWN


def _in_words_of_the_first(second: bytes, both: Both) -> bytes:
    """The second content as it would be, had it remembered the circumstances of the first build instead of its own."""
    pairs = list(zip(traces(both.first), traces(both.second), strict=True))
    # Longer ones first: a home is below the state directory, and a user's number in a user's name.
    for (_, one), (_, other) in sorted(pairs, key=lambda pair: -len(pair[1][1])):
        second = one.join(_alone(other).split(second))
    return second


def _alone(trace: bytes) -> re.Pattern[bytes]:
    """Finds a trace; a number only where it is not a part of a longer one, such as a time."""
    text = re.escape(trace)
    return re.compile(rb"(?<!\d)" + text + rb"(?!\d)" if trace.isdigit() else text)


def _binary_times(first: bytes, second: bytes, both: Both) -> bool:
    """Whether all that differs are numbers of four bytes (or the low half of eight) that are the time of the second build."""
    if len(first) != len(second) or not both.second_ended_s:
        return False
    at, found = 0, 0
    while (at := _next_difference(first, second, at)) >= 0:
        found += 1
        end = next((end for end in range(at + 1, at + 5) if _is_time(first, second, end - 4, both)), None)
        if end is None or found > _MOST_SPANS:
            return False
        at = end
    return found > 0


def _next_difference(first: bytes, second: bytes, at: int) -> int:
    """Where two contents of one length differ next; -1 for nowhere. Whole blocks are compared at once."""
    block = 1 << 16
    while at < len(first):
        if first[at : at + block] != second[at : at + block]:
            return next(place for place in range(at, at + block) if first[place] != second[place])
        at += block
    return -1


def _is_time(first: bytes, second: bytes, begin: int, both: Both) -> bool:
    """Whether the four bytes at ``begin`` are a time in both, and in the second that of its build."""
    if begin < 0 or begin + 4 > len(first) or first[begin + 4 : begin + 5] != second[begin + 4 : begin + 5]:
        return False
    for order in ("<I", ">I"):
        (one,), (other,) = struct.unpack_from(order, first, begin), struct.unpack_from(order, second, begin)
        ours = both.second_began_s - _SLACK_S <= other <= both.second_ended_s + _SLACK_S
        if ours and _EARLIEST_S <= one <= both.second_ended_s + _SLACK_S:
            return True
    return False
