"""The check ``loader``: what a layer's own dynamic loader was told leads nowhere outside, and to where the site was promised.

A GNU C library's loader searches the directories that were compiled into it, then what its cache says, and puts the libraries of
``ld.so.preload`` before all others (ld.so(8)). All three are in the layer, and are read here; nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from compatlayer.engine.wrapper import LOADERS
from compatlayer.findings import Finding, Severity
from compatlayer.verify.elf.loader import read_cache, system_directories
from compatlayer.verify.reading.resolver import Resolver, Where, within
from compatlayer.verify.registry import Context, check

CACHE, PRELOAD = "etc/ld.so.cache", "etc/ld.so.preload"
_PLACES = ("lib64", "lib", "usr/lib64", "usr/lib")
_MAX_BYTES = 1 << 24
_REBUILD = "build the C library again with the declared trusted_dirs"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderFinding(Finding):
    """The layer's loader would load something else than the layer's libraries."""

    check: ClassVar[str] = "loader"
    severity: ClassVar[Severity] = Severity.ERROR

    @property
    def description(self) -> str:
        """One line: the file, wanted and found."""
        return f"{self.path}: expected {self.expected}, found {self.actual}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOutside(LoaderFinding):
    """The loader's cache names a library outside the prefix.

    Every program that needs a library of that name gets the host's, whatever the layer has, and crashes where the host has none
    or one for another C library. A cache is made by ldconfig; without one the loader searches its directories, which is as good.
    """

    identifier: ClassVar[str] = "loader-cache-outside"
    remedy: str = "remove the cache: the loader does not need one"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreloadOutside(LoaderFinding):
    """The layer's ``etc/ld.so.preload`` names a library outside the prefix.

    The loader puts it before all others, in every program of the layer. A library of the host needs the host's C library, which
    is not the layer's: programs crash, or print an error each time they start. Monitoring that has to see a job's programs is set
    up by the job's environment.
    """

    identifier: ClassVar[str] = "loader-preload-outside"
    remedy: str = "remove the line, or the file"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryOutside(LoaderFinding):
    """The loader was built to search a directory outside the prefix that is not declared among ``trusted_dirs``.

    What lies there on a host is loaded into the layer's programs. A C library that was not configured for the prefix searches
    ``/lib64`` and ``/usr/lib64``.
    """

    identifier: ClassVar[str] = "loader-directory-outside"
    remedy: str = "build the C library for this prefix, or declare the directory in trusted_dirs"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedDirectoryMissing(LoaderFinding):
    """A declared trusted directory is not among those that the loader searches.

    ``trusted_dirs`` is where a site puts a vendor's driver, or a library that wins over the layer's; people rely on it. The list
    is compiled into the loader, so a changed declaration has no effect until the C library is built again.
    """

    identifier: ClassVar[str] = "loader-trusted-directory-missing"
    remedy: str = _REBUILD


@check("loader")
def loader(context: Context) -> Iterator[Finding]:
    """The layer's loader searches the layer's directories and the declared ones, and no others."""
    with Resolver(context.prefix_tree, context.prefix) as resolver:
        found = _loader(resolver, context.part.target.arch if context.part else None)
        if found is None:
            return  # on the host's C library: what the host's loader is told is the host's
        path, directories = found
        owner = _owner(context, path)
        outside = [each for each in directories if within(each, context.prefix) is None]
        declared = [directory.rstrip("/") for directory in context.trusted_dirs]
        for directory in outside:
            if directory not in declared:
                yield DirectoryOutside(path=path, expected=f"directories below {context.prefix}", actual=directory, package=owner)
        for directory in declared:
            if directory not in directories:
                yield TrustedDirectoryMissing(path=path, expected=directory, actual=":".join(directories), package=owner)
        yield from _cache(context, resolver)
        yield from _preload(context, resolver)


def _loader(resolver: Resolver, arch: str | None) -> tuple[str, tuple[str, ...]] | None:
    """Where the layer's loader lies, and the directories in it; None where the layer has no GNU C library's."""
    names = [LOADERS[arch]] if arch is not None and arch in LOADERS else list(LOADERS.values())
    for place in _PLACES:
        for name in names:
            end = resolver.follow(f"{place}/{name}")
            if end.where is Where.INSIDE and (directories := system_directories(resolver.read(end.path, _MAX_BYTES) or b"")):
                return end.path, directories
    return None


def _cache(context: Context, resolver: Resolver) -> Iterator[Finding]:
    cache = read_cache(resolver.read(CACHE, _MAX_BYTES) or b"")
    outside = [path for paths in cache.values() for path in paths if within(path, context.prefix) is None]
    if outside:
        more = f", and {len(outside) - 1} more" if len(outside) > 1 else ""
        yield CacheOutside(path=CACHE, expected=f"libraries below {context.prefix}", actual=f"{outside[0]}{more}")


def _preload(context: Context, resolver: Resolver) -> Iterator[Finding]:
    text = (resolver.read(PRELOAD, _MAX_BYTES) or b"").decode("utf-8", "surrogateescape")
    for line in text.splitlines():
        for name in line.partition("#")[0].replace(":", " ").split():
            if name.startswith("/") and within(name, context.prefix) is None:
                yield PreloadOutside(path=PRELOAD, expected=f"libraries below {context.prefix}", actual=name)


def _owner(context: Context, path: str) -> str:
    """The package that brought the loader; empty when nobody says so."""
    directory, _, name = path.rpartition("/")
    records = context.pass_.ownership.records(directory).get(name, ())
    return records[0].package if records else ""
