"""The check ``links``: links lead somewhere, readers can read, and nothing is there that a published layer cannot hold."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from compatlayer.declaration.model import HostLink
from compatlayer.findings import Finding, Severity
from compatlayer.tree.beneath import join
from compatlayer.verify.reading import Seen, Visitor
from compatlayer.verify.reading.resolver import VARIANT, Leads, Resolver, Where
from compatlayer.verify.registry import Context, check

# The kernel's own, the same on every Linux host.
KERNEL = ("/proc/", "/sys/", "/dev/")
# What CernVM-FS takes: $(NAME) or $(NAME:-default), several in one target.
_VARIANT = re.compile(r"\$\((?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^)]*)?\)")
_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a block device", stat.S_IFCHR: "a character device"}
# Portage locks its records; nobody else reads these.
PRIVATE = re.compile(r"var/db/pkg/.*|var/lib/portage/.*|var/cache/edb/.*|.*\.portage_lockfile|.*/\.keep_[^/]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFinding(Finding):
    """A symbolic link does not lead where a reader of the layer could follow."""

    check: ClassVar[str] = "links"
    severity: ClassVar[Severity] = Severity.ERROR

    @property
    def description(self) -> str:
        """One line: the link, what is the matter, whose it is."""
        owner = f" ({self.package})" if self.package else ""
        return f"{self.path}: {self.actual}{owner}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDangling(LinkFinding):
    """A symbolic link leads to a path of the prefix that is not there.

    Absolute targets are read as they will be where the prefix lives, not on the machine that verifies. The package that owns the
    target was removed or updated, or the link was made wrongly (``dosym`` with a path that lacks the prefix). Whatever opens the
    link fails.
    """

    identifier: ClassVar[str] = "link-dangling"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLoop(LinkFinding):
    """A symbolic link leads back to itself, or through more links than the kernel follows (40).

    Opening it fails with "too many levels of symbolic links", and programs that walk the tree may not end. Remove it, and build
    its package again.
    """

    identifier: ClassVar[str] = "link-loop"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOutside(LinkFinding):
    """A symbolic link leads out of the prefix to a path of the host that the declaration does not name under ``host_links``.

    What is behind it differs from host to host, and may not be there. If it is meant, as for ``/etc/passwd``, declare it; if not,
    the ebuild made a link without the prefix. Links to ``/proc``, ``/sys`` and ``/dev`` are the kernel's and are accepted. What
    the link leads to is never looked at.
    """

    identifier: ClassVar[str] = "link-outside"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkNotAsDeclared(LinkFinding):
    """The declaration has this path under ``host_links``, and there it leads elsewhere, or is no link.

    Somebody changed either. ``compatlayer install`` makes the declared links; if the one that is there is right, declare it so.
    """

    identifier: ClassVar[str] = "link-not-as-declared"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantLink(LinkFinding):
    """A variant symlink has no default, or cannot be understood.

    CernVM-FS replaces ``$(NAME)`` in a link's target by what each client's configuration says, and by nothing on clients that do
    not say anything: write ``$(NAME:-default)``. Other file systems do not know variant symlinks; there the link dangles.
    """

    identifier: ClassVar[str] = "link-variant"
    severity: ClassVar[Severity] = Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeFinding(LinkFinding):
    """A path has permissions that do not fit a layer which everybody reads and nobody writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable(ModeFinding):
    """Others than its owner cannot read a file, or cannot enter a directory.

    A published layer belongs to whoever published it, and every user of it is "others". The file might as well not be there:
    programs report that it is missing, or fail in stranger ways. ``chmod o+r`` it (``o+rx`` a directory), and fix the ebuild's
    umask or ``fperms``. Portage's own records are left out.
    """

    identifier: ClassVar[str] = "mode-unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUserId(ModeFinding):
    """A file is setuid or setgid.

    CernVM-FS clients mount with ``nosuid`` unless told otherwise, and container run times ignore it, so the program runs without
    what it was given; where it is honoured, it is a way to privileges on every machine. Build the package with ``-suid``, or say
    in the policy why it is needed.
    """

    identifier: ClassVar[str] = "mode-setuid"
    severity: ClassVar[Severity] = Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldWritable(ModeFinding):
    """Anybody may write to this file or directory.

    In the published layer nobody can, but on the machine that builds and in a checked out tree any user could change what
    everybody runs. Directories with the sticky bit, such as ``tmp``, are accepted. ``chmod o-w`` it, and fix the ebuild.
    """

    identifier: ClassVar[str] = "mode-world-writable"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialFile(ModeFinding):
    """Something is neither a file, a directory nor a symbolic link.

    FIFOs and sockets are left behind by programs that ran inside the prefix; device nodes belong to the host. None of them can be
    published. Remove it.
    """

    identifier: ClassVar[str] = "special-file"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseCollision(LinkFinding):
    """Names in one directory differ in nothing but upper and lower case.

    On file systems that do not tell them apart (macOS as installed, container images unpacked there) one replaces the other. If
    the layer is never used on such a system, accept it in the baseline.
    """

    identifier: ClassVar[str] = "name-case-collision"
    severity: ClassVar[Severity] = Severity.NOTE

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NameNotUtf8(LinkFinding):
    """A name is not UTF-8 text.

    Portage refuses to install such names, JSON cannot carry them, and tools disagree on how to show them. It is shown here with
    its bytes escaped. Rename it in the ebuild.
    """

    identifier: ClassVar[str] = "name-not-utf8"
    severity: ClassVar[Severity] = Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class NameWithControl(LinkFinding):
    """A name holds a control character, such as a line feed.

    Lists of files have one name a line: CONTENTS, ``.cvmfsdirtab`` and many scripts would take it for two. Rename it in the
    ebuild.
    """

    identifier: ClassVar[str] = "name-control-character"
    severity: ClassVar[Severity] = Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class HardLinkAcross(LinkFinding):
    """Files of different packages are one file on disk.

    Editing one in place changes the other, so a package that nobody touched fails its digests. It comes from copying with links,
    or from tools that merge equal files. CernVM-FS keeps hard links only inside one directory. Copy the file over itself. Trees
    that also share files with something outside, as OSTree's checkouts do, are left out.
    """

    identifier: ClassVar[str] = "hard-link-across-packages"
    severity: ClassVar[Severity] = Severity.WARNING

    paths: tuple[str, ...] = ()


