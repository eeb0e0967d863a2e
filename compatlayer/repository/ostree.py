"""The OSTree backend: a bare-user repository, one branch for each part, tags as refs below ``tags/``.

Sources: ostree(1), the libostree reference manual, https://ostreedev.github.io/ostree/. Owners are 0:0 whoever builds, so
the same tree has the same checksums everywhere. Names and link targets must be UTF-8: OSTree knows no other.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from compatlayer.declaration.model import Part
from compatlayer.errors import RepositoryError
from compatlayer.findings import Finding
from compatlayer.journal import Record
from compatlayer.repository.base import DamagedRevision, Message, Pending, Reclaimed, Revision, safe_line
from compatlayer.repository.ledger import Ledger, message_document, message_of, part_document
from compatlayer.repository.moved import moved
from compatlayer.repository.ostree_pipe import pipe
from compatlayer.repository.transaction import JournalledTransaction, reopened
from compatlayer.tree.beneath import ROOT, remove_tree
from compatlayer.tree.changes import ChangeList, Put
from compatlayer.tree.entries import Entry, Kind
from compatlayer.tree.manifest import Manifest

TAGS = "tags/"
CHECKOUTS = "checkouts"
LONGEST_HISTORY = 1000
_REF = re.compile(r"[\w.+-]+")
Root = list[str] | None


class OstreeRepository:
    """An OSTree repository at ``path``; made where there is none."""

    kind = "ostree"

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path.absolute()
        self.mount_path = PurePosixPath(self.path)
        # The place that OSTree leaves to others (ostree-repo.c: extensions/).
        self.ledger = Ledger(self.path / "extensions" / "compatlayer", name)
        self._ready = False

    def head(self, part: Part) -> Revision | None:
        """The newest revision of a part."""
        refs = self._refs()
        commit = refs.get(_branch(part))
        return self._revision(self._log(commit, 1)[0], refs) if commit else None

    def revisions(self, part: Part) -> Sequence[Revision]:
        """The branch's history, and what tags keep beyond it."""
        refs = self._refs()
        commits = self._log(refs.get(_branch(part)), LONGEST_HISTORY)
        known = {commit["id"] for commit in commits}
        for name, commit in refs.items():
            if name.startswith(TAGS) and commit not in known:
                known.add(commit)
                commits += self._log(commit, 1)
        wanted = part_document(part)
        found = [commit for commit in commits if commit["record"] and json.loads(commit["record"])["part"] == wanted]
        return sorted((self._revision(commit, refs) for commit in found), key=lambda one: -one.number)

    def manifest(self, revision: Revision, part: Part) -> Manifest:
        """The stored manifest; made again from the commit where it is missing (a repository that was pulled)."""
        if revision.root in self.ledger.manifests:
            return self.ledger.manifests.load(revision.root)
        manifest = Manifest.of(self.entries(revision.id, None))
        if manifest.root != revision.root:
            raise RepositoryError(
                f"revision {revision.number} of {part} in {self.name} is not what it says",
                cause=f"its tree has the root {manifest.root}, it was published with {revision.root}",
                hint="ostree fsck says whether objects are damaged; roll back to a revision that is whole",
            )
        return manifest

    @contextmanager
    def read(self, revision: Revision, part: Part) -> Iterator[Path]:
        """The part's tree, from the checkouts that are kept."""
        yield self.tree(revision, part)

    def tree(self, revision: Revision, part: Part) -> Path:
        """A checkout of hard links, made once for each revision; never write in it."""
        place = self.ledger.directory / CHECKOUTS / revision.id
        if place.is_dir():
            return place
        with self.ledger.scratch(CHECKOUTS) as scratch:
            self.ask("extract", root=self.commit_root(revision.id), paths=None, destination=str(scratch))
            try:
                scratch.rename(place)
            except OSError:
                if not place.is_dir():  # another process was not faster
                    raise
        return place

    def shows(self, revision: Revision, part: Part) -> bool:
        """Every commit that is kept can be read."""
        return True

    @contextmanager
    def source(self, revision: Revision, part: Part, paths: Sequence[str]) -> Iterator[Path]:
        """Only ``paths``, in a directory that goes away again."""
        with self.ledger.scratch() as place:
            self.ask("extract", root=self.commit_root(revision.id), paths=list(paths), destination=str(place))
            yield place

    def begin(self, part: Part, message: Message, expect: Revision | None) -> OstreeTransaction:
        """Open the transaction of a part that stands at ``expect``."""
        self._prepare()
        with ExitStack() as stack:
            stack.enter_context(self.ledger.hold(f"publishing {part} to {self.name}"))
            self.ledger.refuse_if_open()
            head = self.head(part)
            if (head and head.id) != (expect and expect.id):
                raise moved(self.name, part, head, expect)
            numbers = [revision.number for revision in self.revisions(part)]
            transaction = OstreeTransaction(self, part, message, max(numbers, default=0) + 1, stack)
            transaction.parent = head.id if head else None
            transaction.root = self.commit_root(head.id) if head else None
            transaction.start(self.manifest(head, part) if head else None, expect)
            transaction.keep(stack.pop_all())
            return transaction

    def resume(self) -> OstreeTransaction | None:
        """What a crash left open."""
        if not self.ledger.directory.is_dir():
            return None
        with ExitStack() as stack:
            stack.enter_context(self.ledger.hold(f"resuming a transaction in {self.name}"))
            records = self.ledger.journal.read()
            if not records:
                return None
            transaction = OstreeTransaction(self, *reopened(records), stack)
            transaction.reopen(records)
            transaction.keep(stack.pop_all())
            return transaction

    def pending(self) -> Pending | None:
        """What is under way."""
        return self.ledger.pending()

    def tags(self) -> Mapping[str, str]:
        """All tags."""
        return {name.removeprefix(TAGS): commit for name, commit in self._refs().items() if name.startswith(TAGS)}

    def tag(self, revision: Revision, name: str) -> None:
        """Give a revision one more name."""
        there = self.tags().get(name)
        if there is not None and there != revision.id:
            raise RepositoryError(f"the tag {name} is in use in {self.name}", cause=f"it names {there[:12]}")
        self.ask("set_ref", ref=f"{TAGS}{name}", commit=revision.id)

    def untag(self, name: str) -> None:
        """Forget a tag."""
        if name not in self.tags():
            raise RepositoryError(f"there is no tag {name} in {self.name}")
        self.ask("set_ref", ref=f"{TAGS}{name}", commit=None)

    def collect_garbage(self, keep: Sequence[Revision]) -> Reclaimed:
        """Prune, with a passing tag for each of ``keep``; checkouts and manifests of what is gone go too."""
        with self.ledger.hold(f"collecting garbage in {self.name}"):
            self.ledger.refuse_if_open()
            passing = [f"compatlayer-keep/{revision.id}" for revision in keep]
            for name, revision in zip(passing, keep, strict=True):
                self.ask("set_ref", ref=name, commit=revision.id)
            try:
                pruned = self.ask("prune")
            finally:
                for name in passing:
                    self.ask("set_ref", ref=name, commit=None)
            kept = {revision.id for revision in keep} | set(self._refs().values())
            checkouts = self.ledger.directory / CHECKOUTS
            for name in os.listdir(checkouts) if checkouts.is_dir() else ():
                if name not in kept and "." not in name:  # with a point: somebody's who is at it
                    remove_tree(checkouts / name)
            commits = [commit for one in sorted(kept) for commit in self._log(one, 1)]
            self.ledger.manifests.keep_only([json.loads(one["record"])["root"] for one in commits if one["record"]])
            return Reclaimed(pruned["objects"], pruned["size_bytes"])

    def check(self) -> Sequence[Finding]:
        """Every object of every head and tag."""
        commits = sorted(set(self._refs().values()))
        bad = self.ask("fsck", commits=commits)
        return [DamagedRevision(path=path, expected="an object that fits its checksum", actual=said) for path, said in bad]

    def warnings(self) -> Sequence[Finding]:
        """Nothing of an OSTree repository expires."""
        return []

    def entries(self, commit: str, paths: Sequence[str] | None) -> Iterator[Entry]:
        """What a commit holds, read back."""
        yield from self.entries_of(self.commit_root(commit), paths)

    def entries_of(self, root: Root, paths: Sequence[str] | None) -> Iterator[Entry]:
        """What a tree holds, read back."""
        answer = self.ask("entries", root=root, paths=None if paths is None else list(paths))
        for path, kind, mode, size_bytes, sha256, target, xattrs in answer:
            values = tuple((name, bytes.fromhex(value)) for name, value in xattrs)
            yield Entry(path, Kind(kind), mode, size_bytes, sha256, target, values)

    def commit_root(self, commit: str) -> Root:
        """The checksums of a commit's root directory."""
        return list(self.ask("roots", commit=commit))

    def _refs(self) -> dict[str, str]:
        if not (self.path / "config").exists():
            return {}
        return dict(self.ask("refs"))

    def _log(self, commit: str | None, limit: int) -> list[dict[str, Any]]:
        return list(self.ask("log", commit=commit, limit=limit)) if commit else []

    def _revision(self, commit: Mapping[str, Any], refs: Mapping[str, str]) -> Revision:
        if not commit["record"]:
            raise RepositoryError(
                f"the commit {commit['id'][:12]} in {self.name} was not made by compatlayer",
                cause=f"its subject is: {commit['subject'][:200]}",
                hint="find out who made it; `ostree reset` brings the branch back to its parent",
            )
        record = json.loads(commit["record"])
        message = message_of(record)
        tags = tuple(
            sorted(name.removeprefix(TAGS) for name, one in refs.items() if name.startswith(TAGS) and one == commit["id"])
        )
        created = datetime.fromtimestamp(commit["time"], UTC)
        return Revision(commit["id"], record["number"], tags, created, message.line, record["root"], message.origin)

    def _prepare(self) -> None:
        if not self._ready:
            self.ask("init")
            self._ready = True

    def ask(self, operation: str, **request: Any) -> Any:
        return pipe().ask(self.name, operation, path=str(self.path), **request)


