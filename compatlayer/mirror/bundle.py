"""A mirror in one file, for a site without a network: a plain tar archive, read strictly, accepted whole or not at all.

    compatlayer-mirror.json     what is inside: names, sizes, hashes, origins
    content/<BLAKE2B>           each content once (the first 64 hexadecimal digits of its BLAKE2B), in the order of the list
    SHA512                      over every byte before this member's header

``tar -tf`` lists it, but only ``import_bundle`` reads it: each header must be just the one that the list announces. A member of
any other kind or name (a link, a device, ``..``, an absolute path) therefore gets the bundle refused, and so does a missing end.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from compatlayer.errors import DistfileError
from compatlayer.mirror import hashes
from compatlayer.mirror.distfiles import Restrictions, Wanted
from compatlayer.mirror.index import Entry
from compatlayer.mirror.store import Store, cannot_write, is_name
from compatlayer.mirror.tree_bundles import TreeBundle, TreeBundles
from compatlayer.progress import Monitor, StepFinished, StepStarted, Transferred

LIST, SEAL = "compatlayer-mirror.json", "SHA512"
_FORMAT = 1
_BLOCK = tarfile.BLOCKSIZE
_LIST_BYTES = 1 << 28
_DISTFILE, _TREE = "distfile", "tree"
_SCRATCH, _NAMED = "import-", "named"


@dataclass(frozen=True, slots=True)
class Item:
    """One file of a bundle: a distfile, or a git bundle of an ebuild tree."""

    kind: str
    name: str
    size_bytes: int
    hashes: Mapping[str, str]
    restrict: Restrictions
    url: str = ""

    @property
    def member(self) -> str:
        """The archive member that holds its content."""
        return f"content/{self.hashes['BLAKE2B'][:64]}"


@dataclass(frozen=True, slots=True)
class Carried:
    """What a bundle carries, or carried: number of files and trees, and their bytes. ``left_out`` because of RESTRICT; ``aside``
    because the store had another content by that name.
    """

    files: int
    trees: int
    bytes: int
    left_out: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()


def export_bundle(store: Store, file: Path, monitor: Monitor, *, restricted: bool = False) -> Carried:
    """Write the store to ``file``, under another name until it is whole. Every file is hashed while it is written.

    What RESTRICT keeps off mirrors is left out unless ``restricted``. Raises ``DistfileError`` when a file of the store is not
    what it should be, or when ``file`` cannot be written.
    """
    entries = list(store.index.entries().values())
    left_out = tuple(entry.name for entry in entries if entry.restrict.mirror and not restricted)
    items = {
        store.path(entry.name, entry.restrict): _item(store.path(entry.name, entry.restrict), _DISTFILE, entry)
        for entry in entries
        if entry.name not in left_out
    }
    items |= {store.trees / one.name: _tree(store.trees / one.name, one) for one in TreeBundles(store).known().values()}
    beside = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with beside.open("xb") as stream:
            _write(stream, items, monitor)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)
    except OSError as error:
        raise DistfileError(f"the bundle {file} cannot be written", cause=str(error)) from error
    finally:
        beside.unlink(missing_ok=True)
    return _carried(items.values(), left_out=left_out)


def import_bundle(store: Store, file: Path, monitor: Monitor) -> Carried:
    """Take everything in ``file`` into the store, if all of it is as its own list and seal say.

    Files that are there stay: a Manifest has vouched for them. Where the bundle has another content by their name, that goes to
    quarantine, from where a fill takes it if a Manifest wants it. Raises ``DistfileError``, naming the first thing that is wrong,
    with the store as it was.
    """
    with store.lock("mirror import"):
        for left in store.incoming.glob(f"{_SCRATCH}*"):  # of an import that was killed
            shutil.rmtree(left)
        scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=store.incoming))
        (scratch / _NAMED).mkdir()
        try:
            try:
                with file.open("rb") as stream:
                    items = _Reader(stream, scratch, monitor).read()
            except (_Refused, OSError) as error:
                if isinstance(error, OSError) and error.filename != str(file):
                    raise cannot_write(store.root, error) from error
                raise _refusal(file, error) from error
            aside = tuple(item.name for item in items if not _take(store, item, scratch))
            store.sync()
        finally:
            shutil.rmtree(scratch)
    return _carried(items, aside=aside)


class _Refused(Exception):
    """What is wrong with a bundle."""


def _item(path: Path, kind: str, entry: Entry | None) -> Item:
    """A file as it is now: hashed, and compared with what the index says."""
    names = {"BLAKE2B", "SHA512", *(entry.hashes if entry else ())}
    try:
        size, digests = hashes.of_file(path, names)
    except OSError as error:
        raise _damaged(path, str(error)) from error
    if entry is not None:
        wrong = hashes.difference(size, digests, entry.size_bytes, entry.hashes)
        if wrong:
            raise _damaged(path, wrong)
    return Item(kind, path.name, size, digests, entry.restrict if entry else Restrictions(), entry.url if entry else "")


def _tree(path: Path, listed: TreeBundle) -> Item:
    """A git bundle as it is now, compared with what the trees' Manifest says."""
    found = _item(path, _TREE, None)
    wrong = hashes.difference(found.size_bytes, found.hashes, listed.size_bytes, listed.hashes)
    if wrong:
        raise _damaged(path, wrong)
    return found


