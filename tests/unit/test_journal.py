"""A journal is on disk before the step it announces, and survives a crash in the middle of a line."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from compatlayer.errors import RepositoryError
from compatlayer.journal import Journal, write_atomically


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "stage" / "journal")


def test_steps_are_read_back_in_order_with_what_they_need(journal: Journal) -> None:
    assert journal.read() == ()
    first = journal.record("begin", revision="abc", text='a "quoted"\nline')
    second = journal.record("publish")
    assert journal.read() == (first, second)
    assert Journal(journal.path).read()[0].data == {"revision": "abc", "text": 'a "quoted"\nline'}
    journal.clear()
    assert journal.read() == ()
    assert not journal.path.exists()
    journal.clear()


def test_a_torn_last_line_is_ignored_wherever_it_was_torn(journal: Journal) -> None:
    first = journal.record("one", n=1)
    whole = journal.path.read_bytes()
    second = journal.record("two", n=2)
    both = journal.path.read_bytes()
    for length in range(len(whole), len(both)):
        journal.path.write_bytes(both[:length])
        assert journal.read() == (first,)
        third = journal.record("three")
        assert journal.read() == (first, third)
    journal.path.write_bytes(both)
    assert journal.read() == (first, second)


def test_what_was_recorded_before_a_kill_is_there(journal: Journal) -> None:
    child = os.fork()
    if child == 0:
        journal.record("begin")
        journal.record("publish")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert [record.step for record in journal.read()] == ["begin", "publish"]


def test_a_line_that_is_not_ours_is_named_and_not_skipped(journal: Journal) -> None:
    journal.record("one")
    with journal.path.open("ab") as stream:
        stream.write(b"garbage\n")
    journal.path.write_bytes(journal.path.read_bytes() + journal.path.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(RepositoryError) as caught:
        journal.read()
    assert str(caught.value) == (
        f"{journal.path}:2: the journal is damaged\n"
        "  garbage\n"
        "  hint: look at what it says was under way, put that right by hand, then delete this file"
    )


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "deep" / "file"
    write_atomically(file, b"old", mode=0o600)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"old", 0o600)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(file, b"new")
    assert file.read_bytes() == b"old"
    assert [path.name for path in file.parent.iterdir()] == ["file"]
