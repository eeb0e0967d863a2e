"""The CernVM-FS backend: a publisher's repository, every part at its own path in it.

A revision of a part is a named snapshot ``<version>-<target>.<number>``; its identity is the repository's root hash. The
description carries the manifest's root, so that it can be found again on another publisher; everything else that is known
of a revision lies in the ledger, in the state directory. Source: https://cvmfs.readthedocs.io/, and what ``cvmfs_server``
does (``cvmfs_server.py``).

A part's content at an earlier snapshot can be read where the repository shows ``.cvmfs/snapshots``
(``CVMFS_VIRTUAL_DIR=true``, off by default); otherwise only its newest one can.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from compatlayer.declaration.model import Part
from compatlayer.errors import RepositoryError
from compatlayer.findings import Finding, Severity
from compatlayer.journal import Record, write_atomically
from compatlayer.repository.base import DamagedRevision, Message, Origin, Pending, Reclaimed, Revision, safe_line, tag_of
from compatlayer.repository.cvmfs_server import CvmfsServer, Tagged
from compatlayer.repository.ledger import Ledger, message_document, message_of, part_document
from compatlayer.repository.moved import moved
from compatlayer.repository.transaction import JournalledTransaction, reopened
from compatlayer.tree.apply import apply
from compatlayer.tree.beneath import Beneath
from compatlayer.tree.changes import ChangeList
from compatlayer.tree.entries import Entry, entry_at
from compatlayer.tree.manifest import Manifest

DIRTAB = ".cvmfsdirtab"
WARN_BEFORE = timedelta(days=7)
_ROOT = re.compile(r"root=([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class WhitelistExpires(Finding):
    """The repository's whitelist is about to expire; then clients refuse it, and nothing can be published.

    A whitelist is valid for a month. Renew it with the master key: `cvmfs_server resign`, best by a timer.
    """

    identifier: ClassVar[str] = "whitelist-expires"
    check: ClassVar[str] = "repository"
    severity: ClassVar[Severity] = Severity.WARNING


class CvmfsRepository:
    """The repository ``domain`` on this publisher; ``ledger`` is a directory of the state directory."""

    kind = "cvmfs"

    def __init__(
        self,
        name: str,
        domain: str,
        ledger: Path,
        *,
        program: str = "cvmfs_server",
        mounts: Path = Path("/cvmfs"),
        storage: Path = Path("/srv/cvmfs"),
        settings: Path = Path("/etc/cvmfs/repositories.d"),
    ) -> None:
        self.name = name
        self.domain = domain
        self.mount_path = PurePosixPath("/cvmfs") / domain
        self.mounted = mounts / domain
        self.storage = storage / domain
        self.settings = settings / domain
        self.server = CvmfsServer(domain, program)
        self.ledger = Ledger(ledger, name)

    def head(self, part: Part) -> Revision | None:
        """The newest revision of a part."""
        found = self.revisions(part)
        return found[0] if found else None

    def revisions(self, part: Part) -> Sequence[Revision]:
        """The part's named snapshots."""
        tags = self.server.tags()
        own = [tag for tag in tags if _number(tag.name, part) is not None]
        return sorted((self._revision(tag, part, tags) for tag in own), key=lambda one: -one.number)

    def manifest(self, revision: Revision, part: Part) -> Manifest:
        """The stored manifest; made again by a scan where this publisher does not have it."""
        if revision.root in self.ledger.manifests:
            return self.ledger.manifests.load(revision.root)
        manifest = Manifest.of_tree(self.tree(revision, part))
        if manifest.root != revision.root:
            raise RepositoryError(
                f"revision {revision.number} of {part} in {self.name} is not what it says",
                cause=f"its tree has the root {manifest.root}, it was published with {revision.root}",
                hint="it was changed behind our back: cvmfs_server tag -l, and compatlayer rollback",
            )
        return manifest

    def tree(self, revision: Revision, part: Part) -> Path:
        """Where the part's tree can be read. Raises ``RepositoryError`` for an earlier revision that is shown nowhere."""
        below = self.below(part)
        for tag in revision.tags:
            snapshot = self.mounted / ".cvmfs" / "snapshots" / tag / below
            if snapshot.is_dir():
                return snapshot
        head = self.head(part)
        if head is not None and head.id == revision.id:
            return self.mounted / below
        raise RepositoryError(
            f"revision {revision.number} of {part} cannot be read in {self.name}",
            cause=f"{self.mounted}/.cvmfs/snapshots does not show it",
            hint="set CVMFS_VIRTUAL_DIR=true in its server.conf and publish once",
        )

    @contextmanager
    def read(self, revision: Revision, part: Part) -> Iterator[Path]:
        """The part's tree, where it is mounted."""
        yield self.tree(revision, part)

    @contextmanager
    def source(self, revision: Revision, part: Part, paths: Sequence[str]) -> Iterator[Path]:
        """The part's tree, where it is mounted: nothing has to be copied."""
        yield self.tree(revision, part)

    def begin(self, part: Part, message: Message, expect: Revision | None) -> CvmfsTransaction:
        """Open the transaction of a part that stands at ``expect``."""
        with ExitStack() as stack:
            stack.enter_context(self.ledger.hold(f"publishing {part} to {self.name}"))
            self.ledger.refuse_if_open()
            self._refuse_expired()
            revisions = self.revisions(part)
            head = revisions[0] if revisions else None
            if (head and head.id) != (expect and expect.id):
                raise moved(self.name, part, head, expect)
            if head is not None:
                self._refuse_changed(head, part)
            transaction = CvmfsTransaction(self, part, message, head.number + 1 if head else 1, stack)
            transaction.start(self.manifest(head, part) if head else None, expect)
            transaction.keep(stack.pop_all())
            return transaction

    def resume(self) -> CvmfsTransaction | None:
        """What a crash left open, here or in ``cvmfs_server``."""
        if not self.ledger.directory.is_dir():
            return None
        with ExitStack() as stack:
            stack.enter_context(self.ledger.hold(f"resuming a transaction in {self.name}"))
            records = self.ledger.journal.read()
            if not records:
                return None
            transaction = CvmfsTransaction(self, *reopened(records), stack)
            transaction.reopen(records)
            transaction.keep(stack.pop_all())
            return transaction

    def pending(self) -> Pending | None:
        """What is under way."""
        return self.ledger.pending()

    def tags(self) -> Mapping[str, str]:
        """All named snapshots but CernVM-FS's own."""
        return {tag.name: tag.root_hash for tag in self.server.tags() if not tag.name.startswith("trunk")}

    def tag(self, revision: Revision, name: str) -> None:
        """Give a revision one more name."""
        there = self.tags().get(name)
        if there == revision.id:
            return
        if there is not None:
            raise RepositoryError(f"the tag {name} is in use in {self.name}", cause=f"it names {there[:12]}")
        self.server.tag(name, revision.id, f"root={revision.root} {revision.message}")

    def untag(self, name: str) -> None:
        """Forget a tag."""
        if name not in self.tags():
            raise RepositoryError(f"there is no tag {name} in {self.name}")
        self.server.untag(name)

    def collect_garbage(self, keep: Sequence[Revision]) -> Reclaimed:
        """Let ``cvmfs_server`` collect what no tag names; it tells no numbers. ``keep`` must have tags."""
        if nameless := [revision for revision in keep if not revision.tags]:
            raise RepositoryError(f"revision {nameless[0].number} would be lost: it has no tag", hint="give it one first")
        with self.ledger.hold(f"collecting garbage in {self.name}"):
            self.ledger.refuse_if_open()
            self.server.collect()
        return Reclaimed(0, 0)

    def check(self) -> Sequence[Finding]:
        """What ``cvmfs_server check`` says, and a whitelist that is about to expire."""
        found: list[Finding] = []
        if said := self.server.check():
            found.append(DamagedRevision(path=self.domain, expected="no problems found", actual=said))
        expires = self.whitelist_expires()
        if expires is not None and expires - datetime.now(UTC) < WARN_BEFORE:
            found.append(
                WhitelistExpires(
                    path=self.domain, expected=f"more than {WARN_BEFORE.days} days", actual=f"it expires {expires:%Y-%m-%d %H:%M}"
                )
            )
        return found

    def newer_than(self, tag: str) -> tuple[str, ...]:
        """The tags that rewinding the whole repository to ``tag`` would take away. Raises ``RepositoryError``."""
        tags = [one for one in self.server.tags() if not one.name.startswith("trunk")]
        target = next((one for one in tags if one.name == tag), None)
        if target is None:
            raise RepositoryError(f"there is no tag {tag} in {self.name}", hint="compatlayer history --tags")
        return tuple(one.name for one in tags if one.revision > target.revision)

    def rewind(self, tag: str) -> None:
        """CernVM-FS's own rollback: every part, and every newer tag is lost. Not a revision of any part."""
        with self.ledger.hold(f"rewinding {self.name}"):
            self.ledger.refuse_if_open()
            self.server.rollback(tag)

    def whitelist_expires(self) -> datetime | None:
        """When the whitelist expires (its line ``E<time>``), where this machine has its file."""
        try:
            lines = (self.storage / ".cvmfswhitelist").read_bytes().splitlines()
            stamp = next(line[1:] for line in lines[:4] if re.fullmatch(rb"E\d{14}", line))
            return datetime.strptime(stamp.decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except (OSError, StopIteration, ValueError):
            return None

    def below(self, part: Part) -> PurePosixPath:
        """The part's path in the repository. Raises ``RepositoryError`` for a prefix elsewhere."""
        if not part.prefix.is_relative_to(self.mount_path):
            raise RepositoryError(
                f"{part} does not belong into {self.name}", cause=f"its prefix {part.prefix} is not below {self.mount_path}"
            )
        return part.prefix.relative_to(self.mount_path)

    def leased(self, part: Part) -> str:
        """The directory to lease behind a gateway: the nearest to the part that exists. Empty on a Stratum 0."""
        try:
            behind_gateway = "CVMFS_UPSTREAM_STORAGE=gw," in (self.settings / "server.conf").read_text(errors="replace")
        except OSError:
            return ""
        if not behind_gateway:
            return ""
        below = self.below(part)
        return next((str(path) for path in (below, *below.parents) if path.parts and (self.mounted / path).is_dir()), "")

    def record_file(self, tag: str) -> Path:
        """Where the ledger keeps what is known of a revision."""
        return self.ledger.directory / "revisions" / f"{tag}.json"

    def _revision(self, tag: Tagged, part: Part, tags: Sequence[Tagged]) -> Revision:
        number = _number(tag.name, part)
        assert number is not None, "only the part's own tags come here"
        names = tuple(sorted(one.name for one in tags if one.root_hash == tag.root_hash and not one.name.startswith("trunk")))
        root = _ROOT.search(tag.description)
        try:
            record = json.loads(self.record_file(tag.name).read_bytes())
            message = message_of(record)
        except OSError:
            # Published by another publisher: the description is all there is.
            message = Message(tag.description, Origin("unknown"))
        except (ValueError, KeyError, TypeError) as error:
            raise RepositoryError(f"{self.record_file(tag.name)} is damaged", cause=repr(error)[:200]) from error
        if root is None:
            raise RepositoryError(
                f"the snapshot {tag.name} in {self.name} was not made by compatlayer",
                cause=f"its description is: {tag.description[:200]}",
                hint="rename or remove that tag",
            )
        return Revision(tag.root_hash, number, names, tag.created_at_utc, message.line, root[1], message.origin)

    def _refuse_expired(self) -> None:
        trouble = self.server.health().trouble
        if "whitelist expired" in trouble:
            raise RepositoryError(
                f"the whitelist of {self.domain} has expired", hint="renew it with the master key: cvmfs_server resign"
            )

    def _refuse_changed(self, head: Revision, part: Part) -> None:
        """Other parts may have moved on; this one must be what we published."""
        below = f"/{self.below(part)}/"
        foreign = [path for path in self.server.changed(tag_of(part, head.number)) if path.startswith(below)]
        if foreign:
            raise RepositoryError(
                f"{part} was changed in {self.name} behind our back",
                cause="\n".join(foreign[:5]),
                hint="find out by whom: cvmfs_server tag -l; publish or roll back what should be there",
            )


class CvmfsTransaction(JournalledTransaction):
    """Changes go into the mounted repository, path by path; ``publish`` makes the snapshot."""

    def __init__(self, repository: CvmfsRepository, part: Part, message: Message, number: int, held: ExitStack) -> None:
        super().__init__(repository.ledger, part, message, number, held)
        self.repository = repository
        self._changed: set[str] = set()

    def keep(self, held: ExitStack) -> None:
        """Take the lock over."""
        self._held = held

    @property
    def place(self) -> Path:
        """The part's tree in the mounted repository."""
        return self.repository.mounted / self.repository.below(self.part)

    def find_published(self, records: Sequence[Record]) -> Revision | None:
        """It came to be when the snapshot that was announced is there."""
        tags = {record.data["tag"] for record in records if record.step == "publish"}
        return next((one for one in self.repository.revisions(self.part) if tags & set(one.tags)), None)

    def _open(self) -> None:
        self.repository.server.transaction(self.repository.leased(self.part))

    def _apply(self, changes: ChangeList, source: Path, after: Manifest) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        apply(changes, source, self.place)
        self._changed.update(put.path for put in changes.puts)
        self._changed.update(changes.deletes)
        if not self.repository.leased(self.part):
            self._keep_catalogs_small()

    def _reread(self, paths: Iterable[str]) -> Iterator[Entry]:
        with Beneath(self.place) as tree:
            for path in paths:
                if tree.lstat(path) is not None:
                    yield entry_at(tree, path)

    def _prepare(self, tag: str | None, manifest: Manifest) -> dict[str, Any]:
        if tag is None:
            raise RepositoryError("a CernVM-FS revision needs a tag: without one nobody finds it again")
        if tag in self.repository.tags():
            raise RepositoryError(f"the tag {tag} is in use in {self.repository.name}")
        record = {"part": part_document(self.part), "root": manifest.root, **message_document(self.message)}
        write_atomically(self.repository.record_file(tag), json.dumps(record, sort_keys=True).encode() + b"\n")
        return {"description": safe_line(f"root={manifest.root} {self.message.line}")}

    def _publish(self) -> Revision:
        announced = self.notes["publish"]
        self.repository.server.publish(announced["tag"], announced["description"])
        revision = next((one for one in self.repository.revisions(self.part) if announced["tag"] in one.tags), None)
        if revision is None:
            raise RepositoryError(f"{self.repository.name} was published, and yet has no snapshot {announced['tag']}")
        assert self._manifest is not None, "what is published has a tree"
        # Once more, from what clients will see: content has been lost in publishing before.
        found = {entry.path: entry for entry in self._reread(sorted(self._changed))}
        lost = [path for path in sorted(self._changed) if found.get(path) != self._manifest.get(path)]
        if lost:
            raise RepositoryError(
                f"{self.part} was published to {self.repository.name} and reads back different",
                cause="\n".join(lost[:5]),
                hint=f"go back at once: compatlayer rollback {self.number - 1}",
            )
        return revision

    def _abort(self) -> None:
        self.repository.server.abort()

    def _keep_catalogs_small(self) -> None:
        """Have nested catalogs made for the part and its large directories: one catalog holds 200,000 entries at most."""
        below = self.repository.below(self.part)
        wanted = [f"/{below}", f"/{below}/usr", f"/{below}/usr/*", f"/{below}/var/db/pkg"]
        file = self.repository.mounted / DIRTAB
        try:
            lines = file.read_text(errors="surrogateescape").splitlines()
        except FileNotFoundError:
            lines = []
        if missing := [line for line in wanted if line not in lines]:
            file.write_text("\n".join([*lines, *missing, ""]), errors="surrogateescape")


def _number(tag: str, part: Part) -> int | None:
    """The number in a tag of the part, or None for another's."""
    stem, _, number = tag.rpartition(".")
    return int(number) if f"{stem}.1" == tag_of(part, 1) and number.isdecimal() else None