def _write(stream: IO[bytes], items: Mapping[Path, Item], monitor: Monitor) -> None:
    seal = hashlib.sha512()

    def put(block: bytes) -> None:
        seal.update(block)
        stream.write(block)

    document = {
        "format": _FORMAT,
        "files": [
            {
                "kind": item.kind,
                "name": item.name,
                "size_bytes": item.size_bytes,
                "hashes": dict(item.hashes),
                "restrict": str(item.restrict).split(),
                "url": item.url,
            }
            for item in items.values()
        ],
    }
    listed = json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
    put(_header(LIST, len(listed)) + listed + _padding(len(listed)))
    total = sum(item.size_bytes for item in items.values())
    written: set[str] = set()
    done_bytes = 0
    monitor.tell(StepStarted("writing the bundle", len(items)))
    for number, (path, item) in enumerate(items.items(), start=1):
        if item.member not in written:
            written.add(item.member)
            put(_header(item.member, item.size_bytes))
            check = hashlib.blake2b()
            with path.open("rb") as source:
                while block := source.read(hashes.BLOCK_BYTES):
                    check.update(block)
                    put(block)
            if check.hexdigest() != item.hashes["BLAKE2B"]:
                raise _damaged(path, "it changed while it was read")
            put(_padding(item.size_bytes))
        done_bytes += item.size_bytes
        monitor.tell(Transferred(item.name, number, len(items), done_bytes, total))
    digest = seal.hexdigest().encode() + b"\n"
    stream.write(_header(SEAL, len(digest)) + digest + _padding(len(digest)) + bytes(2 * _BLOCK))
    monitor.tell(StepFinished("writing the bundle", 0.0))


class _Reader:
    """Reads a bundle once, from its first byte to its last; everything it meets must be what the list announced."""

    def __init__(self, stream: IO[bytes], scratch: Path, monitor: Monitor) -> None:
        self.stream, self.scratch, self.monitor = stream, scratch, monitor
        self.seal = hashlib.sha512()

    def read(self) -> list[Item]:
        size = self._member(LIST)
        if size > _LIST_BYTES:
            raise _Refused(f"its list has {size} bytes")
        items = list(_items(b"".join(self._content(size))))
        self.monitor.tell(StepStarted("reading the bundle", len(items)))
        total = sum(item.size_bytes for item in items)
        done, seen = 0, set()
        for number, item in enumerate(items, start=1):
            if item.member not in seen:
                seen.add(item.member)
                self._extract(item)
            done += item.size_bytes
            self.monitor.tell(Transferred(item.name, number, len(items), done, total))
        expected = self.seal.hexdigest().encode() + b"\n"
        if b"".join(self._content(self._member(SEAL, len(expected)))) != expected:
            raise _Refused("its seal does not fit: it was altered")
        if self.stream.read() != bytes(2 * _BLOCK):
            raise _Refused("it does not end where its archive ends")
        self.monitor.tell(StepFinished("reading the bundle", 0.0))
        return items

    def _extract(self, item: Item) -> None:
        self._member(item.member, item.size_bytes)
        digester = hashes.Digester(item.hashes)
        with (self.scratch / item.member.partition("/")[2]).open("xb") as target:
            for block in self._content(item.size_bytes):
                digester.update(block)
                target.write(block)
        wrong = hashes.difference(item.size_bytes, digester.digests(), item.size_bytes, item.hashes)
        if wrong:
            raise _Refused(f"{item.name}: {wrong}")

    def _member(self, name: str, size: int | None = None) -> int:
        """The next header, which must be the one that is expected, to the byte; returns the member's size."""
        header = self._take(_BLOCK)
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise _Refused(f"{name} should come here: {error}") from error
        if header != _header(name, info.size) or (size is not None and info.size != size):
            kind = "a file" if info.isreg() else "no plain file"
            raise _Refused(f"{name} should come here, and {info.name!r} does ({kind}, {info.size} bytes)")
        return info.size

    def _content(self, size: int) -> Iterator[bytes]:
        left = size
        while left:
            block = self._take(min(left, hashes.BLOCK_BYTES))
            left -= len(block)
            yield block
        if any(self._take(len(_padding(size)))):
            raise _Refused("something is hidden between its members")

    def _take(self, count: int) -> bytes:
        block = self.stream.read(count)
        if len(block) != count:
            raise _Refused("it ends too early: it was cut off")
        self.seal.update(block)
        return block


