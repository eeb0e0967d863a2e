"""Publishing: the sequence only. A stage becomes a new revision of its part in the test repository, whole or not at all."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compatlayer import changelog, handover, process
from compatlayer.changelog import Contents, Section
from compatlayer.declaration.model import Layer, Part
from compatlayer.errors import ProgramError, RepositoryError, StageError
from compatlayer.gentoo import inventory as inventories
from compatlayer.gentoo.packages import Inventory
from compatlayer.gentoo.portage_configuration import PACKAGE_DATABASE
from compatlayer.install import installed
from compatlayer.repository.base import Message, Origin, Repository, Revision, tag_of
from compatlayer.repository.deliver import Delivery, Load, deliver
from compatlayer.repository.ledger import operator
from compatlayer.signing import PrivateKey, PublicKey
from compatlayer.stage import Stage
from compatlayer.tree.between import between
from compatlayer.tree.changes import ChangeList, read_plain
from compatlayer.tree.entries import Kind
from compatlayer.tree.manifest import Manifest, update

# What a part's own changelog goes back to; older entries are in the repository's history.
SECTIONS = 50
_PULL_REQUEST = re.compile(r"(?:\(#|Merge pull request #|pull/)(\d+)")


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing did: the new revision, or None when there was nothing to publish, and its changelog entry."""

    part: Part
    repository: str
    revision: Revision | None
    section: Section | None


