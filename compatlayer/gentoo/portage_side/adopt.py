"""What an existing prefix consists of, as its own Portage sees it: architecture, profile, repositories, sets."""

from __future__ import annotations

import os
from typing import Any, Dict, List

from . import roots


def describe(request: Dict[str, Any]) -> Dict[str, Any]:
    """Describe the prefix at ``config_root``.

    ``sets`` holds ``system``, ``selected`` (the world file) and each selected set by name: atoms in order, each with the
    installed packages (best version last) that it matches.
    """
    config = roots.load(request["config_root"]).target_config
    settings = config.settings
    installed = config.trees["vartree"].dbapi
    portdb = config.trees["porttree"].dbapi
    sets = {"system": config.setconfig.getSetAtoms("system"), "selected": _own(config, "selected-packages")}
    for name in sorted(_own(config, "selected-sets")):
        plain = str(name).lstrip("@")
        sets[plain] = config.setconfig.getSetAtoms(plain) if plain in config.setconfig.getSets() else []
    return {
        "arch": settings["ARCH"],
        "chost": settings.get("CHOST", ""),
        "profile": os.path.realpath(settings.profile_path),
        "profile_directory": settings.profile_path,
        "repositories": [_repository(portdb, name) for name in portdb.getRepositories()],
        "sets": {name: [_member(installed, atom) for atom in sorted(map(str, atoms))] for name, atoms in sets.items()},
    }


def _own(config: Any, name: str) -> List[Any]:
    """What one of Portage's own sets holds itself, sets in it left as they are."""
    found = config.sets.get(name)
    if found is None:
        return []
    atoms = list(found.getAtoms())
    return atoms if name == "selected-packages" else [*atoms, *found.getNonAtoms()]


def _member(installed: Any, atom: str) -> Dict[str, Any]:
    from portage.dep import Atom
    from portage.exception import InvalidAtom

    try:
        found = installed.match(Atom(atom, allow_repo=True))
    except InvalidAtom:
        found = []
    return {"atom": atom, "installed": [str(cpv) for cpv in found]}


def _repository(portdb: Any, name: str) -> Dict[str, Any]:
    found = portdb.repositories[name]
    main = portdb.repositories.mainRepo()
    return {
        "name": name,
        "location": found.location,
        "masters": [master.name for master in found.masters or ()],
        "sync_type": found.sync_type or "",
        "sync_uri": found.sync_uri or "",
        "is_main": main is not None and main.name == name,
    }
