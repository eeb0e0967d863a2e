"""What a layer needs: every source file of the closures, with its sources, its restrictions and who asks for it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from compatlayer.declaration.model import Layer, Target, Version
from compatlayer.declaration.names import FILE_NAME
from compatlayer.gentoo.packages import Distfile, FetchMap, ResolvedPackage, SourceUri
from compatlayer.mirror import hashes, resolved
from compatlayer.progress import Monitor, StepStarted
from compatlayer.selection import Selection, select

if TYPE_CHECKING:
    from compatlayer.gentoo.client import Worker

NAME = re.compile(FILE_NAME)


@dataclass(frozen=True, slots=True, order=True)
class Need:
    """Who needs a file: a package of a part (``2026.11/linux-x86_64``), or an engine (``engine guest``)."""

    part: str
    package: str

    def __str__(self) -> str:
        return f"{self.package} ({self.part})"


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What RESTRICT says (ebuild(5)): may it be fetched by a program, put on a public mirror; may binaries be given away.

    ``mirror`` is what keeps a file out of what is served and exported. ``bindist`` concerns packages built from it, and is
    only reported.
    """

    fetch: bool = False
    mirror: bool = False
    bindist: bool = False

    def __or__(self, other: Restrictions) -> Restrictions:
        return Restrictions(self.fetch or other.fetch, self.mirror or other.mirror, self.bindist or other.bindist)

    def __str__(self) -> str:
        return " ".join(name for name in ("fetch", "mirror", "bindist") if getattr(self, name))


@dataclass(frozen=True, slots=True)
class Wanted:
    """One source file: what it must be, where SRC_URI says it is, and who needs it.

    ``trouble`` says why it cannot be had at all, whatever a server sends: no Manifest entry, or two that contradict.
    """

    name: str
    size_bytes: int
    hashes: Mapping[str, str]
    uris: tuple[SourceUri, ...] = ()
    restrict: Restrictions = Restrictions()
    primary_first: bool = False
    needs: tuple[Need, ...] = ()
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Wants:
    """All files that some parts need, by name, and which parts those are. ``whole``: nothing else is needed by these parts."""

    files: Mapping[str, Wanted] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    whole: bool = True


def of_layer(
    layer: Layer, versions: Sequence[Version], targets: Sequence[Target], state: Path, monitor: Monitor | None = None
) -> Wants:
    """What the declared closures need: every combination of ``versions`` and ``targets``, resolved by one Portage.

    Raises ``ResolveError`` when Portage finds no way, ``HostError`` when the engine lacks something here.
    """
    found: list[tuple[str, Iterable[FetchMap]]] = []
    with ExitStack() as closing:
        worker: Worker | None = None
        for version in versions:
            for target in targets:
                chosen = select(layer, version, target, state)
                part = str(chosen.part)
                key = resolved.key(chosen, state)
                maps = resolved.recall(state, part, key)
                if maps is None:
                    # Neither is needed as long as nothing changes, and both take their time.
                    from compatlayer import resolver  # noqa: PLC0415
                    from compatlayer.gentoo.client import Worker  # noqa: PLC0415

                    if monitor is not None:
                        monitor.tell(StepStarted(f"resolving {part}"))
                    if worker is None:
                        # What is new will have to be fetched; the libraries for that load while Portage thinks.
                        threading.Thread(target=_load_fetching, daemon=True).start()
                        worker = closing.enter_context(Worker())
                    root = resolver.root(chosen, state)
                    closure = worker.closure(root, chosen.atoms, system=chosen.engine.installs_system)
                    maps = worker.fetch_maps(root, closure.packages)
                    resolved.remember(state, part, key, maps)
                found.append((part, maps))
                found.append((part, [engine_sources(chosen)]))
    return collect(found)


def _load_fetching() -> None:
    import compatlayer.mirror.fetching  # noqa: F401, PLC0415


def engine_sources(chosen: Selection) -> FetchMap:
    """What the engine itself needs for this part."""
    return FetchMap(f"engine {chosen.engine.name}", "", tuple(chosen.engine.sources(chosen.version)))


def of_engine(chosen: Selection) -> Wants:
    """What the engine itself needs for a part, whose packages are perhaps not known yet."""
    return replace(collect([(str(chosen.part), [engine_sources(chosen)])]), whole=False)


def of_packages(part: str, config_root: Path, packages: Sequence[ResolvedPackage], extra: Sequence[FetchMap] = ()) -> Wants:
    """What these packages of one part need, of perhaps many. Raises ``ResolveError`` when an ebuild is gone."""
    maps: tuple[FetchMap, ...] = ()
    if packages:
        from compatlayer.gentoo.client import Worker  # noqa: PLC0415

        with Worker() as worker:
            maps = worker.fetch_maps(config_root, packages)
    return replace(collect([(part, (*maps, *extra))]), whole=False)


def collect(found: Iterable[tuple[str, Iterable[FetchMap]]]) -> Wants:
    """Merge the fetch maps of parts: a file that several packages name is wanted once, and must be the same for all."""
    files: dict[str, Wanted] = {}
    parts: dict[str, None] = {}
    for part, maps in found:
        parts[part] = None
        for one in maps:
            for distfile in one.distfiles:
                wanted = _wanted(distfile, one.restrict, Need(part, one.cpv))
                there = files.get(distfile.name)
                files[distfile.name] = _merge(there, wanted) if there else wanted
    return Wants(dict(sorted(files.items())), tuple(parts))


def _wanted(file: Distfile, restrict: Sequence[str], need: Need) -> Wanted:
    trouble = None
    known = hashes.usable(file.hashes)
    if not NAME.fullmatch(file.name):
        trouble = f"{file.name!r} is not a file name that a mirror can keep"
    elif file.size_bytes is None or not file.hashes:
        trouble = f"the Manifest of {need.package} does not name it"
    elif not hashes.is_strong(known):
        trouble = f"the Manifest of {need.package} has no hash that is strong enough: {', '.join(sorted(file.hashes))}"
    fetch = "fetch" in restrict
    # fetch+ permits fetching from this place but no mirroring; mirror+ permits both (PMS, "URI restrictions").
    freed = any(uri.unrestricted == "mirror" for uri in file.uris)
    limits = Restrictions(
        fetch=fetch, mirror=(fetch or "mirror" in restrict or "nomirror" in restrict) and not freed, bindist="bindist" in restrict
    )
    return Wanted(file.name, file.size_bytes or 0, known, file.uris, limits, "primaryuri" in restrict, (need,), trouble)


def _merge(one: Wanted, other: Wanted) -> Wanted:
    """Both are called the same. They must be the same, or nobody gets it: a mirror has one place for a name."""
    trouble = one.trouble or other.trouble
    shared = set(one.hashes) & set(other.hashes)
    if trouble is None and (one.size_bytes != other.size_bytes or any(one.hashes[name] != other.hashes[name] for name in shared)):
        trouble = f"{one.needs[0]} and {other.needs[0]} mean different files by this name"
    return Wanted(
        name=one.name,
        size_bytes=one.size_bytes or other.size_bytes,
        hashes={**one.hashes, **other.hashes},
        uris=tuple(dict.fromkeys((*one.uris, *other.uris))),
        restrict=one.restrict | other.restrict,
        primary_first=one.primary_first or other.primary_first,
        needs=tuple(dict.fromkeys((*one.needs, *other.needs))),
        trouble=trouble,
    )