class OstreeTransaction(JournalledTransaction):
    """Objects are written as they come; no ref leads to them before ``publish`` sets one, atomically."""

    def __init__(self, repository: OstreeRepository, part: Part, message: Message, number: int, held: ExitStack) -> None:
        super().__init__(repository.ledger, part, message, number, held)
        self.repository = repository
        self.parent: str | None = None
        self.root: Root = None

    def keep(self, held: ExitStack) -> None:
        """Take the lock over."""
        self._held = held

    def find_published(self, records: Sequence[Record]) -> Revision | None:
        """It came to be when the branch stands at the commit that was announced."""
        announced = {record.data.get("commit") for record in records if record.step == "publish"}
        head = self.repository.head(self.part)
        if head is None or head.id not in announced:
            return None
        tag = next(record.data["tag"] for record in reversed(records) if record.step == "publish")
        if tag is not None and tag not in head.tags:
            self.repository.tag(head, tag)  # the crash came between the two refs
        return head

    def _open(self) -> None:
        """Nothing has to be opened: objects without a ref are nobody's."""

    def _apply(self, changes: ChangeList, source: Path, after: Manifest) -> None:
        puts = [_put(put, after) for put in changes.puts]
        empty = ROOT in changes.opaque
        if not empty and changes.opaque:
            raise RepositoryError("a change list with opaque directories must be reduced first", hint="tree.between does that")
        self.root = self.repository.ask(
            "write", root=self.root, source=str(source.absolute()), puts=puts, deletes=list(changes.deletes), empty=empty
        )

    def _reread(self, paths: Iterable[str]) -> Iterator[Entry]:
        return self.repository.entries_of(self.root, list(paths))

    def _prepare(self, tag: str | None, manifest: Manifest) -> dict[str, Any]:
        if tag is not None and tag in self.repository.tags():
            raise RepositoryError(f"the tag {tag} is in use in {self.repository.name}")
        record = {
            "part": part_document(self.part),
            "number": self.number,
            "root": manifest.root,
            **message_document(self.message),
        }
        commit = self.repository.ask(
            "commit",
            root=self.root,
            parent=self.parent,
            subject=safe_line(self.message.line),
            record=json.dumps(record, sort_keys=True),
            time=int(time.time()),
        )
        return {"commit": commit}

    def _publish(self) -> Revision:
        announced = self.notes["publish"]
        head = self.repository.head(self.part)
        if (head and head.id) != self.parent:
            # Somebody moved the branch without our lock.
            raise moved(self.repository.name, self.part, head, None)
        self.repository.ask("set_ref", ref=_branch(self.part), commit=announced["commit"])
        if announced["tag"] is not None:
            self.repository.ask("set_ref", ref=f"{TAGS}{announced['tag']}", commit=announced["commit"])
        head = self.repository.head(self.part)
        if head is None or head.id != announced["commit"]:
            raise RepositoryError(f"{self.repository.name} changed while {self.part} was published")
        return head

    def _abort(self) -> None:
        """Objects that nobody needs go with the next garbage collection."""


def _branch(part: Part) -> str:
    names = (part.layer, part.version, part.target.name)
    for name in names:
        if not _REF.fullmatch(name):
            raise RepositoryError(f"{name!r} cannot be part of an OSTree branch name")
    return "/".join(names)


def _put(put: Put, after: Manifest) -> list[Any]:
    """What the helper needs to know of one path."""
    try:
        put.path.encode()
    except UnicodeEncodeError as error:
        raise RepositoryError(f"{put.path!r} cannot be stored", cause="OSTree's names are UTF-8") from error
    entry = after.get(put.path)
    if entry is None or entry.kind is not put.kind:
        raise RepositoryError(f"{put.path} is not what the manifest says")
    try:
        entry.target.encode()
    except UnicodeEncodeError as error:
        raise RepositoryError(f"{put.path} cannot be stored", cause="OSTree's link targets are UTF-8") from error
    return [put.path, put.kind.value, entry.mode, entry.target, [[name, value.hex()] for name, value in entry.xattrs]]
