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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import ClassVar

from compatlayer.declaration.model import Part
from compatlayer.errors import RepositoryError
from compatlayer.findings import Finding, Severity
from compatlayer.repository.base import DamagedRevision, Message, Origin, Pending, Reclaimed, Revision, tag_of
from compatlayer.repository.cvmfs_server import CvmfsServer, Tagged
from compatlayer.repository.cvmfs_transaction import CvmfsTransaction
from compatlayer.repository.ledger import Ledger, message_of
from compatlayer.repository.moved import moved
from compatlayer.repository.transaction import reopened
from compatlayer.tree.entries import Entry, Kind, scan
from compatlayer.tree.manifest import Manifest

CATALOG_MARK = ".cvmfscatalog"
SNAPSHOTS = PurePosixPath(".cvmfs/snapshots")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotsHidden(Finding):
    """The publisher shows only the repository's newest state: a part can then not be rolled back from here.

    CernVM-FS keeps what every tag names, and by default shows none of it. With `CVMFS_VIRTUAL_DIR=true` in the repository's
    `server.conf`, the next publish makes `.cvmfs/snapshots` appear, with a directory for each tag. Until then a rollback
    takes the tree from the test repository, if that still has it.
    """

    identifier: ClassVar[str] = "snapshots-hidden"
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
        spool: Path = Path("/var/spool/cvmfs"),
        settings: Path = Path("/etc/cvmfs/repositories.d"),
    ) -> None:
        self.name = name
        self.domain = domain
        self.mount_path = PurePosixPath("/cvmfs") / domain
        self.mounted = mounts / domain
        self.storage = storage / domain
        self.spool = spool / domain
        self.settings = settings / domain
        self.server = CvmfsServer(domain, program)
        self.ledger = Ledger(ledger, name)
        self._tags: tuple[bytes, tuple[Tagged, ...]] | None = None

    def head(self, part: Part) -> Revision | None:
        """The newest revision of a part."""
        found = self.revisions(part)
        return found[0] if found else None

    def revisions(self, part: Part) -> Sequence[Revision]:
        """The part's named snapshots."""
        tags = self.named_snapshots()
        own = [tag for tag in tags if _number(tag.name, part) is not None]
        return sorted((self._revision(tag, part, tags) for tag in own), key=lambda one: -one.number)

    def manifest(self, revision: Revision, part: Part) -> Manifest:
        """The stored manifest; made again by a scan where this publisher does not have it."""
        if revision.root in self.ledger.manifests:
            return self.ledger.manifests.load(revision.root)
        entries = list(scan(self.tree(revision, part)))
        # The publisher marks where nested catalogs begin, in the tree and after it was published; ours may hold marks as well.
        for manifest in (Manifest.of(one for one in entries if not _is_mark(one)), Manifest.of(entries)):
            if manifest.root == revision.root:
                self.ledger.manifests.save(manifest)
                return manifest
        raise RepositoryError(
            f"revision {revision.number} of {part} in {self.name} is not what it says",
            cause=f"its tree has the root {manifest.root}, it was published with {revision.root}",
            hint="it was changed behind our back: cvmfs_server tag -l, and compatlayer rollback",
        )

    def tree(self, revision: Revision, part: Part) -> Path:
        """Where the part's tree can be read. Raises ``RepositoryError`` for an earlier revision that is shown nowhere."""
        place = self._place(revision, part)
        if place is not None:
            return place
        raise RepositoryError(
            f"revision {revision.number} of {part} cannot be read in {self.name}",
            cause=f"{self.mounted}/.cvmfs/snapshots does not show it",
            hint="set CVMFS_VIRTUAL_DIR=true in its server.conf and publish once",
        )

    def shows(self, revision: Revision, part: Part) -> bool:
        """The newest revision is mounted; earlier ones only where the repository shows its snapshots."""
        return self._place(revision, part) is not None

    def _place(self, revision: Revision, part: Part) -> Path | None:
        below = self.below(part)
        for tag in revision.tags:
            snapshot = self.mounted / SNAPSHOTS / tag / below
            if snapshot.is_dir():
                return snapshot
        head = self.head(part)
        if head is None or head.root != revision.root:  # a rollback makes an old tree the newest one
            return None
        # While a transaction is open, the mount shows what is in the making; this stays as clients see it.
        published = self.spool / "rdonly" / below
        return published if published.is_dir() else self.mounted / below

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
        return {tag.name: tag.root_hash for tag in self.named_snapshots() if not tag.name.startswith("trunk")}

    def named_snapshots(self) -> tuple[Tagged, ...]:
        """The tags, CernVM-FS's own among them. Asked for again only when the repository's manifest has changed: it holds the
        digest of the list (``H``). A publisher that keeps it elsewhere (S3) is always asked.
        """
        try:
            manifest = (self.storage / ".cvmfspublished").read_bytes()
        except OSError:
            return self.server.tags()
        if self._tags is None or self._tags[0] != manifest:
            self._tags = (manifest, self.server.tags())
        return self._tags[1]

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
        """Let ``cvmfs_server`` collect what no tag names, where the repository allows it; it tells no numbers.

        ``keep`` must have tags.
        """
        if nameless := [revision for revision in keep if not revision.tags]:
            raise RepositoryError(f"revision {nameless[0].number} would be lost: it has no tag", hint="give it one first")
        with self.ledger.hold(f"collecting garbage in {self.name}"):
            self.ledger.refuse_if_open()
            self.server.collect()
        return Reclaimed(0, 0)

    def check(self) -> Sequence[Finding]:
        """What ``cvmfs_server check`` says, and the warnings."""
        said = self.server.check()
        damaged = [DamagedRevision(path=self.domain, expected="no problems found", actual=said)] if said else []
        return [*damaged, *self.warnings()]

    def warnings(self) -> Sequence[Finding]:
        """A whitelist that is about to expire, earlier revisions that nobody can read here."""
        found: list[Finding] = []
        expires = self.whitelist_expires()
        if expires is not None and expires - datetime.now(UTC) < WARN_BEFORE:
            wanted, there = f"a whitelist for more than {WARN_BEFORE.days} days", f"one that ends {expires:%Y-%m-%d %H:%M} UTC"
            renew = f"cvmfs_server resign {self.domain}"
            found.append(WhitelistExpires(path=self.domain, expected=wanted, actual=there, remedy=renew))
        if self.mounted.is_dir() and not (self.mounted / SNAPSHOTS).is_dir():
            show = f"set CVMFS_VIRTUAL_DIR=true in {self.settings}/server.conf; the next publish then shows it"
            found.append(SnapshotsHidden(path=self.domain, expected=str(SNAPSHOTS), actual="nothing", remedy=show))
        return found

    def newer_than(self, tag: str) -> tuple[str, ...]:
        """The tags that rewinding the whole repository to ``tag`` would take away. Raises ``RepositoryError``."""
        tags = [one for one in self.named_snapshots() if not one.name.startswith("trunk")]
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
        """The part's path in the repository, the same in test and production: what follows ``/cvmfs/<repository>``.

        Raises ``RepositoryError`` for a prefix elsewhere.
        """
        _, root, *names = part.prefix.parts if len(part.prefix.parts) > 1 else ("", "")
        if root != "cvmfs" or len(names) < 2:
            raise RepositoryError(
                f"{part} does not belong into {self.name}", cause=f"its prefix {part.prefix} is not below /cvmfs/<repository>"
            )
        return PurePosixPath(*names[1:])

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

    def opened(self) -> str | None:
        """The identity of the transaction that is open in ``cvmfs_server``, whoever opened it; None when none is.

        ``cvmfs_server`` makes a file when it opens one and deletes it with that: the file is the transaction.
        """
        try:
            status = self._flag.stat()
        except FileNotFoundError:
            return None
        return f"{status.st_ino} {status.st_mtime_ns}"

    def opened_at_utc(self) -> datetime:
        """When the transaction was opened that is open in ``cvmfs_server``. Raises ``OSError`` when none is."""
        return datetime.fromtimestamp(self._flag.stat().st_mtime, UTC)

    @property
    def _flag(self) -> Path:
        return self.spool / "in_transaction.lock"

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


def _number(tag: str, part: Part) -> int | None:
    """The number in a tag of the part, or None for another's."""
    stem, _, number = tag.rpartition(".")
    return int(number) if f"{stem}.1" == tag_of(part, 1) and number.isdecimal() else None


def _is_mark(entry: Entry) -> bool:
    return entry.kind is Kind.FILE and entry.path.rpartition("/")[2] == CATALOG_MARK and entry.size_bytes == 0
