"""Bundles and tarballs from elsewhere: whole and right, or refused whole."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from compatlayer import handover, publish, signing
from compatlayer.changelog import OWN_FILES, Section
from compatlayer.errors import RepositoryError
from compatlayer.publish import Published
from compatlayer.signing import PrivateKey
from compatlayer.tree.manifest import Manifest
from tests.published_part import TARGET, PublishedLayer

pytestmark = pytest.mark.faults


@pytest.fixture
def key(tmp_path: Path) -> PrivateKey:
    return signing.make_private_key(tmp_path / "builder.pem")


@pytest.fixture
def builder(tmp_path: Path) -> PublishedLayer:
    """A machine that builds."""
    layer = PublishedLayer(tmp_path / "builder")
    layer.declare()
    layer.fill()
    return layer


@pytest.fixture
def publisher(tmp_path: Path) -> PublishedLayer:
    """A machine that publishes, and shares nothing with the builder."""
    layer = PublishedLayer(tmp_path / "publisher")
    layer.declare()
    return layer


def hand_over(
    builder: PublishedLayer, publisher: PublishedLayer, key: PrivateKey, file: Path, seen: list[Section] | None = None
) -> Published:
    publish.to_bundle(builder.stage(), builder.test, file, key)
    return take(publisher, key, file, seen)


def take(publisher: PublishedLayer, key: PrivateKey, file: Path, seen: list[Section] | None = None) -> Published:
    announce = seen.append if seen is not None else (lambda _: None)
    return publish.from_bundle(publisher.layer, publisher.part, publisher.test, file, [key.public("builder")], announce)


def refused(publisher: PublishedLayer, work: Callable[[], object]) -> str:
    """It must be refused, and change nothing, nor leave anything behind."""
    before = publisher.test.head(publisher.part)
    with pytest.raises(RepositoryError) as error:
        work()
    assert publisher.test.head(publisher.part) == before
    assert publisher.test.pending() is None
    return str(error.value)


def tree(layer: PublishedLayer) -> list[object]:
    head = layer.test.head(layer.part)
    assert head is not None
    with layer.test.read(head, layer.part) as directory:
        return [entry for entry in Manifest.of_tree(directory) if entry.path not in OWN_FILES]


def test_a_bundle_brings_a_part_to_a_publisher_and_then_its_changes(
    builder: PublishedLayer, publisher: PublishedLayer, key: PrivateKey, tmp_path: Path
) -> None:
    publish.publish(builder.layer, builder.stage(), builder.test)
    seen: list[Section] = []
    first = hand_over(builder, publisher, key, tmp_path / "first", seen)
    assert first.revision is not None
    assert [package.name for package in seen[0].packages] == ["app-misc/tiny", "sys-libs/libtiny"]
    assert tree(publisher) == tree(builder)
    assert take(publisher, key, tmp_path / "first").revision is None, "twice is once"

    # The builder gets what was published, and changes it.
    shutil.rmtree(builder.root / "repositories")
    shutil.copytree(publisher.root / "repositories", builder.root / "repositories", symlinks=True)
    builder.over()
    builder.package("app-misc/tiny-1.0", {"usr/bin/tiny": "#!/bin/sh\necho changed\n"}, built=5)
    gone = builder.stage().upper / "usr/share/tiny/one"
    gone.parent.mkdir(parents=True)
    gone.touch()
    os.setxattr(gone, "user.overlay.whiteout", b"y")
    second = hand_over(builder, publisher, key, tmp_path / "second")
    assert second.revision is not None
    assert second.revision.number == 2
    assert (tmp_path / "second").stat().st_size < (tmp_path / "first").stat().st_size
    publish.publish(builder.layer, builder.stage(), builder.test)
    assert tree(publisher) == tree(builder)


def test_a_bundle_of_a_stranger_is_refused(
    builder: PublishedLayer, publisher: PublishedLayer, key: PrivateKey, tmp_path: Path
) -> None:
    stranger = signing.make_private_key(tmp_path / "stranger.pem")
    publish.to_bundle(builder.stage(), builder.test, tmp_path / "bundle", stranger)
    assert "not signed by a key that is trusted" in refused(publisher, lambda: take(publisher, key, tmp_path / "bundle"))


def test_a_bundle_for_another_head_is_refused(
    builder: PublishedLayer, publisher: PublishedLayer, key: PrivateKey, tmp_path: Path
) -> None:
    publish.to_bundle(builder.stage(), builder.test, tmp_path / "bundle", key)
    publisher.fill()
    (publisher.stage().upper / "usr/other").write_text("already there")
    publish.publish(publisher.layer, publisher.stage(), publisher.test)
    said = refused(publisher, lambda: take(publisher, key, tmp_path / "bundle"))
    assert "was not made for what test holds" in said
    assert "it expects nothing, there is revision 1" in said


def rewritten(file: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> None:
    """Unpack a bundle, change its members, and pack it again."""
    plain = subprocess.run(["zstd", "-dcq", file], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        members = [(member, archive.extractfile(member).read() if member.isreg() else b"") for member in archive]  # type: ignore[union-attr]
    change(members)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    file.unlink()
    subprocess.run(["zstd", "-q", "-o", file], input=packed.getvalue(), check=True)


def _altered_content(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    member, content = members[-1]
    members[-1] = (member, bytes([content[0] ^ 1]) + content[1:])


def _altered_statement(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    member, content = members[0]
    document = json.loads(content)
    payload = base64.b64decode(document["payload"]).replace(b"usr/bin/tiny", b"usr/bin/tinx")
    members[0] = (member, json.dumps({**document, "payload": base64.b64encode(payload).decode()}).encode())


def _extra(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members.append((tarfile.TarInfo("files/usr/bin/extra"), b"x"))


def _escaping(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members[-1] = (tarfile.TarInfo("files/../../escaped"), members[-1][1])


def _swapped(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members[-1], members[-2] = members[-2], members[-1]


def _missing(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members.pop()


def _larger(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    member, content = members[-1]
    members[-1] = (member, content + b"more")


@pytest.mark.parametrize("change", [_altered_content, _altered_statement, _extra, _escaping, _swapped, _missing, _larger])
def test_an_altered_bundle_is_refused_whole(
    builder: PublishedLayer,
    publisher: PublishedLayer,
    key: PrivateKey,
    tmp_path: Path,
    change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None],
) -> None:
    file = tmp_path / "bundle"
    publish.to_bundle(builder.stage(), builder.test, file, key)
    rewritten(file, lambda members: None)
    rewritten(file, change)
    refused(publisher, lambda: take(publisher, key, file))
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_bundle_is_refused_whole(
    builder: PublishedLayer, publisher: PublishedLayer, key: PrivateKey, tmp_path: Path, part: float
) -> None:
    file = tmp_path / "bundle"
    publish.to_bundle(builder.stage(), builder.test, file, key)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * part)])
    refused(publisher, lambda: take(publisher, key, file))


def test_a_stage_whose_file_changes_while_it_is_bundled_makes_no_bundle_that_is_accepted(
    builder: PublishedLayer, publisher: PublishedLayer, key: PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = handover._compressing

    def meddling(file: Path) -> object:
        (builder.stage().upper / "usr/bin/tiny").write_text("#!/bin/sh\necho 6.6\n")
        return real(file)

    monkeypatch.setattr(handover, "_compressing", meddling)
    publish.to_bundle(builder.stage(), builder.test, tmp_path / "bundle", key)
    assert "is not what was signed" in refused(publisher, lambda: take(publisher, key, tmp_path / "bundle"))


# --- tarballs


def tarball(file: Path, members: Sequence[tuple[str, bytes | None, dict[str, object]]], mode: str = "w:gz") -> Path:
    """An archive of members: name, content (None: what the attributes say), attributes of ``TarInfo``."""
    with tarfile.open(file, mode) as archive:  # type: ignore[call-overload]
        for name, content, attributes in members:
            member = tarfile.TarInfo(name)
            member.mode = 0o755
            member.size = len(content or b"")
            for attribute, value in attributes.items():
                setattr(member, attribute, value)
            archive.addfile(member, io.BytesIO(content or b""))
    return file


GOOD: list[tuple[str, bytes | None, dict[str, object]]] = [
    (f"versions/2026.11/compat/{TARGET.os}/{TARGET.arch}/usr/bin/tool", b"tool", {}),
    (f"versions/2026.11/compat/{TARGET.os}/{TARGET.arch}/usr/bin/link", None, {"type": tarfile.SYMTYPE, "linkname": "tool"}),
    (f"versions/2026.11/compat/{TARGET.os}/{TARGET.arch}/usr/bin/hard", None, {"type": tarfile.LNKTYPE, "linkname": f"versions/2026.11/compat/{TARGET.os}/{TARGET.arch}/usr/bin/tool"}),
    (f"versions/2026.11/compat/{TARGET.os}/{TARGET.arch}/var/db/pkg/app-misc/tool-1/SLOT", b"0\n", {}),
]  # fmt: skip


def take_tarball(publisher: PublishedLayer, file: Path, onto: str | None = None) -> Published:
    head = publisher.test.head(publisher.part) if onto else None
    return publish.from_tarball(publisher.layer, publisher.part, publisher.test, file, head)


def test_a_layer_built_elsewhere_is_taken_whole_and_never_over_another_unasked(publisher: PublishedLayer, tmp_path: Path) -> None:
    file = tarball(tmp_path / f"eessi-2026.11-compat-{TARGET.os}-{TARGET.arch}-1795000000.tar.gz", GOOD)
    result = take_tarball(publisher, file)
    assert result.section is not None
    assert [package.description for package in result.section.packages] == ["app-misc/tool 1"]
    paths = {entry.path for entry in tree(publisher)}  # type: ignore[attr-defined]
    assert {"usr/bin/tool", "usr/bin/link", "usr/bin/hard"} <= paths
    assert take_tarball(publisher, file).revision is None
    other = tarball(tmp_path / "other.tar", [*GOOD, (GOOD[0][0] + "2", b"more", {})], "w")
    assert "--onto 1" in refused(publisher, lambda: take_tarball(publisher, other))
    assert take_tarball(publisher, other, onto="head").revision is not None


@pytest.mark.parametrize(
    ("name", "content", "attributes"),
    [
        ("../escaped", b"x", {}),
        ("usr/../../escaped", b"x", {}),
        ("/tmp/escaped", b"x", {}),
        ("usr/null", None, {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}),
        ("usr/disk", None, {"type": tarfile.BLKTYPE, "devmajor": 8, "devminor": 0}),
        ("usr/fifo", None, {"type": tarfile.FIFOTYPE}),
        ("usr/hard", None, {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}),
        ("usr/hard", None, {"type": tarfile.LNKTYPE, "linkname": "../../etc/passwd"}),
        (GOOD[0][0], b"twice", {}),
    ],
)
def test_a_tarball_with_something_bad_in_it_is_refused_whole(
    publisher: PublishedLayer, tmp_path: Path, name: str, content: bytes | None, attributes: dict[str, object]
) -> None:
    file = tarball(tmp_path / "bad.tar.gz", [*GOOD, (name, content, attributes)])
    refused(publisher, lambda: take_tarball(publisher, file))
    assert not list(tmp_path.rglob("escaped"))
    assert not Path("/tmp/escaped").exists()


def test_a_tarball_that_leads_through_its_own_link_is_refused(publisher: PublishedLayer, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = ("out", None, {"type": tarfile.SYMTYPE, "linkname": str(outside)})
    file = tarball(tmp_path / "bad.tar.gz", [link, ("out/escaped", b"x", {}), *GOOD])
    refused(publisher, lambda: take_tarball(publisher, file))
    assert not list(outside.iterdir())


@pytest.mark.parametrize("compressor", ["gzip", "zstd", "xz"])
@pytest.mark.parametrize("part", [0.5, 0.99])
def test_a_truncated_tarball_is_refused_whole(publisher: PublishedLayer, tmp_path: Path, compressor: str, part: float) -> None:
    plain = tarball(tmp_path / "plain.tar", [*GOOD, (GOOD[0][0] + "3", os.urandom(100_000), {})], "w")
    file = tmp_path / "layer.tar.x"
    with plain.open("rb") as reading, file.open("wb") as writing:
        subprocess.run([compressor, "-c"], stdin=reading, stdout=writing, check=True)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * part)])
    refused(publisher, lambda: take_tarball(publisher, file))
    file.write_bytes(whole)
    assert take_tarball(publisher, file).revision is not None


def test_a_tarball_of_something_else_is_refused(publisher: PublishedLayer, tmp_path: Path) -> None:
    file = tarball(tmp_path / "other.tar.gz", [("README", b"x", {})])
    assert "it holds neither" in refused(publisher, lambda: take_tarball(publisher, file))
    file.write_bytes(b"no archive at all")
    refused(publisher, lambda: take_tarball(publisher, file))


def test_a_bomb_is_stopped_by_what_a_layer_can_be(
    publisher: PublishedLayer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "MAX_BYTES", 1 << 20)
    file = tarball(tmp_path / "bomb.tar.gz", [*GOOD, ("zeros", bytes(2 << 20), {})])
    assert "it holds more than" in refused(publisher, lambda: take_tarball(publisher, file))


def test_on_the_command_line_a_bundle_goes_from_one_machine_to_another(
    builder: PublishedLayer, publisher: PublishedLayer, tmp_path: Path
) -> None:
    file = tmp_path / "bundle"
    builder.run("publish", "--to-bundle", str(file))
    assert "not signed by a key that is trusted" in publisher.run("publish", "--from-bundle", str(file), code=5).stderr
    (publisher.root / "keys").mkdir()
    shutil.copy(builder.state / "keys/operator.pub", publisher.root / "keys/builder.pub")
    done = publisher.run("publish", "--from-bundle", str(file))
    assert "published to test: revision 1" in done.stdout
    assert "added       app-misc/tiny 1.0" in done.stderr, "what it changes is shown first"
