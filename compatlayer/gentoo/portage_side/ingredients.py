"""What goes into the build of a package beside its dependencies: ebuild and eclasses, sources, what the configuration says."""

from __future__ import annotations

import hashlib
import os
from typing import Any, Dict, Iterable, List, Set

import portage
from portage.dep import use_reduce

from . import roots
from .fetch import manifest_digests
from .refusal import Refused

# Metadata, and what only the resolver reads: neither is a setting of the build.
_NOT_SETTINGS = (
    "CATEGORY PF USE PKGUSE IUSE_EFFECTIVE PORTAGE_REPO_NAME EAPI repository ACCEPT_CHOSTS ACCEPT_KEYWORDS ACCEPT_LICENSE "
    "ACCEPT_PROPERTIES ACCEPT_RESTRICT PROFILE_ONLY_VARIABLES USE_ORDER USE_EXPAND USE_EXPAND_HIDDEN USE_EXPAND_IMPLICIT "
    "USE_EXPAND_UNPREFIXED IUSE_IMPLICIT ENV_UNSET FEATURES PORTAGE_ARCHLIST"
)
NOT_SETTINGS = frozenset(_NOT_SETTINGS.split())


def ingredients(request: Dict[str, Any]) -> List[Dict[str, Any]]:
    """For each of ``packages`` ({cpv, repository, use}): digests (SHA-256) of files by name, and evaluated settings.

    Settings are those that a profile, ``make.conf`` or ``package.env`` gives; Portage's own defaults and the calling environment
    are not among them. Raises ``Refused`` when an ebuild is gone.
    """
    config = roots.load(request["config_root"]).target_config
    settings = portage.config(clone=config.settings)
    read = _Digests()
    return [_Package(config, settings, package, read).describe() for package in request["packages"]]


class _Digests:
    """SHA-256 of files, each read once: many packages share their eclasses."""

    def __init__(self) -> None:
        self._known: Dict[str, str] = {}

    def of(self, path: str) -> str:
        if path not in self._known:
            with open(path, "rb") as stream:
                self._known[path] = hashlib.sha256(stream.read()).hexdigest()
        return self._known[path]


class _Package:
    """One package of a request."""

    def __init__(self, config: Any, settings: Any, package: Dict[str, Any], read: _Digests) -> None:
        self.config, self.settings, self.read = config, settings, read
        self.cpv, self.repository, self.use = package["cpv"], package["repository"], frozenset(package["use"])
        self.portdb = config.trees["porttree"].dbapi
        self.ebuild, self.tree = self.portdb.findname2(self.cpv, myrepo=self.repository)
        if not self.ebuild:
            raise Refused([{"kind": "invalid", "atom": f"={self.cpv}::{self.repository}", "detail": "its ebuild is gone"}])

    def describe(self) -> Dict[str, Any]:
        keys = [*self.portdb._aux_cache_keys, "INHERITED"]
        metadata = dict(zip(keys, self.portdb.aux_get(self.cpv, keys, mytree=self.tree)))
        metadata["repository"] = self.repository
        self.settings.setcpv(self.cpv, mydb=metadata)
        properties = use_reduce(metadata["PROPERTIES"], uselist=self.use, flat=True, eapi=metadata["EAPI"])
        return {
            "cpv": self.cpv,
            "ebuild": self.read.of(self.ebuild),
            "eclasses": self._eclasses(metadata["INHERITED"].split()),
            "files": self._files(),
            "sources": self._sources(),
            "hooks": self._hooks(),
            "settings": self._settings(set(metadata)),
            "features": sorted(self.settings.features),
            "use": sorted(self.settings.get("PORTAGE_USE", "").split()),
            "live": "live" in properties,
        }

    def _eclasses(self, names: Iterable[str]) -> Dict[str, str]:
        known = self.portdb.repositories.get_repo_for_location(self.tree).eclass_db.eclasses
        return {name: self.read.of(known[name].location) for name in names}

    def _files(self) -> Dict[str, str]:
        """Everything in the package's FILESDIR, by path below it; a link as what it points at, which need not exist."""
        top = os.path.join(os.path.dirname(self.ebuild), "files")
        found = {}
        for parent, _, names in os.walk(top):
            for name in names:
                path = os.path.join(parent, name)
                content = self.read.of(path) if os.path.isfile(path) else f"link:{os.readlink(path)}"
                found[os.path.relpath(path, top)] = content
        return found

    def _sources(self) -> Dict[str, str]:
        """What the Manifest says of each source file; empty text for one that it does not know."""
        digests = manifest_digests(self.config, os.path.dirname(self.ebuild), self.tree)
        names = self.portdb.getFetchMap(self.cpv, useflags=self.use, mytree=self.tree)
        return {name: " ".join(f"{kind}:{value}" for kind, value in sorted(digests.get(name, {}).items())) for name in names}

    def _hooks(self) -> Dict[str, str]:
        """The profile's bashrc files for this package, in the order in which they are sourced."""
        return {f"{number:02} {os.path.basename(path)}": self.read.of(path) for number, path in enumerate(self.settings._pbashrc)}

    def _settings(self, metadata: Set[str]) -> Dict[str, str]:
        layers = self.settings.configdict
        names = {name for layer in ("repo", "defaults", "conf", "pkg") for name in layers[layer]}
        expanded = set(self.settings.get("USE_EXPAND", "").split())
        ignored = NOT_SETTINGS | metadata | expanded | self.settings._environ_filter
        names = {name for name in names - ignored if not name.startswith("USE_EXPAND_VALUES_")}
        return {name: str(self.settings.get(name, "")) for name in sorted(names)}