def publish(
    layer: Layer,
    stage: Stage,
    repository: Repository,
    *,
    onto: Revision | None = None,
    admit: Callable[[], str] = lambda: "",
) -> Published:
    """Publish a stage on top of the revision that it stands on; hold no lock.

    ``onto`` names the head for a stage that was not begun on it, which then replaces the part. ``admit`` is asked when there is
    something to publish: it raises what forbids it, and gives what the changelog shall say of it (``gates.ask_stage``). Raises
    ``LockHeldError``, ``StageError`` and ``RepositoryError``; the repository then stands where it stood.
    """
    with stage.lock(f"publishing {stage.part}"):
        head = repository.head(stage.part)
        base, steps = _steps(stage, repository)
        tree = steps[-1].becomes
        if head is not None and _is_same(repository.manifest(head, stage.part), tree):
            return Published(stage.part, repository.name, None, None)
        _refuse_other_head(stage, repository, head, base, onto)
        note = admit()
        contents = _contents_of_stage(stage, tree)
        if head is None:
            return carry(layer, repository, Change(stage.part, head, tuple(steps), contents, stage.identifier, note))
        # What was taken back since an earlier publish of this stage is in its lower tree, not in the upper one.
        with nullcontext(stage.upper) if base == head else stage.seen() as source:
            load = Load(between(repository.manifest(head, stage.part), tree), source, tree)
            return carry(layer, repository, Change(stage.part, head, (load,), contents, stage.identifier, note))


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be published: the loads on top of ``head``, and what is in the part afterwards.

    ``stage`` says who made it, ``note`` what the changelog says besides the packages.
    """

    part: Part
    head: Revision | None
    steps: tuple[Load, ...]
    contents: Contents
    stage: str
    note: str = ""


def carry(
    layer: Layer, repository: Repository, change: Change, announce: Callable[[Section], None] = lambda _: None
) -> Published:
    """Publish a change with its changelog; ``announce`` sees that before anything is done."""
    part, head, tree = change.part, change.head, change.steps[-1].becomes
    before = contents_of(repository, head, part), repository.manifest(head, part) if head else None
    section = make_section(layer.root, part, head, (before[0], change.contents), (before[1], tree), note=change.note)
    announce(section)
    message = Message(f"{section.title}: {section.summary}", origin_of(section, stage=change.stage))
    with written(repository, part, tree, change.contents, section) as own:
        revision = deliver(repository, Delivery(part, head, message, (*change.steps, own)))
    return Published(part, repository.name, revision, section)


def to_bundle(
    stage: Stage, repository: Repository, file: Path, key: PrivateKey, *, admit: Callable[[], str] = lambda: ""
) -> handover.Parcel:
    """Write what a stage changes into one signed file, for a publisher that this machine cannot reach.

    ``admit`` is asked first, as in ``publish``; what it gives goes along.
    """
    with stage.lock(f"bundling {stage.part}"):
        base, steps = _steps(stage, repository)
        if len(steps) > 1:
            raise StageError(f"the stage of {stage.part} stands on a directory", hint="begin it on a revision, or on nothing")
        note = admit()
        contents = _contents_of_stage(stage, steps[0].becomes)
        parcel = handover.Parcel(
            stage.part,
            base.id if base else None,
            base.root if base else None,
            steps[0].changes,
            stage.upper,
            steps[0].becomes,
            stage.identifier,
            contents_document(contents),
            note,
        )
        handover.write(parcel, file, key)
        return parcel


def from_bundle(
    layer: Layer,
    part: Part,
    repository: Repository,
    file: Path,
    keys: Sequence[PublicKey],
    announce: Callable[[Section], None] = lambda _: None,
) -> Published:
    """Publish a bundle, if its signature, the head that it expects, and every digest hold. Raises ``RepositoryError``."""
    with (
        tempfile.TemporaryDirectory(prefix="compatlayer-bundle-") as scratch,
        handover.opened(file, tuple(keys), Path(scratch)) as (bundle, source),
    ):
        if bundle.part != part:
            raise RepositoryError(f"{file.name} holds {bundle.part} at {bundle.part.prefix}, not {part} at {part.prefix}")
        head = repository.head(part)
        head_tree = repository.manifest(head, part) if head else None
        stage = f"bundle {bundle.stage} {bundle.root}"
        if head is not None and head.origin.stage == stage:
            return Published(part, repository.name, None, None)
        if (head and head.root) != bundle.base_root:
            there = f"revision {head.number} ({head.root[:12]}) by {head.origin.operator}" if head else "nothing"
            raise RepositoryError(
                f"{file.name} was not made for what {repository.name} holds",
                cause=f"it expects {bundle.base_root[:12] if bundle.base_root else 'nothing'}, there is {there}",
                hint="make the change again on top of that",
            )
        tree = update(head_tree, bundle.changes, source) if head_tree else Manifest.of_tree(source)
        if tree.root != bundle.root:
            raise RepositoryError(f"{file.name} does not make the tree that was signed", cause=f"{tree.root}, not {bundle.root}")
        contents = contents_from(bundle.contents, part)
        change = Change(part, head, (Load(between(head_tree, tree), source, tree),), contents, stage, bundle.note)
        return carry(layer, repository, change, announce)


def from_tarball(
    layer: Layer,
    part: Part,
    repository: Repository,
    file: Path,
    onto: Revision | None,
    announce: Callable[[Section], None] = lambda _: None,
) -> Published:
    """Publish a layer that was built elsewhere, whole. ``onto`` names the head that it replaces. Raises ``RepositoryError``."""
    with tempfile.TemporaryDirectory(prefix="compatlayer-tarball-") as scratch:
        source = handover.unpack_tarball(file, part, Path(scratch))
        head = repository.head(part)
        tree = Manifest.of_tree(source)
        head_tree = repository.manifest(head, part) if head else None
        if head_tree is not None and _is_same(head_tree, tree):
            return Published(part, repository.name, None, None)
        if (head and head.id) != (onto and onto.id):
            raise RepositoryError(
                f"{file.name} would replace what {repository.name} holds",
                cause=f"there is revision {head.number} by {head.origin.operator}" if head else "there is nothing",
                hint=f"if that is meant: --onto {head.number}" if head else "leave --onto out",
            )
        contents = read_contents(inventories.read(source), [source], tree)
        stage = f"tarball {file.name}"
        change = Change(part, head, (Load(between(head_tree, tree), source, tree),), contents, stage)
        return carry(layer, repository, change, announce)


def base_name(repository: Repository, revision: Revision) -> str:
    """What a stage calls the revision it stands on: ``test:ID``."""
    return f"{repository.name}:{revision.id}"


def _base(stage: Stage, repository: Repository) -> Revision | None:
    """The revision that a stage stands on; None when it stands on nothing, or on a directory."""
    name, _, identity = (stage.base or "").partition(":")
    if stage.lower is None or name != repository.name or not identity:
        return None
    found = next((one for one in repository.revisions(stage.part) if one.id == identity), None)
    if found is None:
        raise StageError(
            f"the stage of {stage.part} stands on a revision that {name} no longer has",
            cause=identity,
            hint=f"keep what was changed (compatlayer stage diff), then: compatlayer stage drop {stage.part}",
        )
    return found


def _steps(stage: Stage, repository: Repository) -> tuple[Revision | None, list[Load]]:
    """The revision under a stage, and the loads that make the stage's tree: on top of it, or of nothing."""
    base = _base(stage, repository)
    if stage.lower is None:
        tree = Manifest.of_tree(stage.upper)
        return None, [Load(between(None, tree), stage.upper, tree)]
    lower = repository.manifest(base, stage.part) if base else Manifest.of_tree(stage.lower)
    tree = update(lower, stage.changes(), stage.upper)
    change = Load(between(lower, tree), stage.upper, tree)
    return base, [change] if base else [Load(between(None, lower), stage.lower, lower), change]


