"""Why two contents differ: a planted difference of each kind, its cause and no other; and what has no cause that is known."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile

import pytest

from compatlayer.rebuild.causes import Both, Cause, causes, in_text, of_modes
from compatlayer.rebuild.circumstances import Circumstances, another, compared

FIRST = Circumstances(
    user_id=0,
    user="root",
    host_name="vm",
    time_zone="UTC",
    locale="C.UTF-8",
    umask=0o022,
    home="/root",
    state="/srv/layer/.compatlayer",
    build_directory="/compatlayer/build",
    jobs=2,
    file_system="ext4",
)
SECOND = another(FIRST, "/scratch/second", "tmpfs")
BEGAN_S = 1_795_807_000
BOTH = Both(FIRST, SECOND, BEGAN_S, BEGAN_S + 600)


def ar(*members: tuple[str, bytes], time: int = 0) -> bytes:
    found = b"!<arch>\n"
    for name, content in members:
        head = f"{name:<16}{time:<12}{0:<6}{0:<6}{644:<8}{len(content):<10}`\n".encode()
        found += head + content + b"\n" * (len(content) % 2)
    return found


def tar(*names: str, time: int = 0, owner: int = 0, mode: int = 0o644, content: bytes = b"x") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uid, info.mode = len(content), time, owner, mode
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zipped(*names: str, year: int = 1980) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), "x")
    return stream.getvalue()


A, B = ("a.o", b"code of a"), ("b.o", b"code of b!")
CASES: dict[str, tuple[bytes, bytes, list[Cause]]] = {
    "a date": (b"built on 2026-11-27 at 19:11:03\n", b"built on 2026-11-28 at 02:00:59\n", [Cause.TIME]),
    "a date in words": (b"Built Nov 27 2026 19:11:03", b"Built Nov  3 2026 9:11:03", [Cause.TIME]),
    "seconds": (b"#define T 1795807109\n", b"#define T 1795907109\n", [Cause.TIME]),
    "a number of four bytes": (
        b"\x6f\x0d\x0d\x0a" + struct.pack("<I", BEGAN_S - 90_000) + b"code",
        b"\x6f\x0d\x0d\x0a" + struct.pack("<I", BEGAN_S + 60) + b"code",
        [Cause.TIME],
    ),
    "a host": (b"by root@vm\n", b"by root@second-host.invalid\n", [Cause.HOST_NAME]),
    "a user": (b"id 0 of root\n", b"id 47113 of user47113\n", [Cause.USER]),
    "the build directory": (
        b'S="/compatlayer/build/portage/x"',
        b'S="/compatlayer/second-build/portage/x"',
        [Cause.BUILD_PATH],
    ),
    "the state directory": (b"/srv/layer/.compatlayer/x", b"/scratch/second/x", [Cause.BUILD_PATH]),
    "HOME": (b"HOME=/root\n", b"HOME=/scratch/second/home-of-second-build\n", [Cause.BUILD_PATH]),
    "a time zone": (b"TZ=UTC\n", b"TZ=SEC-11:45\n", [Cause.TIME_ZONE]),
    "host and time": (
        b"vm, 2026-11-27\n",
        b"second-host.invalid, 2026-11-28\n",
        [Cause.HOST_NAME, Cause.TIME],
    ),
    "host and more": (b"vm, red\n", b"second-host.invalid, blue\n", [Cause.HOST_NAME, Cause.UNKNOWN]),
    "the order of lines": (b"a\nb\nc\n", b"c\na\nb\n", [Cause.LINE_ORDER]),
    "gzip's head": (gzip.compress(b"text", mtime=1), gzip.compress(b"text", mtime=2), [Cause.COMPRESSION]),
    "bzip2's level": (bz2.compress(b"text", 1), bz2.compress(b"text", 9), [Cause.COMPRESSION]),
    "xz's check": (lzma.compress(b"x"), lzma.compress(b"x", check=lzma.CHECK_CRC32), [Cause.COMPRESSION]),
    "what is packed": (gzip.compress(b"on vm", mtime=0), gzip.compress(b"on second-host.invalid", mtime=0), [Cause.HOST_NAME]),
    "the order in a library": (ar(A, B), ar(B, A), [Cause.MEMBER_ORDER]),
    "times in a library": (ar(A, B, time=1), ar(A, B, time=2), [Cause.TIME]),
    "the order in a tar": (tar("a", "b"), tar("b", "a"), [Cause.MEMBER_ORDER]),
    "owners in a tar": (tar("a"), tar("a", owner=47113), [Cause.USER]),
    "modes in a tar": (tar("a"), tar("a", mode=0o600), [Cause.UMASK]),
    "other modes in a tar": (tar("a"), tar("a", mode=0o755), [Cause.UNKNOWN]),
    "order and times in a tar": (tar("a", "b", time=1), tar("b", "a", time=2), [Cause.MEMBER_ORDER, Cause.TIME]),
    "a member's content": (tar("a", content=b"vm"), tar("a", content=b"second-host.invalid"), [Cause.HOST_NAME]),
    "the order in a zip": (zipped("a", "b"), zipped("b", "a"), [Cause.MEMBER_ORDER]),
    "times in a zip": (zipped("a"), zipped("a", year=2026), [Cause.TIME]),
    "other members": (zipped("a"), zipped("b"), [Cause.UNKNOWN]),
    "code": (b"\x7fELF\x01\x02\x03", b"\x7fELF\x01\x05\x03", [Cause.UNKNOWN]),
    "a time that is no time of a build": (
        b"x" + struct.pack("<I", 77) + b"y",
        b"x" + struct.pack("<I", 78) + b"y",
        [Cause.UNKNOWN],
    ),
    "nothing": (b"on vm, 2026-11-27, id 0", b"on vm, 2026-11-27, id 0", []),
    "damaged": (b"\x1f\x8bno gzip", b"\x1f\x8bneither", [Cause.UNKNOWN]),
}


@pytest.mark.parametrize("name", CASES)
def test_each_planted_difference_has_its_cause_and_no_other(name: str) -> None:
    first, second, wanted = CASES[name]
    assert list(causes(first, second, BOTH)) == wanted
    # The clean twin: what the first build made, made again.
    assert causes(first, first, BOTH) == ()


def test_a_link_that_leads_into_the_build_is_known_by_its_target() -> None:
    assert in_text("/compatlayer/build/x", "/compatlayer/second-build/x", BOTH) == (Cause.BUILD_PATH,)
    assert in_text("one", "other", BOTH) == (Cause.UNKNOWN,)


def test_a_mode_that_the_other_umask_makes_is_known_for_it() -> None:
    assert of_modes(0o755, 0o755 & ~SECOND.umask, BOTH) == (Cause.UMASK,)
    assert of_modes(0o777 & ~FIRST.umask, 0o777, BOTH) == (Cause.UMASK,)
    assert of_modes(0o644, 0o755, BOTH) == (Cause.UNKNOWN,)


def test_the_second_build_differs_from_the_first_whoever_makes_that() -> None:
    third = another(SECOND, "/third", "ext4")
    assert all(one.is_varied for one in compared(FIRST, SECOND))
    # Only a second build has another build directory, and nobody takes a second build for a first one.
    assert {one.name for one in compared(SECOND, third) if not one.is_varied} == {"build directory"}
    assert {one.name: one.second for one in compared(FIRST, SECOND)}["umask"] == "0077"


def test_a_number_of_a_user_inside_a_time_is_no_user() -> None:
    time = f"1795807{SECOND.user_id}".ljust(19, "1").encode()
    assert causes(b"1795807" + 12 * b"9", time, BOTH) == (Cause.TIME,)


def test_what_was_the_same_in_both_builds_made_no_difference() -> None:
    assert causes(b"1795817111111111111\n", b"1795817000000000000\n", Both(FIRST, FIRST)) == (Cause.TIME,)
    assert causes(b"nobody\n", b"root\n", Both(FIRST, FIRST)) == (Cause.UNKNOWN,)