def _items(listed: bytes) -> Iterator[Item]:
    """The list, each entry checked: it comes from outside."""
    try:
        document = json.loads(listed)
        if document["format"] != _FORMAT:
            raise _Refused(f"its format is {document['format']!r}; this version of compatlayer reads {_FORMAT}")
        names: set[tuple[str, str]] = set()
        for raw in document["files"]:
            item = _checked(raw)
            if (item.kind, item.name) in names:
                raise _Refused(f"it lists {item.name!r} twice")
            names.add((item.kind, item.name))
            yield item
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _Refused(f"its list cannot be understood: {error!r}") from error


def _checked(raw: Mapping[str, Any]) -> Item:
    name, size, digests, words = raw["name"], raw["size_bytes"], raw["hashes"], raw["restrict"]
    if raw["kind"] not in (_DISTFILE, _TREE) or not isinstance(name, str) or not is_name(name):
        raise _Refused(f"{name!r} is not a name that a mirror can keep")
    if raw["kind"] == _TREE and not name.endswith(".bundle"):
        raise _Refused(f"{name!r} is no git bundle")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _Refused(f"{name}: its size is {size!r}")
    lengths = {"BLAKE2B": 128, "SHA512": 128}
    if any(len(digests.get(one, "")) != length or not _is_hex(digests[one]) for one, length in lengths.items()):
        raise _Refused(f"{name}: BLAKE2B and SHA512 are not given")
    if any(not isinstance(value, str) for value in digests.values()) or set(digests) - hashes.available():
        raise _Refused(f"{name}: a hash that cannot be computed here: {', '.join(sorted(set(digests) - hashes.available()))}")
    restrict = Restrictions("fetch" in words, "mirror" in words, "bindist" in words)
    return Item(raw["kind"], name, size, digests, restrict, str(raw["url"]))


def _take(store: Store, item: Item, scratch: Path) -> bool:
    """Give one verified file its place, unless the store has it; False when it has another by that name."""
    source = scratch / item.member.partition("/")[2]
    if item.kind == _TREE:
        bundles = TreeBundles(store)
        if not bundles.has(item.name):
            target = store.trees / item.name
            if target.exists():
                store.quarantine(target, "not listed")
            os.link(source, target)
            bundles.enlist(target)
        return True
    # The same content may have several names: each gets a link of its own, and the scratch directory keeps the first.
    temporary = scratch / _NAMED / item.name
    os.link(source, temporary)
    wanted = Wanted(item.name, item.size_bytes, item.hashes, restrict=item.restrict)
    entry = store.index.get(item.name)
    if entry is not None and store.is_intact(entry):
        if entry.size_bytes == item.size_bytes and all(
            item.hashes.get(name, value) == value for name, value in entry.hashes.items()
        ):
            return True
        store.quarantine(temporary, "a bundle has this by that name")
        return False
    if not store.settle(wanted):
        store.accept(temporary, wanted, item.hashes, origin="bundle", url=item.url)
    return True


def _header(name: str, size: int) -> bytes:
    """The one header a member of that name and size may have: a plain file of nobody's, at the beginning of time."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    # Base 256 for what octal digits cannot hold: 8 GiB and more.
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _is_hex(text: str) -> bool:
    return all(letter in "0123456789abcdef" for letter in text)


def _carried(items: Iterable[Item], *, left_out: tuple[str, ...] = (), aside: tuple[str, ...] = ()) -> Carried:
    found = list(items)
    trees = sum(item.kind == _TREE for item in found)
    return Carried(len(found) - trees, trees, sum(item.size_bytes for item in found), left_out, aside)


def _refusal(file: Path, error: Exception) -> DistfileError:
    return DistfileError(
        f"the bundle {file} is refused, and nothing of it was taken",
        cause=str(error),
        hint="export it again, and carry it over whole",
    )


def _damaged(path: Path, what: str) -> DistfileError:
    return DistfileError(
        f"{path.name} is not what it should be",
        cause=f"{path}: {what}",
        hint="compatlayer mirror verify --repair, then export again",
    )
