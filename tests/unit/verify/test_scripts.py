from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from compatlayer.declaration.model import EngineName
from compatlayer.verify.reading import reader
from compatlayer.verify.reading.leaks import Leaks
from tests.tiny_prefix import HOME, Link, Program, TinyPrefix, sound


@pytest.fixture
def prefix(tmp_path: Path) -> TinyPrefix:
    return sound(tmp_path / "prefix")


def said(prefix: TinyPrefix, **fields: object) -> list[tuple[str, str]]:
    return [(finding.identifier, finding.description) for finding in prefix.findings("scripts", **fields)]


LINES = {
    # first line: what a strict engine, and what the engine `guest`, makes of it
    "#!/bin/sh": ("script-interpreter-outside", None),
    "#! /usr/bin/env -S python3 -I": ("script-interpreter-outside", None),
    "#!/usr/bin/perl -w": ("script-interpreter-outside", None),
    "#!/opt/bin/perl": ("script-interpreter-outside", "script-interpreter-unusual"),
    "#!python": ("script-interpreter-relative", "script-interpreter-relative"),
    "#!": ("script-interpreter-relative", "script-interpreter-relative"),
    f"#!{HOME}/usr/bin/bash": (None, None),
    f"#!{HOME}/usr/bin/sh -e": (None, None),
    f"#!{HOME}//usr/./bin/bash": (None, None),
    f"#!{HOME}/usr/bin/zsh": ("script-interpreter-missing", "script-interpreter-missing"),
    f"#!{HOME}/usr/share/tool/data": ("script-interpreter-missing", "script-interpreter-missing"),
    f"#!{HOME}/usr/bin/env bash": (None, None),
    f"#!{HOME}/usr/bin/env A=1 -i python3": ("script-interpreter-missing", None),
    f"#!{HOME}2/usr/bin/bash": ("script-interpreter-outside", "script-interpreter-unusual"),
    f"#!{HOME}/usr/bin/bash {'x' * 170}": (None, None),
    f"#!{HOME}/usr/bin/bash {'x' * 190}": ("script-line-too-long", "script-line-too-long"),
}


@pytest.mark.parametrize("line", LINES)
def test_a_first_line_is_judged_by_what_the_engine_brings(prefix: TinyPrefix, line: str) -> None:
    prefix.package("a/script-1", {"usr/bin/script": Program(f"{line}\necho\n".encode())})
    for engine, expected in zip((EngineName.STANDALONE, EngineName.GUEST), LINES[line], strict=True):
        assert [one for one, _ in said(prefix, engine=engine)] == ([expected] if expected else []), engine
    assert said(prefix, engine=None) == said(prefix, engine=EngineName.STANDALONE), "without a declaration the strictest holds"


def test_the_finding_names_the_interpreter_and_the_package(prefix: TinyPrefix) -> None:
    prefix.package("a/script-1", {"usr/bin/script": Program(b"#!/bin/sh\n")})
    assert said(prefix) == [
        ("script-interpreter-outside", "usr/bin/script: its interpreter is the host's: #!/bin/sh (a/script-1)")
    ]


def test_only_what_can_be_started_has_an_interpreter(prefix: TinyPrefix) -> None:
    prefix.package("a/module-1", {"usr/lib/python/module.py": b"#!/usr/bin/python\n", "usr/bin/text": Program(b"# !/bin/sh\n")})
    assert said(prefix) == []


def test_an_interpreter_behind_links_is_found_where_the_prefix_will_live(prefix: TinyPrefix) -> None:
    prefix.package("a/link-1", {"usr/bin/away": Link("/bin/bash"), "usr/bin/round": Link("../../usr/bin/./bash")})
    prefix.package("a/script-1", {"usr/bin/script": Program(f"#!{HOME}/usr/bin/round\n".encode())})
    assert said(prefix) == []


LEAKS = {
    b"/compatlayer/build/portage/a/b-1/work/x.c": "/compatlayer/build/portage/a/b-1/work/x.c",
    b"-I/compatlayer/tools -O2": "/compatlayer/tools",
    b"'/var/tmp/portage/a/b-1/image/usr'": "/var/tmp/portage/a/b-1/image/usr",
    b"\0/tmp/ccAb12Xy.o\0": "/tmp/ccAb12Xy.o",
    b'"/tmp/tmp.AbCdEfGhIj/x"': "/tmp/tmp.AbCdEfGhIj/x",
    b"/tmp/tmpa1b2c3d4/x.py": "/tmp/tmpa1b2c3d4/x.py",
    b"prefix=/srv/build/state": "/srv/build/state",
    b"share/compatlayer/build": None,
    b"/share/compatlayer/build": None,
    b"/compatlayer/buildings": None,
    b"/compatlayer/provenance.json": None,
    b"/tmp/ccache": None,
    b"TMPDIR=${TMPDIR:-/tmp}": None,
    b"/tmp/tmpfile": None,
    b"/srv/build/stateful": None,
    b"/home/user/.config": None,
}


@pytest.mark.parametrize("content", LEAKS)
def test_build_paths_are_found_as_whole_paths_only(content: bytes) -> None:
    leaks = Leaks(["/srv/build/state"])
    leaks.feed(content, is_first=True, is_last=True)
    assert leaks.found == LEAKS[content]
    assert leaks.count == (1 if LEAKS[content] else 0)


@pytest.mark.parametrize("cut", range(1, 45))
def test_a_path_that_two_chunks_share_is_found_once_and_whole(cut: int) -> None:
    content = b"....\0/compatlayer/build/portage/a/b-1/x.c\0..."
    leaks = Leaks([])
    leaks.feed(content[:cut], is_first=True, is_last=False)
    leaks.feed(content[cut:], is_first=False, is_last=True)
    assert (leaks.found, leaks.count) == ("/compatlayer/build/portage/a/b-1/x.c", 1)


def test_a_leak_in_a_big_binary_is_found_at_the_seam(prefix: TinyPrefix) -> None:
    path = b"/compatlayer/build/leak"
    content = b"\0" * (reader.CHUNK_BYTES - 9) + path + b"\0" * reader.CHUNK_BYTES + path + b"\0"
    prefix.package("a/big-1", {"usr/lib64/big.so": content})
    assert said(prefix) == [
        ("build-path-leaked", "usr/lib64/big.so: holds the build path /compatlayer/build/leak, 2 times (a/big-1)")
    ]


def test_the_place_where_the_prefix_is_now_is_a_leak_and_its_home_is_none(prefix: TinyPrefix) -> None:
    prefix.package("a/here-1", {"usr/share/here": f"{prefix.tree}/usr\n".encode(), "usr/share/home": f"{HOME}/usr\n".encode()})
    assert [finding.path for finding in prefix.findings("scripts")] == ["usr/share/here"]


def test_a_build_path_above_the_home_is_none(prefix: TinyPrefix) -> None:
    prefix.package("a/home-1", {"usr/share/home": f"{HOME}/usr\n".encode()})
    assert said(prefix, build_paths=(PurePosixPath("/cvmfs"), PurePosixPath("/"))) == []


def test_records_may_name_the_building_machine(prefix: TinyPrefix) -> None:
    (prefix.tree / "var/db/pkg/app-misc/tool-1.9/environment").write_text("/compatlayer/build/x")
    (prefix.tree / "var/log").mkdir()
    (prefix.tree / "var/log/emerge.log").write_text("/compatlayer/build/x")
    assert said(prefix) == []
