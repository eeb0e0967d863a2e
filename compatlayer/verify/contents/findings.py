"""What the check ``integrity`` finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compatlayer.findings import Finding, Severity

REBUILD = "remove the package's entry in var/db/pkg, then `compatlayer install`; or restore the file from a published revision"
MOVE_AWAY = "move the entry away, then `compatlayer install`"
LOOK = "find out who did it; then build the package again, or restore the file from a published revision"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrityFinding(Finding):
    """A path is not as it was recorded when its package was installed."""

    check: ClassVar[str] = "integrity"
    severity: ClassVar[Severity] = Severity.ERROR

    @property
    def description(self) -> str:
        """One line: the path, wanted and found, and whose it is."""
        owner = f" ({self.package})" if self.package else ""
        return f"{self.path}: expected {self.expected}, found {self.actual}{owner}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMissing(IntegrityFinding):
    """A path that a package installed is not there.

    Somebody removed it, a copy was not complete, or an install was interrupted. Whatever needs it fails, perhaps much later.
    Build the package again, or take the path back from a published revision.
    """

    identifier: ClassVar[str] = "file-missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWrongType(IntegrityFinding):
    """A path is something else than what the package installed: a directory where a file was, a link where a directory was.

    A link in a directory's place may be meant (a merged ``/usr``), everything else is damage or somebody's hand. Find out which,
    and build the package again.
    """

    identifier: ClassVar[str] = "file-wrong-type"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChanged(IntegrityFinding):
    """A file's content is not what the package installed: its digest differs from the one in CONTENTS.

    A failing disk or an incomplete copy truncates and garbles; a person or a program may have edited it. In a layer that many
    machines run, either is a reason to stop. CONTENTS itself is not signed: to know who is right, compare with a published
    revision.
    """

    identifier: ClassVar[str] = "file-changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChanged(IntegrityFinding):
    """A symbolic link points elsewhere than the package made it point.

    Tools such as ``eselect`` and ``gcc-config`` move links on purpose; then the new target is what somebody chose, and it is not
    declared anywhere. Declare it in the layer's configuration, or build the package again.
    """

    identifier: ClassVar[str] = "link-changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesTouched(IntegrityFinding):
    """Files have another modification time than recorded, with the content as it was. One finding for each package.

    Harmless by itself: a copy that did not keep times, or a program that wrote the same again. Some programs compare times (make,
    Python with its compiled modules), and Portage will not remove such files when it removes the package.
    """

    identifier: ClassVar[str] = "files-touched"
    severity: ClassVar[Severity] = Severity.NOTE

    paths: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """One line: how many, and one of them."""
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return f"{self.package}: another modification time than recorded: {self.paths[0]}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationChanged(IntegrityFinding):
    """A configuration file (below CONFIG_PROTECT) is not as its package installed it.

    That is what such files are for, and Portage will not overwrite it. It is reported so that changes made by hand can be told
    from those that the layer declares: what is not declared is lost when the layer is built afresh.
    """

    identifier: ClassVar[str] = "configuration-changed"
    severity: ClassVar[Severity] = Severity.NOTE


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationPending(IntegrityFinding):
    """A new version of a configuration file waits beside the old one (``._cfg0000_NAME``).

    Portage does not overwrite a protected file that was changed; it puts the new one beside it for a person to merge. Until then
    the program runs with the old configuration. Merge them (``dispatch-conf``), or declare what the file shall be.
    """

    identifier: ClassVar[str] = "configuration-pending"
    severity: ClassVar[Severity] = Severity.WARNING

    @property
    def description(self) -> str:
        """One line: which one waits."""
        return f"{self.path}: a new version of a configuration file waits to be merged"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUnreadable(IntegrityFinding):
    """A file cannot be opened or read, so nobody can say whether it is whole.

    Its permissions exclude the user who verifies, or the disk fails. Verify as the owner of the layer; a medium that cannot be
    read has to be replaced before anything is published from it.
    """

    identifier: ClassVar[str] = "file-unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUnstable(IntegrityFinding):
    """A path changed while it was looked at: it was listed and then gone, or its size or time moved during reading.

    Somebody is working in this tree. What was found elsewhere in it may be out of date as well. Wait until the install has ended,
    and verify again.
    """

    identifier: ClassVar[str] = "file-unstable"
    severity: ClassVar[Severity] = Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesUnowned(IntegrityFinding):
    """Something is in the prefix that no package owns, and that nothing declared is known to make.

    It was put there by hand, left behind by a package that is gone, or written by a program that ran inside the layer. It will
    not be there when the layer is built afresh. Package it, declare it, or remove it. Of a directory in which nothing is owned
    only the directory is reported. What is expected without an owner (caches, logs, configuration, Portage's own records) is
    listed in ``compatlayer/verify/reading/expected.py``.
    """

    identifier: ClassVar[str] = "files-unowned"
    severity: ClassVar[Severity] = Severity.WARNING

    count: int = 1

    @property
    def description(self) -> str:
        """One line: where, and how many."""
        if self.count == 1:
            return f"{self.path}: no package owns it"
        return f"{self.path}: no package owns any of the {self.count} files in it"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCollision(IntegrityFinding):
    """Several packages claim the same file.

    The one that was installed last has won, and removing either takes the file from the other. Portage's ``collision-protect``
    would have refused it. One of the ebuilds must not install the file, or the packages must block each other.
    """

    identifier: ClassVar[str] = "file-collision"
    severity: ClassVar[Severity] = Severity.WARNING

    packages: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """One line: the path, and who claims it."""
        return f"{self.path}: installed by {' and by '.join(self.packages)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentsDamaged(IntegrityFinding):
    """The list of a package's files, CONTENTS, cannot be read or understood in part, so these files are not verified.

    A full disk or a crash truncates it; a partial copy loses it. Portage would leave the files behind when it removes the
    package. Build the package again. Paths outside the prefix are never looked at: a CONTENTS that names one is from another
    prefix, or forged.
    """

    identifier: ClassVar[str] = "contents-damaged"

    line: int = 0

    @property
    def description(self) -> str:
        """One line: which file, which line, and what is wrong."""
        return f"{self.path}{f':{self.line}' if self.line else ''}: {self.actual}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryUnread(IntegrityFinding):
    """A directory could not be looked into, so nothing in it was verified.

    Its permissions exclude the user who verifies, something else is mounted on it, or it is nested deeper than any package's.
    What readers cannot read is of no use in a layer, and what is mounted there is not part of it.
    """

    identifier: ClassVar[str] = "directory-unread"

    @property
    def description(self) -> str:
        """One line: where and why."""
        return f"{self.path}: {self.actual}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeChanged(IntegrityFinding):
    """A path's permissions differ from those that the tree's manifest recorded when it was published.

    CONTENTS knows no permissions, so this is only found where a manifest is at hand. A copy under another umask does it, and so
    does somebody who wants to run what he should not. Restore the mode, or publish the change on purpose.
    """

    identifier: ClassVar[str] = "mode-changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffersFromManifest(IntegrityFinding):
    """Something is not what the tree's manifest recorded: its kind, content or target, or it is gone, or was never published.

    The manifest was made when the tree was published. Generated files (caches, the environment, Portage's records) are verified
    by it alone. Restore the path from that revision, or publish the change on purpose.
    """

    identifier: ClassVar[str] = "manifest-differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableEntry(IntegrityFinding):
    """An entry of the package database cannot be understood, so nobody can tell what is installed there.

    ``var/db/pkg`` holds one directory per package. A full disk, a crash or a partial copy damages entries; Portage then ignores
    or misreads them. Build the package again after moving the entry away.
    """

    identifier: ClassVar[str] = "package-unreadable"

    @property
    def description(self) -> str:
        """One line: where, and what is wrong with it."""
        return f"{self.path}: {self.actual}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptedMerge(UnreadableEntry):
    """Portage was stopped while it recorded a package: the entry still has its temporary name.

    Some of the package's files may be in the prefix without an owner. Running ``install`` again merges the package whole and lets
    Portage clean up behind itself.
    """

    identifier: ClassVar[str] = "package-half-merged"
    severity: ClassVar[Severity] = Severity.WARNING
