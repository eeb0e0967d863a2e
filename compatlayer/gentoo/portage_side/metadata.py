"""The md5-cache of a repository, brought up to date as ``egencache --update`` does."""

from __future__ import annotations

from typing import Any, Dict, List, Set

from portage.versions import cpv_getkey

from . import roots
from .refusal import Refused


def metadata_cache(request: Dict[str, Any]) -> Dict[str, Any]:
    """Source what has changed in ``repository`` with ``jobs`` processes, write its cache, drop what has no ebuild any more."""
    from _emerge.MetadataRegen import MetadataRegen

    config = roots.load(request["config_root"]).target_config
    portdb = config.trees["porttree"].dbapi
    location = portdb.getRepositoryPath(request["repository"])
    if location is None:
        detail = f"{request['config_root']} has no repository {request['repository']!r}"
        raise Refused([{"kind": "configuration", "detail": detail}])
    # Constrains every look-up below to this one repository.
    portdb.porttrees = [location]
    cache = _Cache(portdb, location)
    regeneration = MetadataRegen(
        portdb,
        cp_iter=iter(sorted(portdb.cp_all(trees=[location]))),
        consumer=cache.take,
        max_jobs=max(1, int(request.get("jobs", 1))),
        write_auxdb=False,
        main=True,
    )
    regeneration.start()
    regeneration.scheduler.run_until_complete(regeneration.async_wait())
    cache.forget_the_dead()
    return {"entries": len(cache.written), "failed": sorted(map(str, regeneration.cpv_failed))}


class _Cache:
    """The pregenerated caches of one repository (``cache-formats`` in its layout.conf)."""

    def __init__(self, portdb: Any, location: str) -> None:
        repository = portdb.repositories.get_repo_for_location(location)
        self._eclasses = repository.eclass_db
        self._keys = portdb._known_keys
        self._caches: List[Any] = list(repository.iter_pregenerated_caches(self._keys, force=True, readonly=False))
        if not self._caches:
            detail = f"{location}: none of its cache-formats is known"
            raise Refused([{"kind": "configuration", "detail": detail}])
        self.written: Set[str] = set()

    def take(self, cpv: Any, _path: str, metadata: Any, ebuild_hash: Any, eapi_supported: bool) -> None:
        """Called for each ebuild once its metadata is known."""
        if metadata is None or not eapi_supported:
            return
        self.written.add(str(cpv))
        for cache in self._caches:
            if not self._is_current(cache, cpv, metadata, ebuild_hash):
                metadata[f"_{cache.validation_chf}_"] = getattr(ebuild_hash, cache.validation_chf)
                cache[cpv] = metadata

    def _is_current(self, cache: Any, cpv: Any, metadata: Any, ebuild_hash: Any) -> bool:
        """Whether the entry says the same already: an unchanged file keeps its time stamp."""
        try:
            there = cache[cpv]
        except Exception:  # a missing or damaged entry, whatever the format calls it, is written anew
            return False
        valid = cache.validate_entry(there, ebuild_hash, self._eclasses)
        return bool(valid) and all(there.get(key, "") == metadata.get(key, "") for key in self._keys)

    def forget_the_dead(self) -> None:
        """Drop entries whose ebuild is gone."""
        for cache in self._caches:
            for cpv in [cpv for cpv in cache if cpv not in self.written and cpv_getkey(cpv) is not None]:
                del cache[cpv]