def _refuse_other_head(
    stage: Stage, repository: Repository, head: Revision | None, base: Revision | None, onto: Revision | None
) -> None:
    """Whatever stands on another revision than the head would undo what was published in between."""
    if onto is not None and head is not None and onto.id == head.id and base is None:
        return  # a whole tree, and the operator knows what it replaces
    if (base and base.id) == (head and head.id):
        return
    since = [one for one in repository.revisions(stage.part) if base is None or one.number > base.number]
    if since and all(one.origin.stage == stage.identifier for one in since):
        return  # all that was published since is this stage's own
    there = f"revision {head.number} by {head.origin.operator}: {head.message}" if head else "nothing"
    again = f"compatlayer stage drop --yes && compatlayer install --over {repository.name}"
    hint = f"make the change on top of it: {again}"
    if base is None and head is not None:
        hint += f"\nor replace it whole: compatlayer publish --onto {head.number}"
    raise StageError(
        f"the stage of {stage.part} does not stand on what {repository.name} holds",
        cause=f"it stands on {f'revision {base.number}' if base else stage.base or 'nothing'}; {repository.name} holds {there}",
        hint=hint,
    )


def _is_same(head: Manifest, tree: Manifest) -> bool:
    """Whether a tree is the head's, but for what publishing itself puts there."""
    above = {str(path) for path in changelog.MARKDOWN.parents}
    return all(
        entry.path in changelog.OWN_FILES or (new is None and entry.path in above)
        for old, new in head.differences(tree)
        if (entry := new or old) is not None
    )


def make_section(
    root: Path,
    part: Part,
    head: Revision | None,
    contents: tuple[Contents, Contents],
    trees: tuple[Manifest | None, Manifest],
    *,
    note: str = "",
) -> Section:
    """The changelog entry of what leads from the first to the second of ``contents`` and ``trees``.

    ``root`` is the layer's directory, for commit and pull request.
    """
    new, gone = changelog.soname_changes(*contents)
    commit, pull_request = declared_at(root)
    return Section(
        title=tag_of(part, head.number + 1 if head else 1),
        part=str(part),
        date_utc=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        operator=operator(),
        commit=commit,
        pull_request=pull_request,
        packages=changelog.package_changes(contents[0].inventory, contents[1].inventory),
        sonames_new=new,
        sonames_gone=gone,
        files=changelog.file_counts(*trees),
        note=note,
    )


def contents_of(repository: Repository, revision: Revision | None, part: Part) -> Contents:
    """Packages and sonames of a revision, from the file that publishing leaves in it, else from its package database."""
    if revision is None:
        return Contents(Inventory())
    manifest = repository.manifest(revision, part)
    if manifest.get(str(changelog.CONTENTS)) is not None:
        with repository.source(revision, part, [str(changelog.CONTENTS)]) as tree:
            return contents_from(json.loads((tree / changelog.CONTENTS).read_bytes()), part)
    below = [entry.path for entry in manifest if entry.path.startswith(f"{PACKAGE_DATABASE}/")]
    with repository.source(revision, part, below) as tree:
        return read_contents(inventories.read(tree), [tree], manifest)


