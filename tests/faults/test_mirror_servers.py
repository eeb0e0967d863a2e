"""Whatever a server does, the store holds verified files only, each failure says why, and the next run completes."""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from compatlayer.mirror import fill as filling
from compatlayer.mirror.fill import fill
from compatlayer.mirror.schedule import Pace
from compatlayer.mirror.store import Store
from compatlayer.progress import Monitor, Tape, Transferred
from tests import misbehaving_server as bad
from tests.mirror_values import QUICK, only_verified, read, wanted, wants
from tests.misbehaving_server import MisbehavingServer

pytestmark = pytest.mark.faults

CONTENT = os.urandom(40_000)
# Large enough to be resumed, and for its part to be remembered.
LARGE = os.urandom(3_000_000)


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with MisbehavingServer() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "mirror") as store:
        yield store


def reasons(filled: filling.Filled) -> list[str]:
    (missing,) = filled.missing
    return [attempt.reason for attempt in missing.attempts]


OTHER = bytes(reversed(CONTENT))

FAULTS = {
    "404": ([bad.status(404)], "404 Not Found"),
    "403": ([bad.status(403)], "403 Forbidden"),
    "410": ([bad.status(410)], "410 Gone"),
    "500 for ever": ([bad.status(500)], "500 Internal Server Error"),
    "a shorter file": ([bad.instead(CONTENT[:-1])], f"{len(CONTENT) - 1} bytes instead of {len(CONTENT)}"),
    "a longer file": ([bad.instead(CONTENT + b"x")], f"{len(CONTENT) + 1} bytes instead of {len(CONTENT)}"),
    "a web page": ([bad.instead(b"<html>", Content_Type="text/html")], f"6 bytes, a web page instead of {len(CONTENT)}"),
    "a file without end": ([bad.endless()], f"more than {len(CONTENT)} bytes"),
    "a truncated file": ([bad.truncated(1000)], "the connection broke: IncompleteRead(1000 bytes read, 39000 more expected)"),
    "wrong bytes of the right length": ([bad.instead(OTHER)], "wrong BLAKE2B and SHA512"),
    "a stall": ([bad.stalled(1000)], "nothing came for 0.4 s"),
    "a slow drip": ([bad.dripping(0.01)], "too slow: "),
    "an empty answer": ([bad.instead(b"")], f"0 bytes instead of {len(CONTENT)}"),
    "a range nobody asked for": ([bad.wrong_range()], "206 with another range: bytes 0-39999/40000"),
    "a redirect to a file": ([bad.redirect("file:///etc/passwd")], "redirected to something that is no web address: "),
    "a redirect to itself": ([bad.redirect("/file")], "more than 10 redirects"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_reported_and_keeps_nothing_else_from_being_fetched(
    fault: str, server: MisbehavingServer, store: Store
) -> None:
    answers, reason = FAULTS[fault]
    broken = wanted("broken.tar", CONTENT, server.serve("/file", CONTENT, *answers))
    good = wanted("good.tar", b"good", server.serve("/good", b"good"))
    filled = fill(store, wants(broken, good), QUICK, Monitor())
    assert [one.wanted.name for one in filled.missing] == ["broken.tar"]
    assert any(said.startswith(reason) for said in reasons(filled)), reasons(filled)
    assert only_verified(store) == ["good.tar"]
    assert "broken.tar (for app-misc/one-1)" in str(filling.missing_error(filled.missing))

    server.serve("/file", CONTENT)
    again = fill(store, wants(broken, good), QUICK, Monitor())
    assert not again.missing
    assert again.present == 1
    assert only_verified(store) == ["broken.tar", "good.tar"]
    assert read(store, "broken.tar") == CONTENT
    assert not list(store.incoming.iterdir())


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_source_is_tried_after_a_fault(fault: str, server: MisbehavingServer, store: Store) -> None:
    broken = server.serve("/file", CONTENT, *FAULTS[fault][0])
    file = wanted("one.tar", CONTENT, broken, server.serve("/other", CONTENT))
    filled = fill(store, wants(file), QUICK, Monitor())
    assert not filled.missing
    assert filled.got[0].url.endswith("/other")
    assert only_verified(store) == ["one.tar"]


def test_what_may_pass_is_tried_again_and_what_may_not_is_not(server: MisbehavingServer, store: Store) -> None:
    passing = wanted("passing.tar", CONTENT, server.serve("/passing", CONTENT, bad.status(500), bad.status(503), bad.whole()))
    lasting = wanted("lasting.tar", b"other", server.serve("/lasting", b"other", bad.status(404), bad.whole()))
    filled = fill(store, wants(passing, lasting), QUICK, Monitor())
    assert [one.wanted.name for one in filled.missing] == ["lasting.tar"]
    assert len(server.requests_for("/passing")) == 3
    assert len(server.requests_for("/lasting")) == 1


def test_the_time_between_attempts_grows(server: MisbehavingServer, store: Store) -> None:
    url = server.serve("/file", CONTENT, bad.status(500))
    options = replace(QUICK, pace=Pace(tries=4, first_wait_s=0.1, longest_wait_s=10))
    fill(store, wants(wanted("one.tar", CONTENT, url)), options, Monitor())
    times = server.times_of("/file")
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    # Jitter is between a half and the whole of 0.1, 0.2, 0.4 seconds.
    assert len(gaps) == 3
    assert [gap >= least for gap, least in zip(gaps, (0.05, 0.1, 0.2), strict=True)] == [True] * 3


def test_retry_after_is_honoured_by_every_file_of_that_host(server: MisbehavingServer, store: Store) -> None:
    limited = wanted("limited.tar", CONTENT, server.serve("/limited", CONTENT, bad.status(429, Retry_After="1"), bad.whole()))
    filled = fill(store, wants(limited), QUICK, Monitor())
    assert not filled.missing
    first, second = server.times_of("/limited")
    assert second - first >= 1.0


def test_a_host_that_wants_to_be_left_alone_for_an_hour_is_left_alone(server: MisbehavingServer, store: Store) -> None:
    other = MisbehavingServer()
    with other:
        url = server.serve("/file", CONTENT, bad.status(429, Retry_After="3600"))
        file = wanted("one.tar", CONTENT, url, other.serve("/file", CONTENT))
        options = replace(QUICK, pace=replace(QUICK.pace, longest_retry_after_s=1))
        began = time.monotonic()
        assert not fill(store, wants(file), options, Monitor()).missing
        assert time.monotonic() - began < 5
    assert len(server.requests_for("/file")) == 1


def test_a_certificate_that_cannot_be_verified_is_not_accepted(tmp_path: Path, store: Store) -> None:
    pem = tmp_path / "server.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", *subject,
         "-keyout", tmp_path / "key", "-out", tmp_path / "certificate"], check=True, capture_output=True,
    )  # fmt: skip
    pem.write_bytes((tmp_path / "key").read_bytes() + (tmp_path / "certificate").read_bytes())
    with MisbehavingServer(pem) as server:
        file = wanted("one.tar", CONTENT, server.serve("/file", CONTENT))
        filled = fill(store, wants(file), QUICK, Monitor())
        assert reasons(filled) == ["the certificate cannot be verified: " + reasons(filled)[0].partition(": ")[2]]
        assert "certificate verify failed" in reasons(filled)[0]
        assert not server.log, "the file must not even be asked for"
    assert only_verified(store) == []


