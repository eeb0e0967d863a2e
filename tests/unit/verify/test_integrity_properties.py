"""Faults planted at random, against an oracle that is as simple as can be, and against portage-utils where it is installed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.tiny_prefix import HOME, MTIME_S, Link, Program, TinyPrefix, What

# A whole prefix is made, and two processes are forked, for each example.
SETTINGS = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = st.text(st.sampled_from("ab .->ß\udcff'\"*"), min_size=1, max_size=6).filter(
    lambda name: (
        name not in (".", "..") and " -> " not in name and not name.endswith((" ->", " -")) and not name.startswith("-> ")
    )
)
CONTENTS_LINE = re.compile(r"(?:(dir) (.+)|(obj) (.+) ([0-9a-f]{32}) (\d+)|(sym) (.+) -> (.+) (\d+))")


@st.composite
def layouts(draw: st.DrawFn) -> list[dict[str, What]]:
    """Files of a few packages, no path twice."""
    paths = draw(st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=12, unique_by=tuple))
    kept: list[list[str]] = []
    for path in paths:
        # A path that lies below another one, or above it, cannot be installed beside it.
        if not any(path[: len(one)] == one or one[: len(path)] == path for one in kept):
            kept.append(path)
    packages: list[dict[str, What]] = [{} for _ in range(draw(st.integers(1, 3)))]
    for path in kept:
        what = draw(st.one_of(st.binary(max_size=40), st.builds(Program, st.binary(max_size=9)), st.builds(Link, NAMES)))
        draw(st.sampled_from(packages))["usr/" + "/".join(path)] = what
    return packages


def _remove(place: Path) -> None:
    shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink(missing_ok=True)


def _overwrite(place: Path) -> None:
    if stat.S_ISREG(place.lstat().st_mode):
        place.write_bytes(place.read_bytes() + b"!")
        os.utime(place, (MTIME_S, MTIME_S))


def _touch(place: Path) -> None:
    os.utime(place, (MTIME_S + 7, MTIME_S + 7), follow_symlinks=False)


def _become(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        _remove(place)
        make(place)

    return change


FAULTS: dict[str, Callable[[Path], None]] = {
    "remove": _remove,
    "overwrite": _overwrite,
    "touch": _touch,
    "fifo": _become(os.mkfifo),
    "directory": _become(Path.mkdir),
    "link": _become(lambda place: place.symlink_to("/etc/passwd")),
    "loop": _become(lambda place: place.symlink_to(place.name)),
    "empty": _become(Path.touch),
}


@contextmanager
def planted(packages: list[dict[str, What]], faults: list[tuple[int, str]]) -> Iterator[tuple[TinyPrefix, Path]]:
    """A prefix at its home below a root, with the faults: each the number of a path and what happens to it."""
    with tempfile.TemporaryDirectory() as directory:
        prefix = TinyPrefix(Path(directory) / HOME[1:])
        for number, files in enumerate(packages):
            prefix.package(f"app-misc/package{number}-1", files)
        paths = sorted(path for files in packages for path in files)
        for number, name in faults:
            place = prefix.tree / paths[number % len(paths)]
            if os.path.lexists(place):
                FAULTS[name](place)
        yield prefix, Path(directory)


def oracle(prefix: TinyPrefix) -> set[str]:
    """Paths that are not as recorded, found the slow way."""
    wrong = set()
    for contents in prefix.tree.glob("var/db/pkg/*/*/CONTENTS"):
        for line in os.fsdecode(contents.read_bytes()).split("\n")[:-1]:
            match = CONTENTS_LINE.fullmatch(line)
            assert match, line
            recorded = next(match[group] for group in (2, 4, 8) if match[group])
            place = prefix.tree / recorded.removeprefix(f"{HOME}/")
            if not os.path.lexists(place):
                right = False
            elif match[1]:
                right = stat.S_ISDIR(place.lstat().st_mode)
            elif match[3]:
                is_file = stat.S_ISREG(place.lstat().st_mode)
                right = is_file and hashlib.md5(place.read_bytes()).hexdigest() == match[5]
                right = right and int(place.lstat().st_mtime) == int(match[6])
            else:
                right = place.is_symlink() and os.readlink(place) == match[9] and int(place.lstat().st_mtime) == int(match[10])
            if not right:
                wrong.add(recorded.removeprefix(f"{HOME}/"))
    return wrong


def reported(prefix: TinyPrefix) -> set[str]:
    """Paths that the check reports, but for those that nobody owns."""
    found = set()
    for finding in prefix.findings("integrity"):
        if finding.identifier != "files-unowned":
            found |= set(getattr(finding, "paths", (finding.path,)))
    return found


@SETTINGS
@example([{"usr/>": Link("->")}], [])
@given(layouts(), st.lists(st.tuples(st.integers(0, 99), st.sampled_from(sorted(FAULTS))), max_size=6))
def test_exactly_what_is_wrong_is_reported(packages: list[dict[str, What]], faults: list[tuple[int, str]]) -> None:
    if not any(packages):
        return
    with planted(packages, faults) as (prefix, _):
        assert reported(prefix) == oracle(prefix)


@pytest.mark.skipif(shutil.which("qcheck") is None, reason="portage-utils is not installed")
@SETTINGS
@given(layouts(), st.lists(st.tuples(st.integers(0, 99), st.sampled_from(sorted(FAULTS))), min_size=1, max_size=6))
def test_nothing_that_qcheck_reports_goes_unreported(packages: list[dict[str, What]], faults: list[tuple[int, str]]) -> None:
    if not any(packages):
        return
    with planted(packages, faults) as (prefix, root):
        done = subprocess.run(
            ["qcheck", "-C"],
            env={"PATH": os.environ["PATH"], "ROOT": f"{root}/", "Q_VDB": f"{HOME}/var/db/pkg", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=False,
        )
        said = os.fsdecode(done.stdout)
        assert "files are good" in said or "file is good" in said or "out of" in said, done
        theirs = set()
        for line in said.split("\n"):
            if match := re.fullmatch(rf" (?:AFK|MD5-DIGEST|MTIME|PERM \d+|ERROR \(.*\)): {HOME}/(.*)", line):
                theirs.add(match[1])
        assert theirs <= reported(prefix)
