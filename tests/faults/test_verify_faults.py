"""A damaged, hostile or moving prefix gives findings: no traceback, no hang, no read outside the prefix."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from compatlayer.errors import CompatlayerError, StageError
from compatlayer.verify.reading import Reading, Seen, Visitor, pool
from compatlayer.verify.registry import findings
from tests.tiny_prefix import HOME, TinyPrefix, sound

pytestmark = pytest.mark.faults

DATA = "usr/share/tool/data"


@pytest.fixture
def prefix(tmp_path: Path) -> TinyPrefix:
    return sound(tmp_path / "prefix")


def identifiers(prefix: TinyPrefix, *checks: str, **fields: object) -> set[str]:
    return {finding.identifier for finding in prefix.findings(*checks, **fields)}


def test_a_fifo_in_place_of_a_file_is_neither_opened_nor_waited_for(prefix: TinyPrefix) -> None:
    (prefix.tree / DATA).unlink()
    os.mkfifo(prefix.tree / DATA)
    assert identifiers(prefix) == {"file-wrong-type", "special-file"}


def test_a_fifo_in_place_of_contents_is_damage(prefix: TinyPrefix) -> None:
    contents = prefix.tree / "var/db/pkg/app-misc/tool-1.9/CONTENTS"
    contents.unlink()
    os.mkfifo(contents)
    assert "contents-damaged" in identifiers(prefix)


@pytest.mark.parametrize(
    ("target", "missing"),
    [
        ("/etc", "usr/share/self/file"),
        ("/proc/self", "usr/share/self/file"),
        ("self", "usr/share/self/file"),
        ("../../../../../../../../../..", "usr/share/self/file"),
        ("..", "usr/file"),  # inside, so that is where the file would be
    ],
)
def test_a_link_in_place_of_a_directory_is_not_followed_out(prefix: TinyPrefix, target: str, missing: str) -> None:
    place = prefix.tree / "usr/share/self"
    prefix.package("a/b-1", {"usr/share/self/file": b"1"})
    (place / "file").unlink()
    place.rmdir()
    place.symlink_to(target)
    found = {(one.identifier, one.path) for one in prefix.findings("integrity")}
    assert found == {("file-wrong-type", "usr/share/self"), ("file-missing", missing)}


def test_contents_that_names_the_hosts_files_reads_none_of_them(prefix: TinyPrefix, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    os.utime(secret, (1, 1))
    before = secret.stat().st_atime_ns
    contents = prefix.tree / "var/db/pkg/app-misc/tool-1.9/CONTENTS"
    with contents.open("a") as file:
        for path in (secret, f"{HOME}/../../secret", f"{HOME}/usr/share/out/secret"):
            file.write(f"obj {path} {'0' * 32} 1\n")
    (prefix.tree / "usr/share/out").symlink_to(tmp_path)
    found = {(one.identifier, one.path) for one in prefix.findings("integrity")}
    assert ("file-missing", "usr/share/out/secret") in found
    assert ("contents-damaged", "var/db/pkg/app-misc/tool-1.9/CONTENTS") in found
    assert secret.stat().st_atime_ns == before


@pytest.mark.parametrize("size", [0, 1, 40, 200])
def test_a_truncated_contents_is_damage_and_what_it_lost_is_unowned(prefix: TinyPrefix, size: int) -> None:
    contents = prefix.tree / "var/db/pkg/app-misc/tool-1.9/CONTENTS"
    contents.write_bytes(contents.read_bytes()[:size])
    found = identifiers(prefix, "integrity")
    assert "files-unowned" in found
    assert ("contents-damaged" in found) == (size > 0), "an empty list is what a package without files has"


def test_a_contents_that_is_gone_or_binary_is_damage(prefix: TinyPrefix) -> None:
    (prefix.tree / "var/db/pkg/app-misc/tool-1.9/CONTENTS").unlink()
    (prefix.tree / "var/db/pkg/app-misc/tool-1.10/CONTENTS").write_bytes(os.urandom(1 << 16))
    found = [one for one in prefix.findings("integrity") if one.identifier == "contents-damaged"]
    assert {one.package for one in found} == {"app-misc/tool-1.9", "app-misc/tool-1.10"}
    assert len(found) < 10, "one finding for each kind of damage, not for each line"


def test_a_huge_sparse_contents_is_not_read_into_memory(prefix: TinyPrefix) -> None:
    os.truncate(prefix.tree / "var/db/pkg/app-misc/tool-1.9/CONTENTS", 1 << 40)
    assert "contents-damaged" in identifiers(prefix, "integrity")


def test_a_package_directory_that_is_a_link_is_not_followed(prefix: TinyPrefix, tmp_path: Path) -> None:
    entry = prefix.tree / "var/db/pkg/app-misc/tool-1.9"
    entry.rename(tmp_path / "outside")
    entry.symlink_to(tmp_path / "outside")
    assert prefix.context().inventory.unreadable
    assert "files-unowned" in identifiers(prefix, "integrity")


def test_names_that_no_list_can_hold_are_found_and_break_nothing(prefix: TinyPrefix) -> None:
    for name in (b"two\nlines", b"\xff\xfe", b"\x1b[31mred", b"tab\there", b" ", b"-rf", b"x" * 255):
        (prefix.tree / os.fsdecode(b"usr/share/" + name)).write_text("x")
    found = {(one.identifier, one.path) for one in prefix.findings()}
    assert ("files-unowned", "usr/share/two\nlines") in found
    assert ("name-not-utf8", "usr/share/\udcff\udcfe") in found
    assert ("name-control-character", "usr/share/\x1b[31mred") in found


def test_a_tree_deeper_than_a_path_may_be_long_is_left_at_a_finding(prefix: TinyPrefix) -> None:
    holder = os.open(prefix.tree / "var/cache", os.O_RDONLY)
    for _number in range(400):
        os.mkdir("d" * 200, dir_fd=holder)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=holder)
        os.close(holder)
        holder = below
    os.close(holder)
    (unread,) = [one for one in prefix.findings() if one.identifier == "directory-unread"]
    assert "directories deep" in unread.actual


def test_a_file_that_grows_while_it_is_read_is_said_to_be_unstable(prefix: TinyPrefix) -> None:
    done = threading.Event()

    def grow() -> None:
        with (prefix.tree / DATA).open("ab", buffering=0) as file:
            while not done.is_set():
                file.write(b"x" * 4096)
                if os.fstat(file.fileno()).st_size > 1 << 28:
                    file.truncate(0)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        found = identifiers(prefix, "integrity")
    finally:
        done.set()
        writer.join()
    assert found <= {"file-unstable", "file-changed", "files-touched"}
    assert found


def test_files_that_come_and_go_give_findings_and_nothing_worse(prefix: TinyPrefix) -> None:
    done = threading.Event()
    place = prefix.tree / "usr/share/tool"

    def churn() -> None:
        number = 0
        while not done.is_set():
            number += 1
            (place / f"temporary{number % 50}").write_text("x")
            (place / f"temporary{(number + 25) % 50}").unlink(missing_ok=True)

    writer = threading.Thread(target=churn)
    writer.start()
    try:
        for _ in range(5):
            assert identifiers(prefix) <= {"file-unstable", "files-unowned"}
    finally:
        done.set()
        writer.join()


def children() -> set[str]:
    """The processes that this one has started and not waited for, those of other tests in the same process included."""
    return {child for thread in Path("/proc/self/task").iterdir() for child in (thread / "children").read_text().split()}


class _Killed(Visitor):
    """Its process is killed, as by a machine that is out of memory."""

    def entry(self, seen: Seen) -> None:
        if seen.path == DATA:
            os.kill(os.getpid(), signal.SIGKILL)


class _Failing(Visitor):
    def entry(self, seen: Seen) -> None:
        raise ZeroDivisionError(seen.path)


def test_a_worker_that_is_killed_is_an_error_and_leaves_no_process_behind(prefix: TinyPrefix) -> None:
    reading = Reading(prefix.tree, HOME, prefix.context().inventory)
    reading.join("test", _Killed)
    before = children()
    with pytest.raises(CompatlayerError, match="ended early") as caught:
        _ = reading.statistics
    assert caught.value.cause == "signal SIGKILL"
    assert children() == before


def test_a_worker_that_fails_says_where(prefix: TinyPrefix) -> None:
    reading = Reading(prefix.tree, HOME, prefix.context().inventory)
    reading.join("test", _Failing)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        _ = reading.statistics


def test_a_reader_that_loses_interest_leaves_no_process_behind() -> None:
    before = children()
    answers = pool.run(range(1000), lambda: lambda order: order, 3)
    assert next(answers) in range(1000)
    assert len(children() - before) == 3
    answers.close()
    assert children() == before


def test_every_order_is_answered_once_whatever_the_number_of_workers() -> None:
    for workers in (1, 2, 5):
        assert sorted(pool.run(range(500), lambda: lambda order: order * 2, workers)) == list(range(0, 1000, 2))


def test_answers_larger_than_a_pipe_block_nobody() -> None:
    assert sum(len(one) for one in pool.run(range(40), lambda: lambda _: b"x" * (1 << 20), 2)) == 40 << 20


def test_a_prefix_that_is_not_there_is_an_error_with_its_path(tmp_path: Path) -> None:
    prefix = TinyPrefix(tmp_path / "gone")
    context = prefix.context()
    prefix.tree.rmdir()
    with pytest.raises(StageError, match="gone cannot be read"):
        list(findings(context))


def test_an_empty_directory_has_no_findings(tmp_path: Path) -> None:
    assert TinyPrefix(tmp_path / "empty").findings() == []


def test_two_passes_find_the_same_in_the_same_order_whatever_the_number_of_workers(prefix: TinyPrefix) -> None:
    for path in ("usr/bin/tool", DATA, "usr/share/tool/empty", "usr/share/tool-1.10/data", "usr/bin/bash"):
        prefix.change(path, b"#!/bin/sh\n/compatlayer/build/x\n")
    (prefix.tree / "usr/share/stray").symlink_to("/etc/passwd")
    texts = []
    for workers in (1, 2, 4):
        context = prefix.context()
        reading = Reading(prefix.tree, HOME, context.inventory, workers=workers)
        from dataclasses import replace

        texts.append(json.dumps([(one.identifier, one.description) for one in findings(replace(context, reading=reading))]))
    assert len(set(texts)) == 1
    assert len(json.loads(texts[0])) > 8


@pytest.mark.skipif(sys.platform != "linux", reason="mount namespaces")
@pytest.mark.userns
def test_what_is_mounted_inside_the_prefix_is_not_entered(prefix: TinyPrefix) -> None:
    import subprocess

    (prefix.tree / "usr/share/mounted").mkdir()
    program = (
        "import sys; from pathlib import Path; from tests.tiny_prefix import TinyPrefix;"
        "print([(f.identifier, f.path) for f in TinyPrefix(Path(sys.argv[1])).findings('integrity')])"
    )
    script = 'mount -t proc proc "$1/usr/share/mounted" || mount -t tmpfs none "$1/usr/share/mounted"; exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "--pid",
            "--fork",
            "sh",
            "-c",
            script,
            "sh",
            prefix.tree,
            sys.executable,
            program,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[('directory-unread', 'usr/share/mounted')]"
