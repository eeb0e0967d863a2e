"""Where a file may be had, in Portage's order: own mirrors, what ``mirror://`` names mean, upstream.

An own mirror is one named ``local`` in the declaration's ``mirrors`` or in the environment (``COMPATLAYER_MIRROR_LOCAL``), as in
Portage's ``etc/portage/mirrors``: the URL above its ``distfiles`` directory. Restrictions are Portage's, too: RESTRICT=fetch
leaves upstream out, and private mirrors may hold what public ones may not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from compatlayer.gentoo.packages import SourceUri
from compatlayer.mirror import layout
from compatlayer.mirror.distfiles import Wanted
from compatlayer.mirror.layout import FLAT, Layout

log = logging.getLogger(__name__)

OWN = "local"
OWN_MIRROR, UPSTREAM, DIRECTORY = "own mirror", "upstream", "directory"
# Where a mirror keeps git bundles of ebuild trees, beside its distfiles, and what it says of them there.
TREES, MANIFEST = "trees", "Manifest"
_SMALL_TIMEOUT_S = (10.0, 20.0)
_SMALL_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Source:
    """One place to try. ``origin`` is ``own mirror``, ``mirror://NAME``, ``upstream`` or ``directory``."""

    url: str
    origin: str


@dataclass(frozen=True, slots=True)
class OwnMirror:
    """A mirror of ours with its layouts; ``base`` is the URL of its ``distfiles``."""

    base: str
    layouts: tuple[Layout, ...] = (FLAT,)
    origin: str = OWN_MIRROR

    def url(self, wanted: Wanted) -> str:
        """Where it keeps a file."""
        return f"{self.base}/{quote(layout.best(self.layouts, wanted.hashes).path(wanted.name, wanted.hashes))}"


def of(wanted: Wanted, own: Sequence[OwnMirror], names: Mapping[str, tuple[str, ...]]) -> list[Source]:
    """Every place of a file, best first, each once."""
    ours = [Source(mirror.url(wanted), mirror.origin) for mirror in own]
    mirrored = [source for uri in wanted.uris for source in _mirrored(uri, names)]
    upstream = [
        Source(uri.uri, UPSTREAM) for uri in wanted.uris if not uri.mirror and (uri.unrestricted or not wanted.restrict.fetch)
    ]
    ordered = [*upstream, *mirrored, *ours] if wanted.primary_first else [*ours, *mirrored, *upstream]
    return list({source.url: source for source in reversed(ordered)}.values())[::-1]


def own_mirrors(names: Mapping[str, tuple[str, ...]], directories: Sequence[Path] = ()) -> list[OwnMirror]:
    """The directories given on the command line, then the mirrors named ``local``, each asked for its layout."""
    given = [OwnMirror(path.absolute().as_uri(), _local_layouts(path), DIRECTORY) for path in directories]
    return [*given, *map(_own_mirror, names.get(OWN, ()))]


def file_path(url: str) -> Path:
    """The path that a ``file:`` URL names. Raises ``ValueError`` for another machine's."""
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"{url} names a file on another machine")
    return Path(unquote(parts.path))


def _mirrored(uri: SourceUri, names: Mapping[str, tuple[str, ...]]) -> Iterator[Source]:
    if uri.mirror:
        declared = (f"{place}/{uri.path}" for place in names.get(uri.mirror, ()))
        for url in (*declared, *uri.expansions):
            yield Source(url, f"mirror://{uri.mirror}")


def _own_mirror(url: str) -> OwnMirror:
    """The mirror at ``url``. One that does not say how it is laid out is flat, as GLEP 75 has it."""
    url = url.rstrip("/")
    if urlsplit(url).scheme == "file":
        path = file_path(url)
        below = path / "distfiles"
        path = below if below.is_dir() else path
        return OwnMirror(path.as_uri(), _local_layouts(path))
    base = f"{url}/distfiles"
    try:
        return OwnMirror(base, layout.parse(_small_text(f"{base}/{layout.FILE}")))
    except (OSError, ValueError) as error:
        log.info("%s does not say how it is laid out, so it is taken for flat: %s", base, error)
        return OwnMirror(base)


def own_trees(names: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """What our own mirrors say of the ebuild trees they hold: the URL of the directory, and the text of its Manifest."""
    for url in names.get(OWN, ()):
        base = f"{url.rstrip('/')}/{TREES}"
        try:
            yield base, _small_text(f"{base}/{MANIFEST}")
        except (OSError, ValueError) as error:
            log.info("%s holds no ebuild trees: %s", url, error)


def _small_text(url: str) -> str:
    """A small file of a mirror. Raises ``OSError``, of which the errors of requests are a kind, or ``ValueError``."""
    if urlsplit(url).scheme == "file":
        with file_path(url).open("rb") as stream:
            return stream.read(_SMALL_BYTES).decode("utf-8", "replace")
    import requests  # noqa: PLC0415  (a tenth of a second that a full mirror need not pay)

    with requests.get(url, timeout=_SMALL_TIMEOUT_S, stream=True) as answer:
        answer.raise_for_status()
        return bytes(answer.raw.read(_SMALL_BYTES, decode_content=True)).decode("utf-8", "replace")


def _local_layouts(path: Path) -> tuple[Layout, ...]:
    try:
        return layout.parse((path / layout.FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return (FLAT,)
