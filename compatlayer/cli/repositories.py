"""What the verbs about repositories share: opening them, finding revisions and keys, saying what a crash left behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compatlayer import signing
from compatlayer.cli.context import Session
from compatlayer.errors import UsageError
from compatlayer.repository import PRODUCTION, TEST, open_repository
from compatlayer.repository.base import Repository, Revision
from compatlayer.repository.find import find, readable, split

if TYPE_CHECKING:
    from compatlayer.declaration.model import Part
    from compatlayer.gates import Question


class Places:
    """The part that was chosen, and its repositories."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @property
    def part(self) -> Part:
        """The part of the chosen version and target."""
        return self.session.layer.part(self.session.version, self.session.target)

    def repository(self, name: str) -> Repository:
        """A repository of the layer."""
        return open_repository(self.session.layer, name, self.session.state)

    @property
    def production(self) -> Repository | None:
        """Production, where one is declared."""
        return self.repository(PRODUCTION) if PRODUCTION in self.session.layer.repositories else None

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """Those that the layer declares, test first."""
        return tuple(self.repository(name) for name in (TEST, PRODUCTION) if name in self.session.layer.repositories)

    def revision(self, name: str, default: str = TEST) -> tuple[Repository, Revision]:
        """The revision that ``[REPOSITORY:]REVISION`` means. Raises ``UsageError``."""
        place, rest = split(name, default)
        repository = self.repository(place)
        return repository, find(repository, self.part, rest)

    def tree(self, name: str) -> Path:
        """A read-only directory with the tree of a revision."""
        repository, revision = self.revision(name)
        place, twin = readable(self.part, revision, (repository, *self.repositories))
        return place.tree(twin, self.part)

    @property
    def parts(self) -> list[Part]:
        """Every part of the layer: they share its repositories."""
        layer = self.session.layer
        return [layer.part(version, target) for version in layer.versions for target in layer.targets]

    def keep_few_tags(self, repository: Repository) -> None:
        """Let go of tags that are too many for the repository, and say which."""
        from compatlayer import past

        live = past.in_use(self.repository(TEST), self.production, self.parts)
        receipts = past.named_by_receipts(self.production, self.parts)
        if gone := past.keep_few(repository, self.parts, live, receipts):
            self.session.say(f"{repository.name} let go of {len(gone)} old tags: {', '.join(gone)}")

    def warn(self, repository: Repository) -> None:
        """Say what will go wrong with a repository soon, unless somebody acts."""
        for finding in repository.warnings():
            word = self.session.error_paint.doubtful("warning")
            self.session.say(f"{word}: {finding.description}\n  hint: {finding.remedy}")

    def hold_sources(self) -> None:
        """Have the mirror, where there is one, keep what the newest revision was built from, as long as that can be read."""
        from compatlayer.errors import CompatlayerError
        from compatlayer.mirror import index, published

        file = self.session.state / "mirror" / index.FILE
        if not file.is_file():
            return
        try:
            published.hold(index.Index(file), self.session.layer, self.session.state)
        except CompatlayerError as error:
            # What was published is; `mirror prune` will say the same, and delete nothing.
            self.session.say(f"warning: {error}")

    def question(self, name: str, publisher: str) -> Question:
        """What gates are asked about a test revision."""
        from compatlayer.gates import Question

        repository, revision = self.revision(name)
        if repository.name != TEST:
            raise UsageError("only revisions of the test repository are promoted", hint="to go back: compatlayer rollback TAG")
        session = self.session
        return Question(
            session.layer,
            session.version,
            session.target,
            session.state,
            repository,
            self.repository(PRODUCTION),
            revision,
            publisher,
        )

    def signing_key(self, file: Path | None) -> signing.PrivateKey:
        """The key in ``file``, in the environment, or this state directory's own, which is made when there is none."""
        key = signing.private_key(file)
        if key is not None:
            return key
        own = self._own_keys / "operator.pem"
        if own.exists():
            key = signing.private_key(own)
            assert key is not None, "a file was given"
            return key
        self.session.say(f"made a signing key: {own}, its public half in {own.with_suffix('.pub').name}")
        return signing.make_private_key(own)

    def trusted_keys(self, more: tuple[Path, ...] = ()) -> tuple[signing.PublicKey, ...]:
        """The keys that receipts may be signed with: ``keys/`` beside ``layer.yaml``, this state directory's, and ``more``."""
        known = signing.public_keys(self.session.layer.root / "keys")
        return (*known, *signing.public_keys(self._own_keys), *(signing.public_key(path) for path in more))

    @property
    def _own_keys(self) -> Path:
        return self.session.state / "keys"
