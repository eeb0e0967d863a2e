"""The closure of a part, by Portage's resolver; what it said last time holds for as long as nothing it depends on has changed.

Resolving takes half a second for a small layer and many for a large one, and most commands begin with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from compatlayer import resolver as resolvers
from compatlayer.gentoo import decode
from compatlayer.gentoo.failures import ResolutionError
from compatlayer.gentoo.packages import Closure
from compatlayer.journal import write_atomically
from compatlayer.mirror.resolved import key
from compatlayer.resolver import Resolver
from compatlayer.selection import Selection


def resolve(chosen: Selection, state: Path, resolver: Resolver | None = None) -> Closure:
    """The closure of a selection over an empty package database. Raises ``ResolutionError`` when Portage finds no way.

    ``resolver`` is the Portage to ask, by default the one that answers for the part as it is now. A refusal is never remembered,
    nor what another Portage than ours says: it is not ours to know when that changes.
    """
    resolver = resolver or resolvers.of_part(chosen, state)
    root = resolvers.root(chosen, state, resolver)
    if resolver.python is not None:
        return _ask(chosen, root, resolver)
    file = root.with_name(f"{root.name}.closure.json")
    wanted = key(chosen, state)
    found = _recall(file, wanted)
    if found is None:
        found = _ask(chosen, root, resolver)
        write_atomically(file, json.dumps({"key": wanted, "closure": _raw(found)}).encode())
    return found.with_compiled_in(chosen.compiled_in)


def _ask(chosen: Selection, root: Path, resolver: Resolver) -> Closure:
    with resolver.worker() as worker:
        try:
            return worker.closure(root, chosen.atoms, system=chosen.engine.installs_system)
        except ResolutionError as error:
            # Portage knows sets; a person wants the line to edit.
            raise error.located({one.atom: one.location.line_in_file for one in chosen.packages}) from error


def _recall(file: Path, wanted: str) -> Closure | None:
    """What was remembered under this key; None when there is nothing, or it cannot be read."""
    try:
        document = json.loads(file.read_bytes())
        return decode.closure(document["closure"]) if document["key"] == wanted else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _raw(closure: Closure) -> Mapping[str, Any]:
    """As the worker would say it."""
    packages = [{**asdict(package), "cpv": package.id.cpv} for package in closure]
    for package in packages:
        del package["id"], package["compiled_in"]
    return {"packages": packages, "provided": list(closure.provided)}