def read_contents(inventory: Inventory, trees: Sequence[Path], manifest: Manifest) -> Contents:
    """Packages, and the sonames that Portage recorded for them (``PROVIDES``), from the first tree that has a file."""
    sonames: set[str] = set()
    for package in inventory:
        path = PACKAGE_DATABASE / package.id.category / f"{package.id.name}-{package.id.version}" / "PROVIDES"
        if manifest.get(str(path)) is None:
            continue
        place = next((tree / path for tree in trees if (tree / path).is_file()), None)
        if place is not None:
            sonames.update(word for word in place.read_text(errors="replace").split() if not word.endswith(":"))
    return Contents(inventory, frozenset(sonames))


@contextmanager
def written(repository: Repository, part: Part, tree: Manifest, contents: Contents, section: Section) -> Iterator[Load]:
    """The files that travel inside the part, from a directory of their own that goes away again."""
    sections = [section, *sections_of(repository, part)][:SECTIONS]
    documents = {
        changelog.MARKDOWN: changelog.markdown(f"Changelog of {part.layer}, {part}", sections),
        changelog.DOCUMENT: json.dumps([one.to_document() for one in sections], indent=1, sort_keys=True) + "\n",
        changelog.CONTENTS: json.dumps(contents_document(contents), sort_keys=True) + "\n",
    }
    with repository.ledger.scratch() as directory:
        for path, text in documents.items():
            place = directory / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
            place.chmod(0o644)
        for above in (".", *(str(one) for one in reversed(changelog.MARKDOWN.parents[:-1]))):
            there = tree.get(above)
            (directory / above).chmod(there.mode if there and there.kind is Kind.DIRECTORY else 0o755)
            for name_, value in there.xattrs if there else ():
                os.setxattr(directory / above, name_, value)
        changes = ChangeList(read_plain(directory).puts)
        yield Load(changes, directory, update(tree, changes, directory))


def sections_of(repository: Repository, part: Part) -> list[Section]:
    """The changelog of a part in one repository, newest first."""
    documents = [revision.origin.changelog for revision in repository.revisions(part)]
    return [Section.from_document(document) for document in documents if document]


def declared_at(root: Path) -> tuple[str | None, str | None]:
    """Commit and pull request of the declaration, where it lies in git; ``-dirty`` marks what was not committed."""
    git = ["git", "-C", str(root), "-c", "safe.directory=*"]
    try:
        head = process.run([*git, "log", "-1", "--format=%H%n%B"], check=False)
        if head.returncode != 0:
            return None, None
        changed = process.run([*git, "status", "--porcelain", "--", "layer.yaml", "sets", "config", "overlay"], check=False)
    except ProgramError:  # git is not installed
        return None, None
    commit, _, text = head.stdout.partition("\n")
    found = _PULL_REQUEST.search(os.environ.get("GITHUB_REF", "")) or _PULL_REQUEST.search(text)
    return commit + ("-dirty" if changed.stdout.strip() else ""), f"#{found[1]}" if found else None


def origin_of(section: Section, *, stage: str | None = None) -> Origin:
    """The origin that goes with a changelog entry."""
    return Origin(section.operator, section.commit, section.pull_request, stage=stage, changelog=section.to_document())


def contents_document(contents: Contents) -> dict[str, Any]:
    """Contents as JSON has them."""
    return {"packages": inventories.to_document(contents.inventory), "sonames": sorted(contents.sonames)}


def contents_from(document: Mapping[str, Any], part: Part) -> Contents:
    """The inverse. Raises ``RepositoryError`` for anything else."""
    try:
        return Contents(inventories.from_document(document["packages"]), frozenset(document["sonames"]))
    except (ValueError, KeyError, TypeError) as error:
        raise RepositoryError(f"what {part} says of its contents cannot be understood", cause=repr(error)[:300]) from error


def _contents_of_stage(stage: Stage, tree: Manifest) -> Contents:
    return read_contents(installed(stage), [stage.upper, *([stage.lower] if stage.lower else [])], tree)