def test_a_host_that_nobody_answers_at_is_given_up(server: MisbehavingServer, store: Store) -> None:
    with MisbehavingServer() as gone:
        dead = gone.url
    files = [wanted(f"{n}.tar", bytes([n]), f"{dead}/{n}", server.serve(f"/{n}", bytes([n]))) for n in range(20)]
    filled = fill(store, wants(*files), replace(QUICK, jobs=1), Monitor())
    assert not filled.missing
    assert len(only_verified(store)) == 20
    lost = fill(store, wants(wanted("lost.tar", b"lost", f"{dead}/lost")), QUICK, Monitor())
    assert reasons(lost) == ["no connection: Connection refused"]


class TestResuming:
    def test_a_broken_transfer_goes_on_where_it_broke(self, server: MisbehavingServer, store: Store) -> None:
        url = server.serve("/large", LARGE, bad.truncated(2_000_000), bad.whole())
        assert not fill(store, wants(wanted("large.tar", LARGE, url)), QUICK, Monitor()).missing
        first, second = server.requests_for("/large")
        assert "Range" not in first
        assert second["Range"] == "bytes=2000000-"
        assert second["If-Range"] == '"v1"'
        assert read(store, "large.tar") == LARGE

    def test_a_part_of_an_earlier_run_is_used(self, server: MisbehavingServer, store: Store) -> None:
        url = server.serve("/large", LARGE, bad.truncated(2_000_000))
        options = replace(QUICK, pace=replace(QUICK.pace, tries=1))
        assert fill(store, wants(wanted("large.tar", LARGE, url)), options, Monitor()).missing
        server.serve("/large", LARGE)
        tape = Tape()
        assert not fill(store, wants(wanted("large.tar", LARGE, url)), options, tape).missing
        assert server.requests_for("/large")[-1]["Range"] == "bytes=2000000-"
        told = [event for event in tape.events if isinstance(event, Transferred)]
        assert (told[-1].done, told[-1].bytes_done) == (1, len(LARGE))

    def test_a_server_that_ignores_ranges_sends_it_all_again(self, server: MisbehavingServer, store: Store) -> None:
        url = server.serve("/large", LARGE, bad.truncated(2_000_000), bad.ignoring_ranges())
        assert not fill(store, wants(wanted("large.tar", LARGE, url)), QUICK, Monitor()).missing
        assert "Range" in server.requests_for("/large")[1]
        assert read(store, "large.tar") == LARGE

    def test_a_file_that_was_replaced_upstream_is_not_glued_to_the_old_one(self, server: MisbehavingServer, store: Store) -> None:
        url = server.serve("/large", LARGE, bad.truncated(2_000_000, tag='"v0"'), bad.whole('"v1"'))
        assert not fill(store, wants(wanted("large.tar", LARGE, url)), QUICK, Monitor()).missing
        assert server.requests_for("/large")[1]["If-Range"] == '"v0"'
        assert read(store, "large.tar") == LARGE

    def test_a_resumed_file_with_a_wrong_hash_is_fetched_afresh_once(self, server: MisbehavingServer, store: Store) -> None:
        def other_half(request: bad.Request, content: bytes) -> None:
            body = bytes(1_000_000)
            request.answer(206, body, Content_Range=f"bytes 2000000-{len(content) - 1}/{len(content)}")

        url = server.serve("/large", LARGE, bad.truncated(2_000_000, tag=None), other_half, bad.whole())
        filled = fill(store, wants(wanted("large.tar", LARGE, url)), QUICK, Monitor())
        assert not filled.missing
        assert ["Range" in request for request in server.requests_for("/large")] == [False, True, False]
        assert read(store, "large.tar") == LARGE

    def test_a_part_of_another_url_is_not_used(self, server: MisbehavingServer, store: Store) -> None:
        broken = server.serve("/broken", LARGE, bad.truncated(2_000_000))
        file = wanted("large.tar", LARGE, broken, server.serve("/good", LARGE))
        assert not fill(store, wants(file), replace(QUICK, pace=replace(QUICK.pace, tries=1)), Monitor()).missing
        assert "Range" not in server.requests_for("/good")[0]


