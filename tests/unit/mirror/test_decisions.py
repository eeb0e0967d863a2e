"""Where a file lies, where it may come from, who needs it, and what may be deleted."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from compatlayer.errors import DistfileError
from compatlayer.gentoo.packages import Distfile, FetchMap, SourceUri
from compatlayer.mirror import check, distfiles, hashes, layout, sources
from compatlayer.mirror import status as looking
from compatlayer.mirror.distfiles import Restrictions, Wants
from compatlayer.mirror.fill import fill
from compatlayer.mirror.schedule import Job, Pace, Queue
from compatlayer.mirror.serve import Server
from compatlayer.mirror.sources import OwnMirror, Source
from compatlayer.mirror.store import Store
from compatlayer.mirror.transfer import retry_after_s
from compatlayer.progress import Monitor
from tests.mirror_values import FREE, QUICK, digests, only_verified, wanted, wants

ALL = hashes.available()


class TestLayout:
    @pytest.mark.parametrize("name", ["bzip2-1.0.8.tar.gz", "x", "a b+c~1.tar", "ünï.tar"])
    def test_files_lie_where_portage_looks_for_them(self, name: str) -> None:
        from portage.package.ebuild.fetch import FilenameHashLayout

        assert layout.OURS.path(name) == FilenameHashLayout("BLAKE2B", "8").get_path(name)

    def test_portage_reads_our_layout_conf_as_we_do(self, tmp_path: Path) -> None:
        from portage.package.ebuild.fetch import FilenameHashLayout, MirrorLayoutConfig

        (tmp_path / layout.FILE).write_text(layout.TEXT)
        theirs = MirrorLayoutConfig()
        theirs.read_from_file(str(tmp_path / layout.FILE))
        assert isinstance(theirs.get_best_supported_layout(), FilenameHashLayout)
        assert layout.parse(layout.TEXT) == (layout.OURS, layout.FLAT)

    def test_other_mirrors_layouts_are_understood(self) -> None:
        text = "[structure]\n0=content-hash SHA512 8:8\n1=filename-hash NOSUCH 8\n2=filename-hash SHA512 4:8:12\n3=flat\n"
        found = layout.parse(text)
        digest = digests(b"x")["SHA512"]
        assert found[0].path("a", {"SHA512": digest}) == f"{digest[:2]}/{digest[2:4]}/{digest}"
        assert [one.kind for one in found] == ["content-hash", "filename-hash", "flat"]
        assert layout.best(found, {"BLAKE2B": "00"}).kind == "filename-hash"

    @pytest.mark.parametrize("text", ["", "<html>", "[structure]\n", "[other]\n0=flat\n", "0=flat", "[structure]\n1=flat\n"])
    def test_what_is_no_layout_conf_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"not a layout\.conf"):
            layout.parse(text)


class TestSources:
    OWN = (OwnMirror("http://own/distfiles", (layout.OURS,)),)
    URIS = (
        SourceUri("https://upstream/a"),
        SourceUri("mirror://debian/b", "debian", "b", ("http://profile/b",)),
        SourceUri("https://upstream/c"),
    )

    def of(self, limits: Restrictions = FREE, *uris: SourceUri, primary_first: bool = False) -> list[str]:
        file = distfiles.Wanted("a.tar", 1, digests(b"x"), uris or self.URIS, limits, primary_first)
        return [source.url for source in sources.of(file, self.OWN, {"debian": ("http://one", "http://two")})]

    OURS = f"http://own/distfiles/{layout.OURS.path('a.tar')}"
    MIRRORED = ("http://one/b", "http://two/b", "http://profile/b")

    def test_own_mirrors_come_first_then_mirror_names_then_upstream(self) -> None:
        assert self.of() == [self.OURS, *self.MIRRORED, "https://upstream/a", "https://upstream/c"]

    def test_restrict_primaryuri_turns_that_round(self) -> None:
        assert self.of(primary_first=True) == ["https://upstream/a", "https://upstream/c", *self.MIRRORED, self.OURS]

    def test_restrict_fetch_leaves_upstream_out(self) -> None:
        assert self.of(Restrictions(fetch=True, mirror=True)) == [self.OURS, *self.MIRRORED]

    def test_a_place_that_is_exempt_from_restrict_fetch_is_used(self) -> None:
        exempt = SourceUri("https://upstream/free", unrestricted="fetch")
        assert self.of(Restrictions(fetch=True), exempt, SourceUri("https://upstream/closed")) == [
            self.OURS,
            "https://upstream/free",
        ]

    def test_a_name_is_quoted_in_an_own_mirrors_url(self) -> None:
        file = wanted("a b#c?.tar", b"x")
        (source,) = sources.of(file, [OwnMirror("http://own/distfiles")], {})
        assert source == Source("http://own/distfiles/a%20b%23c%3F.tar", "own mirror")


def fetch_map(cpv: str, *files: Distfile, restrict: tuple[str, ...] = ()) -> tuple[str, list[FetchMap]]:
    return ("2026.11/linux-x86_64", [FetchMap(cpv, "tiny", files, restrict)])


def distfile(name: str, content: bytes, *uris: SourceUri) -> Distfile:
    return Distfile(name, uris, len(content), digests(content))


class TestWants:
    def test_a_file_that_two_packages_need_is_wanted_once(self) -> None:
        file = distfile("a.tar", b"a")
        found = distfiles.collect([fetch_map("x/one-1", file), fetch_map("x/two-1", file)])
        assert [need.package for need in found.files["a.tar"].needs] == ["x/one-1", "x/two-1"]
        assert found.files["a.tar"].trouble is None

    def test_two_files_of_one_name_are_refused_with_both_packages(self) -> None:
        found = distfiles.collect([fetch_map("x/one-1", distfile("a", b"a")), fetch_map("x/two-1", distfile("a", b"b"))])
        trouble = str(found.files["a"].trouble)
        assert "x/one-1" in trouble
        assert "x/two-1" in trouble

    @pytest.mark.parametrize(
        ("file", "trouble"),
        [
            (Distfile("a", (), None, {}), "the Manifest of x/one-1 does not name it"),
            (Distfile("a", (), 1, {"MD5": "0" * 32}), "no hash that is strong enough: MD5"),
            (distfile("../a", b"a"), "is not a file name that a mirror can keep"),
        ],
    )
    def test_what_cannot_be_vouched_for_is_not_even_fetched(self, file: Distfile, trouble: str, tmp_path: Path) -> None:
        found = distfiles.collect([fetch_map("x/one-1", file)])
        with Store(tmp_path / "mirror") as store:
            (missing,) = fill(store, found, QUICK, Monitor()).missing
            assert trouble in missing.reason
            assert only_verified(store) == []

    @pytest.mark.parametrize(
        ("words", "prefix", "expected"),
        [
            ((), None, ""),
            (("mirror",), None, "mirror"),
            (("fetch",), None, "fetch mirror"),
            (("bindist",), None, "bindist"),
            (("fetch",), "fetch", "fetch mirror"),
            (("fetch",), "mirror", "fetch"),
            (("mirror",), "mirror", ""),
        ],
    )
    def test_restrictions_are_pms_s(self, words: tuple[str, ...], prefix: str | None, expected: str) -> None:
        file = distfile("a", b"a", SourceUri("https://upstream/a", unrestricted=prefix))
        assert str(distfiles.collect([fetch_map("x/one-1", file, restrict=words)]).files["a"].restrict) == expected


class TestQueue:
    def job(self, *urls: str) -> Job:
        return Job(wanted("a", b"a"), deque(Source(url, "upstream") for url in urls), settled=True)

    def test_a_host_that_waits_does_not_hold_up_another(self) -> None:
        queue = Queue([self.job("http://slow/1"), self.job("http://slow/2"), self.job("http://quick/1")], Pace(per_host=1))
        first, second = queue.take(), queue.take()
        assert first is not None
        assert second is not None
        assert {first.host, second.host} == {"slow", "quick"}

    def test_a_host_is_left_alone_for_the_time_it_asked_for(self) -> None:
        queue = Queue([self.job("http://busy/1")], Pace())
        queue.leave_alone("busy", 0.15)
        began = time.monotonic()
        assert queue.take() is not None
        assert time.monotonic() - began >= 0.15

    def test_a_host_that_three_times_nobody_answered_at_is_down_until_somebody_does(self) -> None:
        queue = Queue([], Pace())
        for _ in range(3):
            assert not queue.is_down("gone")
            queue.release("gone", reached=False)
        assert queue.is_down("gone")
        queue.release("gone", reached=True)
        assert not queue.is_down("gone")

    def test_waiting_times_double_with_jitter_up_to_the_longest(self) -> None:
        pace = Pace(first_wait_s=1, longest_wait_s=5)
        for tried, longest in ((1, 1), (2, 2), (3, 4), (4, 5), (9, 5)):
            waits = [pace.wait_s(tried) for _ in range(50)]
            assert all(longest / 2 <= wait <= longest for wait in waits)
            assert len(set(waits)) > 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), ("7", 7.0), ("Fri, 20 Nov 2026 12:00:30 GMT", 30.0), ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0), ("soon", None)],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, expected: float | None) -> None:
    assert retry_after_s(value, datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)) == expected


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "mirror") as store:
        yield store


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "files"
    directory.mkdir()
    for name in ("a.tar", "b.tar", "c.tar"):
        (directory / name).write_bytes(name.encode())
    return directory


def here(directory: Path, *names: str, restrict: Restrictions = FREE) -> Wants:
    return wants(*[wanted(name, name.encode(), (directory / name).as_uri(), restrict=restrict) for name in names])


class TestPruning:
    NOW = datetime(2026, 11, 20, tzinfo=UTC)

    def test_a_file_is_due_when_nobody_has_needed_it_for_the_grace_period(self, store: Store, directory: Path) -> None:
        fill(store, here(directory, "a.tar", "b.tar"), QUICK, Monitor())
        first = looking.look(store, here(directory, "a.tar"), now=self.NOW)
        assert [(one.name, one.is_due) for one in first.unneeded] == [("b.tar", False)]
        assert looking.look(store, here(directory, "a.tar"), now=self.NOW + timedelta(days=29)).due == ()
        late = looking.look(store, here(directory, "a.tar"), now=self.NOW + timedelta(days=30))
        assert looking.prune(store, late) == len("b.tar")
        assert only_verified(store) == ["a.tar"]

    def test_a_file_that_is_needed_again_begins_its_grace_period_anew(self, store: Store, directory: Path) -> None:
        fill(store, here(directory, "a.tar", "b.tar"), QUICK, Monitor())
        looking.look(store, here(directory, "a.tar"), now=self.NOW)
        fill(store, here(directory, "a.tar", "b.tar"), QUICK, Monitor())
        assert not looking.look(store, here(directory, "a.tar"), now=self.NOW + timedelta(days=40)).due

    def test_what_a_published_revision_needs_stays_until_it_is_let_go(self, store: Store, directory: Path) -> None:
        fill(store, here(directory, "a.tar", "b.tar"), QUICK, Monitor())
        store.index.keep("root", ["b.tar", "c.tar"])
        found = looking.look(
            store, here(directory, "a.tar"), revisions={"root": ("test:1", "production:1")}, grace_days=0, now=self.NOW
        )
        assert [(one.name, one.entry is not None, one.revisions) for one in found.kept] == [
            ("b.tar", True, ("test:1", "production:1")),
            ("c.tar", False, ("test:1", "production:1")),
        ]
        assert not found.due
        store.index.let_go("root")
        assert [one.name for one in looking.look(store, here(directory, "a.tar"), grace_days=0).due] == ["b.tar"]

    def test_a_file_that_got_a_need_after_the_look_is_not_deleted(self, store: Store, directory: Path) -> None:
        fill(store, here(directory, "a.tar", "b.tar"), QUICK, Monitor())
        found = looking.look(store, here(directory, "a.tar"), grace_days=0)
        fill(store, here(directory, "b.tar"), QUICK, Monitor())
        assert looking.prune(store, found) == 0
        assert only_verified(store) == ["a.tar", "b.tar"]


class TestStore:
    def test_equal_content_is_one_file_on_disk(self, store: Store, directory: Path) -> None:
        content = os.urandom(1000)
        (directory / "x").write_bytes(content)
        one, two = (wanted(name, content, (directory / "x").as_uri()) for name in ("one.tar", "two.tar"))
        filled = fill(store, wants(one, two), QUICK, Monitor())
        assert filled.fetched_bytes == 1000
        assert store.path("one.tar", one.restrict).samefile(store.flat("two.tar", two.restrict))

    def test_a_file_moves_when_its_restriction_changes(self, store: Store, directory: Path) -> None:
        fill(store, here(directory, "a.tar"), QUICK, Monitor())
        closed = here(directory, "a.tar", restrict=Restrictions(mirror=True))
        (directory / "a.tar").unlink()
        assert not fill(store, closed, QUICK, Monitor()).missing
        assert not store.flat("a.tar", Restrictions()).exists()
        assert only_verified(store) == ["a.tar"]

    def test_content_that_differs_is_never_accepted(self, store: Store, tmp_path: Path) -> None:
        part = store.incoming / "part"
        part.write_bytes(b"evil")
        with pytest.raises(ValueError, match="not to be accepted"):
            store.accept(part, wanted("a.tar", b"good"), digests(b"evil"), origin="upstream", url="")
        assert only_verified(store) == []

    def test_a_link_that_somebody_put_in_the_store_is_quarantined(self, store: Store, directory: Path) -> None:
        fill(store, here(directory, "a.tar"), QUICK, Monitor())
        path = store.path("a.tar", Restrictions())
        path.unlink()
        path.symlink_to(directory / "a.tar")
        found = check.verify(store, Monitor())
        assert not found.damage, "the file's other name is whole"
        assert not path.is_symlink()
        assert only_verified(store) == ["a.tar"]

    def test_a_lost_file_is_damage_and_is_repaired_from_where_it_came(self, store: Store, directory: Path) -> None:
        fill(store, here(directory, "a.tar", "b.tar"), QUICK, Monitor())
        for path in (store.path("a.tar", Restrictions()), store.flat("a.tar", Restrictions())):
            path.unlink()
        found = check.verify(store, Monitor())
        assert [(one.name, one.what) for one in found.damage] == [("a.tar", "missing")]
        with pytest.raises(DistfileError, match="not verified"):
            check.refuse_unverified(store)
        assert check.repair(store, found, (), Wants, QUICK, Monitor()).is_whole
        assert check.refuse_unverified(store) == 2


def test_a_server_listens_on_the_loopback_unless_told_otherwise(tmp_path: Path) -> None:
    assert "listen 127.0.0.1:8085;" in Server(tmp_path).configuration()


def test_a_path_that_nginx_would_take_for_more_than_a_path_is_quoted(tmp_path: Path) -> None:
    assert 'root "/srv/a \\"b\\"; c";' in Server(Path('/srv/a "b"; c')).configuration()
