"""What the resolver ran into, as structure: Portage keeps it in the graph and only ever prints it."""

from __future__ import annotations

from typing import Any, Dict, List, Set

from portage.dep import Atom

from . import atoms

Failure = Dict[str, Any]


def of_graph(config: Any, graph: Any, declared: Dict[str, List[str]]) -> List[Failure]:
    """Every failure of an unsolved graph; never empty.

    The resolver stops at its first unsatisfied atom, so the declared ones are each looked at as well: a person wants all at once.
    """
    graph.display_problems()
    dynamic = graph._dynamic_config
    found: List[Failure] = []
    for positional, named in dynamic._unsatisfied_deps_for_display:
        found.append(_unsatisfied(config, graph, positional[1], named, declared))
    if dynamic._circular_deps_for_display is not None:
        found.append(_circular(graph))
    found += [_slot_conflict(graph, conflict, declared) for conflict in dynamic._package_tracker.slot_conflicts()]
    found += [_blocker(graph, blocker) for blocker in dynamic._unsatisfied_blockers_for_display or ()]
    seen = {failure.get("atom") for failure in found if not failure["chain"][1:]}
    for text, names in declared.items():
        failure = None if text in seen else atoms.explain(config, Atom(text, allow_repo=True))
        if failure is not None:
            found.append({**failure, "chain": [{"cpv": "@" + names[0], "atom": text}]})
    return found or [{"kind": "unknown", "detail": "Portage found no solution", "chain": []}]


def _unsatisfied(config: Any, graph: Any, atom: Any, named: Dict[str, Any], declared: Dict[str, List[str]]) -> Failure:
    parent = named.get("myparent")
    chain = _chain(graph, parent, atom, declared)
    refused = named.get("show_req_use")
    if refused is not None:
        return {
            "kind": "required-use",
            "atom": str(atom.unevaluated_atom),
            "cpv": str(refused.cpv),
            "detail": " ".join(refused._metadata["REQUIRED_USE"].split()),
            "use": sorted(graph._pkg_use_enabled(refused) & refused.iuse.all),
            "chain": chain,
        }
    failure = atoms.explain(config, atom)
    if failure is None:
        # Each ebuild alone would do, but others in the graph rule them out.
        failure = {"kind": "unsatisfied", "atom": str(atom.unevaluated_atom)}
    return {**failure, "chain": chain}


def _chain(graph: Any, parent: Any, atom: Any, declared: Dict[str, List[str]]) -> List[Dict[str, str]]:
    """From the failing atom up to the declared one: each step names who asks, and for what."""
    steps = []
    seen = set()
    while parent is not None and parent not in seen:
        seen.add(parent)
        if not hasattr(parent, "cpv"):
            name = declared.get(str(parent.arg), ["declared"])[0]
            steps.append({"cpv": "@" + name, "atom": str(parent.arg)})
            break
        steps.append({"cpv": str(parent.cpv), "atom": str(atom.unevaluated_atom)})
        parents = sorted(graph._dynamic_config._parent_atoms.get(parent, ()), key=_shortest_first)
        parent, atom = next(((up, wanted) for up, wanted in parents if up not in seen), (None, None))
    return steps


def _shortest_first(pair: Any) -> Any:
    """Sort parents so that a declared one comes before a package, and otherwise always in the same order."""
    parent, atom = pair
    return (hasattr(parent, "cpv"), str(getattr(parent, "cpv", "")), str(atom))


def _circular(graph: Any) -> Failure:
    """The shortest cycle, as Portage's own handler finds it: each package with the atom by which it needs the next."""
    handler = graph._dynamic_config._circular_dependency_handler
    cycle = list(getattr(handler, "shortest_cycle", None) or ())
    # Portage lists a cycle from dependency to dependent, each package after the one that needs it.
    steps = []
    for position, package in enumerate(cycle):
        parent = cycle[position - 1]
        steps.append({"cpv": str(parent.cpv), "atom": _atom_between(graph, parent, package), "needs": str(package.cpv)})
    start = steps.index(min(steps, key=lambda step: step["cpv"])) if steps else 0
    return {"kind": "circular", "chain": [], "cycle": steps[start:] + steps[:start]}


def _atom_between(graph: Any, parent: Any, package: Any) -> str:
    found = sorted(
        str(atom.unevaluated_atom) for up, atom in graph._dynamic_config._parent_atoms.get(package, ()) if up == parent
    )
    return found[0] if found else str(package.cp)


def _slot_conflict(graph: Any, conflict: Any, declared: Dict[str, List[str]]) -> Failure:
    sides = []
    for package in sorted(conflict, key=lambda package: str(package.cpv)):
        parents = sorted(graph._dynamic_config._parent_atoms.get(package, ()), key=_shortest_first)
        sides.append(
            {
                "cpv": str(package.cpv),
                "repository": package.repo,
                "wanted_by": [_wanted_by(parent, atom, declared) for parent, atom in parents],
            }
        )
    return {"kind": "slot-conflict", "atom": str(conflict.atom), "chain": [], "sides": sides}


def _wanted_by(parent: Any, atom: Any, declared: Dict[str, List[str]]) -> Dict[str, str]:
    if hasattr(parent, "cpv"):
        return {"cpv": str(parent.cpv), "atom": str(atom.unevaluated_atom)}
    return {"cpv": "@" + declared.get(str(parent.arg), ["declared"])[0], "atom": str(atom)}


def _blocker(graph: Any, blocker: Any) -> Failure:
    dynamic = graph._dynamic_config
    owners: Set[str] = set()
    for edges in (dynamic._unsolvable_blockers, dynamic._blocker_parents):
        if edges.contains(blocker):
            owners.update(str(node.cpv) for node in edges.parent_nodes(blocker) if hasattr(node, "cpv"))
    unblocked = Atom(str(blocker.atom).lstrip("!"), allow_repo=True)
    blocked = {str(package.cpv) for package in dynamic._package_tracker.match(blocker.root, unblocked)}
    return {
        "kind": "blocker",
        "atom": str(blocker.atom),
        "chain": [],
        "blockers": sorted(owners),
        "blocked": sorted(blocked - owners),
    }
