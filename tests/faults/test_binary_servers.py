"""Binary packages from web servers that misbehave: what comes in is what was signed, or nothing; and nothing waits for long."""

from __future__ import annotations

from pathlib import Path

import pytest

from compatlayer.binaries.entry import Entry
from compatlayer.binaries.store import UnusableError
from compatlayer.binaries.web import WebStore
from compatlayer.mirror.schedule import Pace, Patience
from tests import misbehaving_server as bad
from tests.binary_values import Filled, key
from tests.misbehaving_server import Behaviour, MisbehavingServer

pytestmark = pytest.mark.faults

PACE = Pace(tries=3, first_wait_s=0.01, longest_wait_s=0.05)
PATIENCE = Patience(connect_s=5, stall_s=0.5, window_s=0.5)
ONE = key("app-misc/one-1")


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    return Filled(tmp_path)


def put(server: MisbehavingServer, filled: Filled, entry: Entry, *answers: Behaviour, content: bytes | None = None) -> WebStore:
    """Show a store's files, the package with these answers."""
    server.serve("/bins/index.jsonl", (filled.store.root / "index.jsonl").read_bytes())
    file = (filled.store.root / entry.path).read_bytes()
    server.serve(f"/bins/{entry.path}", file if content is None else content, *answers)
    return WebStore(f"{server.url}/bins/", PACE, PATIENCE)


def test_a_store_is_read_over_http_and_its_index_only_once(filled: Filled, tmp_path: Path) -> None:
    entry = filled.add(ONE)
    with MisbehavingServer() as server:
        web = put(server, filled, entry)
        assert [line.claimed for line in web.index()] == [entry]
        assert [line.claimed for line in web.index()] == [entry]
        web.fetch(entry, tmp_path / "out" / "one.gpkg.tar")
        assert len(server.requests_for("/bins/index.jsonl")) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["one.gpkg.tar"]


@pytest.mark.parametrize(
    "answers",
    [(bad.status(503), bad.whole()), (bad.truncated(100), bad.whole()), (bad.stalled(100, 2), bad.whole())],
    ids=["busy", "broken off", "stalled"],
)
def test_what_may_pass_is_tried_again(filled: Filled, tmp_path: Path, answers: tuple[Behaviour, ...]) -> None:
    entry = filled.add(ONE, b"image" * 1000)
    with MisbehavingServer() as server:
        put(server, filled, entry, *answers).fetch(entry, tmp_path / "target")
    assert (tmp_path / "target").stat().st_size == entry.size_bytes


@pytest.mark.parametrize(
    ("answers", "content", "reason"),
    [
        ((bad.status(404),), None, "404 Not Found"),
        ((bad.status(500),), None, "500 Internal Server Error"),
        ((bad.instead(b"<html>", Content_Type="text/html"),), None, "6 bytes, a web page instead of"),
        ((bad.truncated(100),), None, "the connection broke"),
        ((bad.endless(),), None, "more than"),
        ((bad.whole(),), b"other", "bytes instead of"),
    ],
    ids=["not there", "broken", "a web page", "always broken off", "endless", "another file"],
)
def test_what_is_not_the_package_is_refused(
    filled: Filled, tmp_path: Path, answers: tuple[Behaviour, ...], content: bytes | None, reason: str
) -> None:
    entry = filled.add(ONE, b"image" * 1000)
    with MisbehavingServer() as server:
        web = put(server, filled, entry, *answers, content=content)
        with pytest.raises(UnusableError) as refused:
            web.fetch(entry, tmp_path / "target" / "one")
    assert reason in (refused.value.cause or "")
    assert list((tmp_path / "target").iterdir()) == []


def test_a_package_of_the_right_size_that_was_altered_is_refused(filled: Filled, tmp_path: Path) -> None:
    entry = filled.add(ONE)
    with MisbehavingServer() as server:
        web = put(server, filled, entry, content=b"x" * entry.size_bytes)
        with pytest.raises(UnusableError) as refused:
            web.fetch(entry, tmp_path / "target")
    assert refused.value.cause == "wrong SHA256"
    assert not (tmp_path / "target").exists()


def test_an_index_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    with MisbehavingServer() as server:
        with pytest.raises(UnusableError) as refused:
            WebStore(server.url, PACE, PATIENCE).index()
        assert refused.value.cause == "404 Not Found"
        server.serve("/index.jsonl", b"x" * 100, bad.truncated(10))
        with pytest.raises(UnusableError):
            WebStore(server.url, PACE, PATIENCE).index()
        url = server.url
    with pytest.raises(UnusableError) as refused:
        WebStore(url, PACE, PATIENCE).index()
    assert refused.value.cause == "Connection refused"


def test_an_index_of_garbage_holds_nothing(tmp_path: Path) -> None:
    with MisbehavingServer() as server:
        server.serve("/index.jsonl", b"<html>\nnot found\n</html>\n")
        index = WebStore(server.url, PACE, PATIENCE).index()
    assert (index.lines, len(index.unreadable)) == ((), 3)
