"""A bundle is taken whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from compatlayer.errors import DistfileError
from compatlayer.mirror import bundle
from compatlayer.mirror.bundle import export_bundle, import_bundle
from compatlayer.mirror.distfiles import Restrictions
from compatlayer.mirror.fill import fill
from compatlayer.mirror.store import Store
from compatlayer.mirror.tree_bundles import TreeBundles
from compatlayer.progress import Monitor
from tests.mirror_values import QUICK, digests, only_verified, wanted, wants

CONTENTS = {"one.tar": os.urandom(70_000), "two.tar": b"two" * 700, "empty-ish.tar": b"x"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    source = tmp_path / "source"
    source.mkdir()
    files = []
    for name, content in (CONTENTS | {"twin.tar": CONTENTS["one.tar"], "closed.tar": b"closed"}).items():
        (source / name).write_bytes(content)
        limits = Restrictions(mirror=name == "closed.tar")
        files.append(wanted(name, content, (source / name).as_uri(), restrict=limits))
    with Store(tmp_path / "mirror") as store:
        assert not fill(store, wants(*files), QUICK, Monitor()).missing
        (store.trees / "gentoo-0123.bundle").write_bytes(b"# v2 git bundle\n")
        TreeBundles(store).enlist(store.trees / "gentoo-0123.bundle")
        yield store


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "target") as store:
        yield store


@pytest.fixture
def file(store: Store, tmp_path: Path) -> Path:
    export_bundle(store, tmp_path / "mirror.tar", Monitor())
    return tmp_path / "mirror.tar"


def assert_refused(target: Store, file: Path, why: str = "") -> None:
    with pytest.raises(DistfileError) as caught:
        import_bundle(target, file, Monitor())
    assert caught.value.fact == f"the bundle {file} is refused, and nothing of it was taken"
    assert why in str(caught.value.cause)
    assert only_verified(target) == []
    assert not target.index.entries()
    assert not list(target.incoming.iterdir())
    assert not list(target.trees.iterdir())


def test_what_was_exported_is_what_is_imported(store: Store, target: Store, file: Path) -> None:
    carried = import_bundle(target, file, Monitor())
    assert (carried.files, carried.trees) == (4, 1)
    assert only_verified(target) == ["empty-ish.tar", "one.tar", "twin.tar", "two.tar"]
    assert (target.trees / "gentoo-0123.bundle").read_bytes() == b"# v2 git bundle\n"
    entry = target.index.get("one.tar")
    assert entry is not None
    assert entry.origin == "bundle"
    assert entry.hashes == store.index.entries()["one.tar"].hashes
    assert import_bundle(target, file, Monitor()) == carried, "a second import changes nothing"


def test_another_content_by_the_same_name_is_put_aside_until_a_manifest_wants_it(
    store: Store, target: Store, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "newer").write_bytes(b"newer")
    ours = wanted("two.tar", b"newer", (tmp_path / "newer").as_uri())
    fill(target, wants(ours), QUICK, Monitor())
    assert import_bundle(target, file, Monitor()).aside == ("two.tar",)
    assert target.path("two.tar", Restrictions()).read_bytes() == b"newer"
    assert [path.read_bytes() for path in target.quarantined.iterdir()] == [CONTENTS["two.tar"]]

    theirs = wanted("two.tar", CONTENTS["two.tar"], "file:///nowhere")
    assert not fill(target, wants(theirs), QUICK, Monitor()).missing
    assert target.path("two.tar", Restrictions()).read_bytes() == CONTENTS["two.tar"]
    assert [path.read_bytes() for path in target.quarantined.iterdir()] == [b"newer"]
    only_verified(target)


def test_an_import_that_was_killed_leaves_nothing_for_ever(target: Store, file: Path) -> None:
    left = target.incoming / "import-x1" / "named"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"half")
    import_bundle(target, file, Monitor())
    assert not list(target.incoming.iterdir())


def test_equal_content_travels_once_and_stays_one_file(target: Store, file: Path) -> None:
    with tarfile.open(file) as archive:
        assert len(archive.getnames()) == 1 + 4 + 1
    import_bundle(target, file, Monitor())
    assert target.path("one.tar", Restrictions()).samefile(target.path("twin.tar", Restrictions()))


def test_restricted_files_are_left_out_unless_asked_for(store: Store, target: Store, file: Path, tmp_path: Path) -> None:
    assert b"closed" not in file.read_bytes()
    carried = export_bundle(store, tmp_path / "all.tar", Monitor(), restricted=True)
    assert (carried.files, carried.left_out) == (5, ())
    import_bundle(target, tmp_path / "all.tar", Monitor())
    assert target.path("closed.tar", Restrictions(mirror=True)).read_bytes() == b"closed"
    assert not target.path("closed.tar", Restrictions()).exists()


def test_two_exports_of_the_same_store_are_equal(store: Store, file: Path, tmp_path: Path) -> None:
    export_bundle(store, tmp_path / "again.tar", Monitor())
    assert (tmp_path / "again.tar").read_bytes() == file.read_bytes()


def test_a_bundle_that_was_cut_off_anywhere_is_refused(target: Store, file: Path) -> None:
    content = file.read_bytes()
    for length in (0, 1, 511, 512, 5000, len(content) // 2, len(content) - 2048, len(content) - 1024, len(content) - 1):
        file.write_bytes(content[:length])
        assert_refused(target, file)


def test_a_bundle_with_any_byte_altered_is_refused(target: Store, file: Path) -> None:
    content = file.read_bytes()
    seed = random.randrange(1 << 30)
    dice = random.Random(seed)
    for position in (0, 100, 156, 300, len(content) - 1, *(dice.randrange(len(content)) for _ in range(40))):
        file.write_bytes(content[:position] + bytes([content[position] ^ 1 << dice.randrange(8)]) + content[position + 1 :])
        with pytest.raises(DistfileError):
            import_bundle(target, file, Monitor())
        assert only_verified(target) == [], f"seed {seed}, byte {position}"


def test_something_behind_the_end_is_refused(target: Store, file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"more")
    assert_refused(target, file, "it does not end where its archive ends")


def forged(path: Path, listed: list[dict[str, Any]], members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    """A bundle with a seal that fits, made by somebody who knows the format."""
    document = json.dumps({"format": 1, "files": listed}).encode()
    plain = tarfile.TarInfo(bundle.LIST)
    plain.size, plain.mode = len(document), 0o644
    stream = io.BytesIO()
    for info, content in [(plain, document), *members]:
        stream.write(info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512))
    seal = hashlib.sha512(stream.getvalue()).hexdigest().encode() + b"\n"
    last = tarfile.TarInfo(bundle.SEAL)
    last.size, last.mode = len(seal), 0o644
    stream.write(last.tobuf(tarfile.GNU_FORMAT) + seal + bytes(-len(seal) % 512) + bytes(1024))
    path.write_bytes(stream.getvalue())
    return path


def listed(name: Any, content: bytes = b"evil", **more: Any) -> dict[str, Any]:
    return {
        "kind": "distfile", "name": name, "size_bytes": len(content), "hashes": digests(content), "restrict": [], "url": "", **more
    }  # fmt: skip


def member(content: bytes = b"evil", **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(f"content/{digests(content)['BLAKE2B'][:64]}")
    info.size, info.mode = len(content), 0o644
    for name, value in attributes.items():
        setattr(info, name, value)
    return info, content if info.size else b""


def test_a_forged_bundle_that_is_right_in_everything_is_accepted(target: Store, tmp_path: Path) -> None:
    """Or the refusals below would prove nothing."""
    import_bundle(target, forged(tmp_path / "bundle", [listed("a.tar")], [member()]), Monitor())
    assert only_verified(target) == ["a.tar"]


NAMES = [
    "../a.tar",
    "..",
    ".",
    "/etc/passwd",
    "a/b.tar",
    "",
    "a\nb",
    "a\x00b",
    ".hidden",
    "-rf",
    "layout.conf",
    "x" * 300,
    7,
    None,
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_listed_name_that_leaves_its_directory_is_refused(name: Any, target: Store, tmp_path: Path) -> None:
    for kind in ("distfile", "tree"):
        assert_refused(target, forged(tmp_path / "bundle", [listed(name, kind=kind)], [member()]))


MEMBERS: dict[str, Callable[[], tuple[tarfile.TarInfo, bytes]]] = {
    "..": lambda: member(name="../escaped"),
    "absolute": lambda: member(name="/tmp/escaped"),
    "symbolic link": lambda: member(type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0),
    "hard link": lambda: member(type=tarfile.LNKTYPE, linkname="/etc/passwd", size=0),
    "character device": lambda: member(type=tarfile.CHRTYPE, devmajor=1, devminor=3, size=0),
    "block device": lambda: member(type=tarfile.BLKTYPE, size=0),
    "pipe": lambda: member(type=tarfile.FIFOTYPE, size=0),
    "directory": lambda: member(type=tarfile.DIRTYPE, size=0),
    "set-user-id": lambda: member(mode=0o4755),
    "long name": lambda: member(type=tarfile.GNUTYPE_LONGNAME),
    "extended header": lambda: member(type=tarfile.XHDTYPE),
    "other content": lambda: (member()[0], b"good"),
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_a_member_of_another_kind_is_refused(kind: str, target: Store, tmp_path: Path) -> None:
    assert_refused(target, forged(tmp_path / "bundle", [listed("a.tar")], [MEMBERS[kind]()]))
    assert not (tmp_path / "escaped").exists()


def test_more_members_than_listed_or_fewer_are_refused(target: Store, tmp_path: Path) -> None:
    assert_refused(target, forged(tmp_path / "bundle", [listed("a.tar")], [member(), member(b"more")]))
    assert_refused(target, forged(tmp_path / "bundle", [listed("a.tar"), listed("b.tar", b"b")], [member()]))
    assert_refused(target, forged(tmp_path / "bundle", [listed("a.tar"), listed("a.tar")], [member()]), "twice")


@pytest.mark.parametrize(
    "broken",
    [{"kind": "device"}, {"size_bytes": -1}, {"size_bytes": "4"}, {"size_bytes": 5}, {"hashes": {}}, {"hashes": None},
     {"hashes": {"MD5": "0" * 32}}, {"hashes": {**digests(b"evil"), "ROT13": "00"}}, {"hashes": digests(b"else")}, {"restrict": None}],
    ids=repr,
)  # fmt: skip
def test_a_list_that_does_not_say_what_it_must_is_refused(broken: dict[str, Any], target: Store, tmp_path: Path) -> None:
    assert_refused(target, forged(tmp_path / "bundle", [listed("a.tar", **broken)], [member()]))


def test_a_damaged_store_is_not_exported(store: Store, tmp_path: Path) -> None:
    path = store.path("one.tar", Restrictions())
    path.write_bytes(bytes(70_000))
    with pytest.raises(DistfileError, match=r"one\.tar is not what it should be"):
        export_bundle(store, tmp_path / "damaged.tar", Monitor())
    assert not (tmp_path / "damaged.tar").exists()
    assert not list(tmp_path.glob(".*.part"))
