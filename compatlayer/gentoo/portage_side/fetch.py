"""Fetch maps: which files a package needs, where each may be had, and what its Manifest says it is."""

from __future__ import annotations

import os
from typing import Any, Dict, List

from portage.const import CUSTOM_MIRRORS_FILE
from portage.dep import use_reduce
from portage.exception import InvalidDependString, PortageException
from portage.util import grabdict

from . import roots
from .refusal import Refused

MIRROR = "mirror://"
# EAPI 8: a place that RESTRICT=fetch or RESTRICT=mirror does not hold for (PMS, "URI restrictions").
UNRESTRICTED = ("fetch+", "mirror+")


def fetch_map(request: Dict[str, Any]) -> List[Dict[str, Any]]:
    """For each of ``packages`` ({cpv, repository, use}): its distfiles in SRC_URI's order.

    Raises ``Refused`` when an ebuild is gone or its SRC_URI cannot be parsed. A file that the Manifest lacks has no size.
    """
    config = roots.load(request["config_root"]).target_config
    return [_of_package(config, package) for package in request["packages"]]


def _of_package(config: Any, package: Dict[str, Any]) -> Dict[str, Any]:
    portdb = config.trees["porttree"].dbapi
    cpv, repository = package["cpv"], package["repository"]
    ebuild, tree = portdb.findname2(cpv, myrepo=repository)
    if not ebuild:
        raise Refused([{"kind": "invalid", "atom": f"={cpv}::{repository}", "detail": "its ebuild is gone"}])
    use = frozenset(package["use"])
    try:
        files = portdb.getFetchMap(cpv, useflags=use, mytree=tree)
        eapi, restrict = portdb.aux_get(cpv, ["EAPI", "RESTRICT"], mytree=tree)
        words = use_reduce(restrict, uselist=use, flat=True, eapi=eapi)
    except InvalidDependString as error:
        raise Refused([{"kind": "invalid", "atom": f"={cpv}::{repository}", "detail": str(error)}]) from error
    digests = manifest_digests(config, os.path.dirname(ebuild), tree)
    mirrors = _mirrors(config.settings)
    return {
        "cpv": cpv,
        "repository": repository,
        "restrict": sorted(set(map(str, words))),
        "distfiles": [
            {"name": name, "uris": [_uri(uri, mirrors) for uri in uris], **_manifest(digests.get(name))}
            for name, uris in files.items()
        ],
    }


def _mirrors(settings: Any) -> Dict[str, List[str]]:
    """What each ``mirror://`` name means: the root's own ``etc/portage/mirrors`` first, then what the repositories say."""
    custom = grabdict(os.path.join(settings["PORTAGE_CONFIGROOT"], CUSTOM_MIRRORS_FILE), recursive=1)
    found: Dict[str, List[str]] = {name: list(places) for name, places in custom.items()}
    for name, places in settings.thirdpartymirrors().items():
        found[name] = list(dict.fromkeys(found.get(name, []) + list(places)))
    return found


def manifest_digests(config: Any, directory: str, tree: str) -> Dict[str, Any]:
    """What the package's Manifest says of its distfiles; empty without one."""
    repository = config.settings.repositories.get_repo_for_location(tree)
    try:
        manifest = repository.load_manifest(directory, config.settings["DISTDIR"])
    except (PortageException, OSError):
        return {}
    found: Dict[str, Any] = manifest.getTypeDigests("DIST")
    return found


def _manifest(digest: Any) -> Dict[str, Any]:
    if not digest:
        return {"size": None, "hashes": {}}
    hashes = {name: str(value) for name, value in digest.items() if name != "size"}
    return {"size": int(digest["size"]), "hashes": hashes}


def _uri(uri: str, mirrors: Dict[str, List[str]]) -> Dict[str, Any]:
    unrestricted = None
    for prefix in UNRESTRICTED:
        if uri.startswith(prefix):
            unrestricted, uri = prefix[:-1], uri[len(prefix) :]
    answer: Dict[str, Any] = {"uri": uri, "mirror": None, "path": "", "expansions": [], "unrestricted": unrestricted}
    if uri.startswith(MIRROR):
        name, _, path = uri[len(MIRROR) :].partition("/")
        places = [f"{place.rstrip('/')}/{path}" for place in mirrors.get(name, [])]
        answer.update(mirror=name, path=path, expansions=places)
    return answer