class LinkVisitor(Visitor):
    """Looks at every entry's type, mode, name and target; gives findings, and ``(device, inode, links, path, package)``."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._resolver = Resolver(context.prefix_tree, context.prefix)
        self._has_policy = context.policy is not None
        self._declared = {str(link.path).strip("/"): link for link in context.host_links}

    def entry(self, seen: Seen) -> None:
        mode = seen.status.st_mode
        self._name(seen)
        declared = self._declared.get(seen.path)
        if declared is not None:
            self._as_declared(seen, declared)
        elif stat.S_ISLNK(mode):
            self._link(seen)
        if stat.S_ISLNK(mode):
            return
        if stat.S_ISREG(mode):
            self._file(seen, mode)
        elif stat.S_ISDIR(mode):
            self._directory(seen, mode)
        else:
            what = _KINDS.get(stat.S_IFMT(mode), "something without a name")
            self._report(SpecialFile, seen, "a file, a directory or a link", f"is {what}", "remove it")

    def _as_declared(self, seen: Seen, declared: HostLink) -> None:
        target = declared.target or f"/{str(declared.path).strip('/')}"
        if seen.target != target:
            actual = f"leads to {seen.target}" if seen.target else "is no link"
            remedy = "run `compatlayer install`"
            self._report(LinkNotAsDeclared, seen, f"a link to {target}", f"{actual}, declared is {target}", remedy)

    def _link(self, seen: Seen) -> None:
        if VARIANT in seen.target:
            self._variant(seen)
            return
        leads = self._resolver.follow(seen.path)
        match leads.where:
            case Where.MISSING:
                actual = f"leads to {seen.target}, and {leads.path} is not there"
                self._report(LinkDangling, seen, "a target that exists", actual, "install what it leads to, or remove it")
            case Where.LOOP:
                self._report(LinkLoop, seen, "a target", f"leads to {seen.target}, and never ends", "remove it")
            case Where.OUTSIDE:
                self._outside(seen, leads)
            case Where.INSIDE | Where.VARIANT:
                pass

    def _outside(self, seen: Seen, leads: Leads) -> None:
        if f"{leads.path}/".startswith(KERNEL):
            return
        if any(leads.path == link.target or leads.path == f"/{str(link.path).strip('/')}" for link in self._declared.values()):
            return  # by way of a declared link
        actual = f"leads to {seen.target}, outside the prefix"
        if leads.path != seen.target:
            actual += f" ({leads.path})"
        self._report(LinkOutside, seen, "a target in the prefix", actual, "declare it under host_links, or fix the ebuild")

    def _variant(self, seen: Seen) -> None:
        rest = _VARIANT.sub("", seen.target)
        without = [found["name"] for found in _VARIANT.finditer(seen.target) if found["default"] is None]
        if VARIANT in rest:
            actual = f"has a target that cannot be understood: {seen.target}"
            self._report(VariantLink, seen, "$(NAME:-default)", actual, "correct it")
        elif without:
            actual = f"leads nowhere on clients that do not set {', '.join(without)}: {seen.target}"
            self._report(VariantLink, seen, "$(NAME:-default)", actual, "give it a default")

    def _file(self, seen: Seen, mode: int) -> None:
        if not mode & stat.S_IROTH and not PRIVATE.fullmatch(seen.path):
            self._mode(Unreadable, seen, "readable for others", "can only be read by its owner", "chmod o+r")
        # Where there is a policy, its check says what is allowed.
        if mode & (stat.S_ISUID | stat.S_ISGID) and not self._has_policy:
            kind = "setuid" if mode & stat.S_ISUID else "setgid"
            self._mode(SetUserId, seen, "neither setuid nor setgid", f"is {kind}", "build it without, or allow it in the policy")
        if mode & stat.S_IWOTH:
            self._mode(WorldWritable, seen, "not writable for others", "can be written by anybody", "chmod o-w")
        if seen.status.st_nlink > 1:
            self.found.append((seen.status.st_dev, seen.status.st_ino, seen.status.st_nlink, seen.path, seen.package))

    def _directory(self, seen: Seen, mode: int) -> None:
        needed = stat.S_IROTH | stat.S_IXOTH
        if mode & needed != needed and not PRIVATE.fullmatch(seen.path):
            self._mode(Unreadable, seen, "open to others", "can only be entered by its owner", "chmod o+rx")
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            self._mode(WorldWritable, seen, "not writable for others", "can be written by anybody", "chmod o-w")

    def _mode(self, kind: type[ModeFinding], seen: Seen, expected: str, actual: str, remedy: str) -> None:
        self._report(kind, seen, expected, f"{actual} (mode {stat.S_IMODE(seen.status.st_mode):04o})", remedy)

    def _name(self, seen: Seen) -> None:
        name = seen.name
        if name.isascii() and name.isprintable():
            return
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(name).decode("utf-8", "backslashreplace")
            self._report(NameNotUtf8, seen, "UTF-8", f"has a name that is not UTF-8: {shown}", "rename it in the ebuild")
        if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in name):
            actual = f"has a control character in its name: {name!r}"
            self._report(NameWithControl, seen, "printable characters", actual, "rename it in the ebuild")

    def _report(self, kind: type[LinkFinding], seen: Seen, expected: str, actual: str, remedy: str) -> None:
        self.found.append(kind(package=seen.package, path=seen.path, expected=expected, actual=actual, remedy=remedy))


@check("links", visitor=LinkVisitor)
def links(context: Context) -> Iterator[Finding]:
    """Links lead somewhere, readers can read, and names, modes and types are fit to be published."""
    found: list[Finding] = []
    shared: dict[tuple[int, int, int], list[tuple[str, str]]] = {}
    for report in context.pass_.reports("links"):
        if isinstance(report, Finding):
            found.append(report)
        else:
            device, inode, count, path, package = report
            shared.setdefault((device, inode, count), []).append((path, package))
    found += _hard_links(shared)
    found += _case_collisions(context)
    yield from context.in_order(found)


def _hard_links(shared: dict[tuple[int, int, int], list[tuple[str, str]]]) -> Iterator[Finding]:
    for (_, _, count), names in shared.items():
        packages = sorted({package for _, package in names})
        if len(packages) < 2 or len(names) != count:
            continue
        paths = tuple(sorted(path for path, _ in names))
        owners = ", ".join(package or "no package" for package in packages)
        yield HardLinkAcross(
            package=packages[-1],
            path=paths[0],
            paths=paths,
            expected="a file of its own",
            actual=f"is the same file as {', '.join(paths[1:])} ({owners})",
            remedy="copy it over itself",
        )


def _case_collisions(context: Context) -> Iterator[Finding]:
    for directory, groups in context.pass_.case_groups.items():
        for names in groups:
            path = join(directory, names[0])
            records = context.pass_.ownership.records(directory).get(names[0], [])
            yield CaseCollision(
                package=records[0].package if records else "",
                path=path,
                names=tuple(names),
                expected="names that differ in more than case",
                actual=f"differs only in case from {', '.join(names[1:])}",
                remedy="rename one in the ebuild",
            )
