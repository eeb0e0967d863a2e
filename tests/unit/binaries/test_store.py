"""A store in a directory: what is in it under its real name is whole, whoever writes to it and however that ends."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from compatlayer.binaries.store import Store, UnusableError, open_place
from compatlayer.errors import RepositoryError
from tests.binary_values import Filled, gpkg, key

SOURCE = Path(__file__).resolve().parents[3]
ONE, TWO = key("app-misc/one-1"), key("app-misc/two-1", "2" * 64)


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    return Filled(tmp_path)


def names(store: Store) -> list[str]:
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())


def test_what_was_stored_is_found_and_copied(filled: Filled, tmp_path: Path) -> None:
    assert list(filled.store.index()) == []
    entry = filled.add(ONE)
    assert names(filled.store) == ["index.jsonl", "lock", entry.path]
    (line,) = filled.store.index()
    assert line.claimed == entry
    filled.store.fetch(entry, tmp_path / "out" / "one.gpkg.tar")
    assert hashlib.sha256((tmp_path / "out" / "one.gpkg.tar").read_bytes()).hexdigest() == entry.sha256


def test_storing_the_same_again_changes_nothing(filled: Filled) -> None:
    filled.add(ONE)
    before = (filled.store.root / "index.jsonl").read_bytes()
    filled.add(ONE)
    assert (filled.store.root / "index.jsonl").read_bytes() == before


def test_another_build_under_the_same_key_comes_after_the_first(filled: Filled) -> None:
    entries = [filled.add(ONE, image) for image in (b"first", b"second")]
    assert [line.claimed for line in filled.store.index()] == entries


@pytest.mark.parametrize("damage", ["altered", "truncated", "longer", "gone", "a directory"])
def test_a_file_that_is_not_what_was_signed_is_refused_and_not_left_behind(filled: Filled, tmp_path: Path, damage: str) -> None:
    entry = filled.add(ONE)
    file = filled.store.root / entry.path
    content = file.read_bytes()
    target = tmp_path / "target"
    match damage:
        case "altered":
            file.write_bytes(content.replace(b"image", b"imago", 1))
        case "truncated":
            file.write_bytes(content[:-100])
        case "longer":
            file.write_bytes(content + b"\0")
        case "gone":
            file.unlink()
        case _:
            file.unlink()
            file.mkdir()
    with pytest.raises(UnusableError, match=r"^it "):
        filled.store.fetch(entry, target)
    assert not target.exists()


def test_storing_mends_a_damaged_file(filled: Filled, tmp_path: Path) -> None:
    entry = filled.add(ONE)
    file = filled.store.root / entry.path
    file.write_bytes(b"x" * entry.size_bytes)
    filled.add(ONE)
    filled.store.fetch(entry, tmp_path / "target")


def test_a_file_that_changes_while_it_is_stored_is_not(filled: Filled, tmp_path: Path) -> None:
    entry = filled.add(ONE)
    other = gpkg(tmp_path / "other.gpkg.tar", image=b"other")
    wrong = type(entry)(TWO, "0" * 64, other.stat().st_size)
    with pytest.raises(UnusableError, match="was altered"):
        filled.store.add([(wrong, wrong.signed(filled.signer), other)])
    assert names(filled.store) == ["index.jsonl", "lock", entry.path]
    assert [line.claimed for line in filled.store.index()] == [entry]


ADD = textwrap.dedent("""
    import os, sys
    from pathlib import Path
    from compatlayer import signing
    from compatlayer.binaries import store
    from compatlayer.binaries.entry import Entry
    from tests.binary_values import gpkg, key
    directory, name, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    signer = signing.private_key(directory / "keys" / "builder.pem")
    for number in range(times):
        file = gpkg(directory / name / "built.gpkg.tar", f"app-misc/{name}-{number}")
        one = key(f"app-misc/{name}-{number}", f"{hash(name) % 10}{number:063}")
        entry = Entry(one, store.digest_of(file), file.stat().st_size)
        if len(sys.argv) > 4:
            step = getattr(store, sys.argv[4])
            def die(*arguments, **named):
                os.kill(os.getpid(), 9)
            setattr(store, sys.argv[4], die)
        store.Store(directory / "store").add([(entry, entry.signed(signer), file)])
""")


def adding(filled: Filled, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", ADD, str(filled.directory), *arguments], cwd=SOURCE)


def test_two_that_store_at_once_lose_nothing(filled: Filled) -> None:
    both = [adding(filled, name, "12") for name in ("left", "right")]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    found = sorted(line.claimed.cpv for line in filled.store.index())
    assert found == sorted(f"app-misc/{name}-{number}" for name in ("left", "right") for number in range(12))


@pytest.mark.parametrize("step", ["copy", "fsync_directory", "write_atomically"])
def test_being_killed_while_storing_leaves_a_store_that_is_whole(filled: Filled, tmp_path: Path, step: str) -> None:
    entry = filled.add(ONE)
    assert adding(filled, "two", "1", step).wait(timeout=60) == -signal.SIGKILL
    assert [line.claimed for line in filled.store.index()] == [entry]
    for line in filled.store.index():
        filled.store.fetch(line.claimed, tmp_path / "target")
    # and the next one stores it.
    assert adding(filled, "two", "1").wait(timeout=60) == 0
    assert [line.claimed.cpv for line in filled.store.index()] == ["app-misc/one-1", "app-misc/two-0"]
    for line in filled.store.index():
        filled.store.fetch(line.claimed, tmp_path / "target")


def test_a_store_that_cannot_be_written_says_so(filled: Filled, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(RepositoryError, match=r"the binary packages in .*store cannot be written"):
        filled.add(ONE)


def test_an_index_that_is_no_file_is_refused(filled: Filled) -> None:
    (filled.store.root / "index.jsonl").mkdir(parents=True)
    with pytest.raises(UnusableError, match=r"the index of .* cannot be read"):
        filled.store.index()


def test_a_path_and_a_file_url_name_the_same_store(filled: Filled) -> None:
    entry = filled.add(ONE)
    for text in (str(filled.store.root), filled.store.root.as_uri()):
        assert [line.claimed for line in open_place(text).index()] == [entry]
    assert os.fspath(filled.store.root).startswith("/")
