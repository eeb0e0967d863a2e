"""What can be wrong with a program or a library: the findings of the check ``linkage``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compatlayer.findings import Finding, Severity

REBUILD = "build the package again"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkageFinding(Finding):
    """Something about ELF files of one package. ``subject`` is what they have in common, ``files`` are all of them."""

    check: ClassVar[str] = "linkage"
    severity: ClassVar[Severity] = Severity.ERROR

    subject: str = ""
    files: tuple[str, ...] = ()
    remedy: str = REBUILD

    @property
    def description(self) -> str:
        """One line: the file, wanted and found, how many more there are, and whose they are."""
        more = f", and {len(self.files) - 1} more" if len(self.files) > 1 else ""
        owner = f" ({self.package})" if self.package else ""
        return f"{self.path}{more}: expected {self.expected}, found {self.actual}{owner}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfDamaged(LinkageFinding):
    """A file begins as a program or library does, but is cut short, or contradicts itself.

    A full disk, an interrupted copy or a failing medium leaves such files; the loader refuses them, or crashes. Build the package
    again, or restore the file from a published revision.
    """

    identifier: ClassVar[str] = "elf-damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfWrongMachine(LinkageFinding):
    """A program or library is for another architecture, word size or byte order than this target.

    A cross build that took the building machine's compiler for a helper program does this, and a pre-built binary in a source
    archive. Where no target is declared, what most files of the tree are for counts.
    """

    identifier: ClassVar[str] = "elf-wrong-machine"
    remedy: str = "have its build use the target's compiler (CHOST), or keep the file out of the package"


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfInterpreterMissing(LinkageFinding):
    """A program names a dynamic loader inside the prefix, and there is none, or one for another machine.

    Starting it fails with "no such file or directory", although the program is there. The C library is missing or damaged, or the
    program was built for another prefix.
    """

    identifier: ClassVar[str] = "elf-interpreter-missing"
    remedy: str = "see to it that the C library is whole; else build the package again, in this prefix"


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfInterpreterOutside(LinkageFinding):
    """A program is started by a dynamic loader of the host, in a layer that brings its own.

    It then runs with the host's C library: not at all on a host with an older one, and with a mixture of two where its other
    libraries come from the layer. It was linked without the layer's compiler wrapper, or came ready-made. A layer on the host's C
    library (engine ``guest``) takes the loader where every host has it, in ``/lib`` or ``/lib64``, and nowhere else.
    """

    identifier: ClassVar[str] = "elf-interpreter-outside"
    remedy: str = "have its build link through the compiler that the layer names (CC, CXX, LDFLAGS)"


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryMissing(LinkageFinding):
    """A program or library needs a shared library that is nowhere in the layer.

    It does not start, or is loaded from the host where that happens to have it. The package that brings the library was removed,
    or lost files, or is missing from RDEPEND.
    """

    identifier: ClassVar[str] = "library-missing"
    remedy: str = "install what brings the library; if RDEPEND lacks it, add it there"


@dataclass(frozen=True, slots=True, kw_only=True)
class SonameReplaced(LinkageFinding):
    """A package still needs a version of a shared library that an update has replaced.

    The library is there under another soname: the update was of one that breaks binaries, and this package was not built again
    (its ebuild asks for the library without ``:=``, or ``install`` was interrupted).
    """

    identifier: ClassVar[str] = "soname-replaced"
    remedy: str = "build the package again; ask for the library with := in its ebuild, so that this happens by itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryOutOfReach(LinkageFinding):
    """A library that a program needs is in the layer, but not in a directory where the loader looks for that program.

    The loader looks into RPATH or RUNPATH of the file that needs it, into its cache and into its own directories. Usually the
    library lies in a directory of its own, and the linker was not told with ``-rpath``; or RUNPATH was written where RPATH was
    meant, which libraries do not inherit.
    """

    identifier: ClassVar[str] = "library-out-of-reach"
    remedy: str = "link it with -Wl,-rpath and the library's directory, or install the library where the loader looks"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginLibraryOutOfReach(LibraryOutOfReach):
    """A library that no program of the layer is linked with needs another one, which lies where the loader does not look.

    A plugin may be loaded by a program that has that library already, so this need not fail; a library that users link with does.
    The remedy is the same: an ``-rpath`` of its own.
    """

    identifier: ClassVar[str] = "plugin-library-out-of-reach"
    severity: ClassVar[Severity] = Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryFromHost(LinkageFinding):
    """A library is taken from the host, in a layer that brings its own C library: through a link, a whole path, or the cache.

    Two C libraries in one process crash sooner or later, and other hosts have another library, or none. Where it is meant, as for
    a driver, declare the link under ``host_links``.
    """

    identifier: ClassVar[str] = "library-from-host"
    remedy: str = "bring the library in the layer, or declare the link under host_links"


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryLeftToHost(LinkageFinding):
    """A file needs a library that is not in the layer, which was built on the host's C library: hosts must have it.

    The C library and the compiler's own libraries are on every host and not reported. Any other is one more thing that has to be
    the same everywhere. The configuration of the build found it on the building machine.
    """

    identifier: ClassVar[str] = "library-left-to-host"
    severity: ClassVar[Severity] = Severity.WARNING
    remedy: str = "declare the package that brings the library, or build without it"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPathUnsafe(LinkageFinding):
    """A file's search path for libraries has an entry that others control: an empty or relative one, or a public directory.

    Relative entries mean the directory a user happens to be in, ``/tmp`` what anybody puts there: code of theirs then runs in the
    name of whoever starts the program.
    """

    identifier: ClassVar[str] = "search-path-unsafe"
    remedy: str = "remove the entry where the package sets it (-rpath, libtool), or with patchelf at the end of its build"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPathOutside(LinkageFinding):
    """A file's search path for libraries names a directory of the host, in a layer that brings its own libraries.

    On a host that has such a directory, a library in it comes before the layer's. Directories that the declaration names under
    ``trusted_dirs`` are meant.
    """

    identifier: ClassVar[str] = "search-path-outside"
    severity: ClassVar[Severity] = Severity.WARNING
    remedy: str = "remove the entry where the package sets it (-rpath, libtool)"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRelocations(LinkageFinding):
    """A file's code has to be changed when it is loaded (text relocations).

    It cannot be shared between processes, and hosts with a strict policy (SELinux) refuse to load it. Its build mixed in code
    that is not position independent.
    """

    identifier: ClassVar[str] = "text-relocations"
    severity: ClassVar[Severity] = Severity.WARNING
    remedy: str = "compile all of it with -fPIC; assembler sources need attention of their own"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutableStack(LinkageFinding):
    """A file asks for a stack from which code can be run, or does not say that it needs none.

    That undoes a protection for the whole process, and the newest C libraries and strict hosts refuse to load such a library.
    Nearly always an assembler source lacks its ``.note.GNU-stack``.
    """

    identifier: ClassVar[str] = "executable-stack"
    severity: ClassVar[Severity] = Severity.WARNING
    remedy: str = "mark the assembler sources, or link with -Wl,-z,noexecstack"
