"""What all packages of a part have in common, and their keys: the configuration, the compiler and its host, Portage itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from compatlayer import resolver, selection
from compatlayer.binaries import key
from compatlayer.binaries.key import Key, Premises
from compatlayer.converge import Places
from compatlayer.engine import host as machine
from compatlayer.engine.wrapper import Toolchain
from compatlayer.gentoo.ingredients import Ingredients
from compatlayer.gentoo.packages import Closure
from compatlayer.selection import Selection

# Those whose output ends up in packages: here the distribution's revision counts too.
COMPILERS = ("gcc", "g++", "as", "ld", "ldd")
# Host programs that build nothing.
BYSTANDERS = frozenset(("wget", "bwrap"))


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of a closure by ``category/name-version``, why a package has none, and who needs whom."""

    keys: Mapping[str, Key]
    without: Mapping[str, str]
    needs: Mapping[str, set[str]]


def keyring(chosen: Selection, closure: Closure, places: Places, *, bound: bool) -> Keyring:
    """The key of every package of a closure, as it would be built here and now. Raises ``ResolutionError``.

    A package whose source nobody has pinned has none, nor has what needs it: the same ebuild may give something else tomorrow.
    """
    with resolver.of_part(chosen, places.state).worker() as worker:
        described = worker.ingredients(resolver.root(chosen, places.state), closure)
        portage = worker.versions.portage
    needs = key.needed(closure)
    unpinned = {one.cpv: why for one in described if (why := _unpinned(one))}
    without = dict(unpinned)
    for one in described:
        culprit = next((other for other in sorted(key.below(one.cpv, needs)) if other in unpinned), None)
        if culprit and one.cpv not in unpinned:
            without[one.cpv] = f"needs {culprit}, where {unpinned[culprit]}"
    found = key.keys(closure, described, premises(chosen, places, portage, bound=bound))
    return Keyring({cpv: one for cpv, one in found.items() if cpv not in without}, without, needs)


def _unpinned(described: Ingredients) -> str | None:
    if described.live:
        return "the ebuild is live"
    missing = [name for name, said in described.sources.items() if not said]
    return f"the Manifest does not know {missing[0]}" if missing else None


def premises(chosen: Selection, places: Places, portage: str, *, bound: bool) -> Premises:
    """Look at this machine's compilers, and take the rest from the selection."""
    environment = chosen.engine.environment(chosen.part, chosen.host, places.workshop(bound=bound))
    return Premises(
        prefix=chosen.part.prefix,
        target=f"{chosen.part.target.name} {chosen.part.target.chost}",
        engine=chosen.engine.name.value,
        portage=portage,
        owner="root" if chosen.host.uid == 0 else "user",
        trusted_directories=tuple(chosen.version.trusted_directories(chosen.part)),
        compiled_in=chosen.engine.compiled_in(chosen.part, chosen.version),
        toolchain=_toolchain(chosen, places, bound=bound),
        environment=environment,
        features=tuple(environment.get("FEATURES", "").split()),
        configuration=selection.etc_portage(chosen),
    )


def _toolchain(chosen: Selection, places: Places, *, bound: bool) -> Mapping[str, str]:
    versions = {name: value for name, value in chosen.host.versions.items() if name not in BYSTANDERS}
    wrapper = chosen.engine.toolchain(chosen.part, chosen.host, places.seen("toolchain", bound=bound))
    found = {**versions, **machine.banners(COMPILERS)}
    if wrapper is None:
        # What is compiled is linked to the host's own libraries, whichever there are.
        return {**found, "host libraries": machine.distribution()}
    return {**found, "wrapper": _digest(wrapper)}


def _digest(wrapper: Toolchain) -> str:
    parts = [{str(path): str(what) for path, what in one.items()} for one in (wrapper.scripts, wrapper.files, wrapper.links)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