def test_a_proxy_is_taken_from_the_environment(server: MisbehavingServer, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    server.serve("http://nowhere.invalid/one.tar", CONTENT)
    assert not fill(store, wants(wanted("one.tar", CONTENT, "http://nowhere.invalid/one.tar")), QUICK, Monitor()).missing
    assert only_verified(store) == ["one.tar"]


def test_a_password_is_taken_from_netrc_and_given_to_its_host_only(
    tmp_path: Path, server: MisbehavingServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with MisbehavingServer() as other:
        elsewhere = other.serve("/one.tar", CONTENT).replace("127.0.0.1", "localhost")
        url = server.serve("/one.tar", CONTENT, bad.redirect(elsewhere))
        assert not fill(store, wants(wanted("one.tar", CONTENT, url)), QUICK, Monitor()).missing
        assert server.requests_for("/one.tar")[0]["Authorization"].startswith("Basic ")
        assert "Authorization" not in other.requests_for("/one.tar")[0]


def test_no_host_is_asked_for_more_than_its_share_at_once(server: MisbehavingServer, store: Store) -> None:
    lock, active = threading.Lock(), [0, 0]

    def counting(request: bad.Request, content: bytes) -> None:
        with lock:
            active[0] += 1
            active[1] = max(active)
        request.answer(200, content[:-1], length=len(content))
        request.wfile.flush()
        time.sleep(0.03)
        # Before the last byte: once that is there, the client may rightly come back.
        with lock:
            active[0] -= 1
        request.wfile.write(content[-1:])

    contents = [os.urandom(2000) for _ in range(24)]
    files = [wanted(f"{n}.tar", one, server.serve(f"/{n}", one, counting)) for n, one in enumerate(contents)]
    options = replace(QUICK, jobs=12, pace=replace(QUICK.pace, per_host=3))
    assert not fill(store, wants(*files), options, Monitor()).missing
    assert active == [0, 3]


def test_a_file_source_is_read_and_its_faults_are_told(tmp_path: Path, store: Store) -> None:
    source = tmp_path / "a b%.tar"
    source.write_bytes(CONTENT)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "short").write_bytes(b"x")
    (tmp_path / "other").write_bytes(OTHER)
    names = ("none", "pipe", "short", "other")
    file = wanted("one.tar", CONTENT, *[(tmp_path / name).as_uri() for name in names], source.as_uri())
    assert not fill(store, wants(file), QUICK, Monitor()).missing
    assert only_verified(store) == ["one.tar"]
    assert source.stat().st_nlink == 1, "the store must not share a file that others may write to"
    lost = fill(
        store, wants(wanted("two.tar", CONTENT + b"!", *[(tmp_path / name).as_uri() for name in names])), QUICK, Monitor()
    )
    assert reasons(lost) == ["no such file", "not a regular file", "1 bytes instead of 40001", "40000 bytes instead of 40001"]
