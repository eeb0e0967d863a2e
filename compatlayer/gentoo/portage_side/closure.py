"""The declared atoms with all their dependencies, by Portage's resolver, in an order in which they can be built."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Set, Tuple

from portage.dep import Atom, match_from_list, use_reduce
from portage.exception import CorruptionError, InvalidAtom, InvalidDependString, PackageNotFound

from . import failures, roots
from .refusal import Refused

# No autounmask: a configuration that does not hold is an error, not a proposal. All build dependencies belong to a closure.
OPTIONS = {"--with-bdeps": "y", "--autounmask": "n", "--backtrack": 20, "--pretend": True, "--quiet": True}

# Which dependency variable makes which need; where an atom stands in several, the first wins (PMS, chapter 8).
NEEDS = (("runtime", ("RDEPEND", "IDEPEND")), ("post", ("PDEPEND",)), ("build", ("DEPEND", "BDEPEND")))

# Phases in which an ebuild runs code beside what is merged or removed, and which Portage therefore runs one at a time
# (ebuild-locks in make.conf(5)).
MERGE_PHASES = frozenset(("setup", "preinst", "postinst", "prerm", "postrm"))


def closure(request: Dict[str, Any]) -> Dict[str, Any]:
    """Resolve ``sets`` (name → atoms) at ``config_root``; with ``system``, the profile's system set as well.

    Gives ``packages`` in merge order (with ``system``, as far as circles let there be one) and ``provided``: entries of
    package.provided that some package relies on. Raises ``Refused`` with every atom that fails by itself, or with what the
    resolver ran into.
    """
    from _emerge.create_depgraph_params import create_depgraph_params
    from _emerge.depgraph import backtrack_depgraph

    config = roots.load(request["config_root"])
    sets = dict(request["sets"])
    if request.get("system"):
        # A profile's `packages` marks with an asterisk what the system set holds (PMS 5.2.6).
        marked = config.target_config.settings.packages
        sets["system"] = sorted(str(atom).lstrip("*") for atom in marked if str(atom).startswith("*"))
    declared = _declared(sets)
    options = dict(OPTIONS)
    parameters = create_depgraph_params(options, None)
    settings = config.target_config.settings
    try:
        success, graph, _ = backtrack_depgraph(settings, config.trees, options, parameters, None, list(declared), None)
    except (CorruptionError, PackageNotFound) as error:
        # bash could not source an ebuild that matters; its own words are on standard error.
        culprit = str(error.args[0] if error.args else error)
        raise Refused([{"kind": "invalid", "atom": culprit, "detail": "Portage cannot read its ebuild"}]) from error
    if success:
        return _Answer(graph, declared).build(graph.altlist())
    found = failures.of_graph(config.target_config, graph, declared)
    # A system set needs itself to be built, in circles. Whoever asks for one has it already, or a bootstrap that brings it.
    if not request.get("system") or any(failure["kind"] != "circular" for failure in found):
        raise Refused(found)
    return _Answer(graph, declared).build(_needs_first(graph._dynamic_config.digraph))


def _needs_first(digraph: Any) -> List[Any]:
    """The nodes of a graph that has circles, each behind what it needs wherever there is such an order."""
    ordered: Dict[Any, None] = {}
    for root in [*digraph.root_nodes(), *digraph.all_nodes()]:
        waiting = [(root, False)]
        seen = set()
        while waiting:
            node, is_done = waiting.pop()
            if is_done:
                ordered.setdefault(node)
            elif node not in ordered and node not in seen:
                seen.add(node)
                waiting.append((node, True))
                waiting += [(child, False) for child in digraph.child_nodes(node)]
    return list(ordered)


def _declared(sets: Dict[str, List[str]]) -> Dict[str, List[str]]:
    """Atom → the sets that declare it, in order."""
    declared: Dict[str, List[str]] = {}
    bad = []
    for name, atoms in sets.items():
        for text in atoms:
            declared.setdefault(text, []).append(name)
            try:
                Atom(text, allow_repo=True)
            except InvalidAtom:
                bad.append({"kind": "invalid", "atom": text, "detail": "not a valid atom", "chain": []})
    if bad:
        raise Refused(bad)
    return declared


class _Answer:
    """Turns a solved graph into the answer."""

    def __init__(self, graph: Any, declared: Dict[str, List[str]]) -> None:
        self._graph = graph
        self._declared = declared
        self._provided: Set[str] = set()
        self._needs: Dict[Any, Dict[str, str]] = {}
        self._hooks: Dict[Any, bool] = {}

    def build(self, ordered: List[Any]) -> Dict[str, Any]:
        from _emerge.Package import Package

        nodes = [node for node in ordered if isinstance(node, Package) and node.operation == "merge"]
        packages = [self._package(node) for node in nodes]
        for argument, atom in self._graph._dynamic_config._pprovided_args:
            settings = self._graph._frozen_config.pkgsettings[argument.root_config.root]
            self._provided.update(map(str, match_from_list(atom, settings.pprovideddict.get(atom.cp, []))))
        return {"packages": packages, "provided": sorted(self._provided)}

    def _package(self, node: Any) -> Dict[str, Any]:
        enabled = self._graph._pkg_use_enabled(node)
        self._note_provided(node, enabled)
        metadata = node._metadata
        return {
            "cpv": str(node.cpv),
            "slot": node.slot,
            "subslot": node.sub_slot,
            "repository": node.repo,
            "use": sorted(enabled & node.iuse.all),
            "iuse": sorted(node.iuse.all),
            "parents": self._parents(node),
            "restrict": sorted(set(_flat(metadata["RESTRICT"], enabled))),
            "license": " ".join(metadata["LICENSE"].split()),
            "merge_code": not MERGE_PHASES.isdisjoint(node.defined_phases) or self._has_hooks(node.root),
        }

    def _has_hooks(self, root: Any) -> bool:
        """Whether a profile's or a site's bashrc or env files may add code to the phases of any package."""
        if root not in self._hooks:
            settings = self._graph._frozen_config.pkgsettings[root]
            directory = os.path.join(settings["PORTAGE_CONFIGROOT"], "etc", "portage")
            here = any(os.path.lexists(os.path.join(directory, name)) for name in ("bashrc", "env"))
            self._hooks[root] = here or any(settings._profile_bashrc) or any(map(len, settings._pbashrcdict.values()))
        return self._hooks[root]

    def _parents(self, node: Any) -> List[Dict[str, str]]:
        """Who pulls this package in: each parent once per atom, the declared sets first."""
        found: Set[Tuple[int, str, str, str]] = set()
        for parent, atom in self._graph._dynamic_config._parent_atoms.get(node, ()):
            text = str(atom.unevaluated_atom)
            if not hasattr(parent, "cpv"):
                found.update((0, "@" + name, text, "runtime") for name in self._declared.get(str(parent.arg), ["declared"]))
            elif parent is not node:
                found.add((1, str(parent.cpv), text, self._need(parent, atom, node)))
        return [{"cpv": cpv, "atom": atom, "need": need} for _, cpv, atom, need in sorted(found)]

    def _need(self, parent: Any, atom: Any, node: Any) -> str:
        if parent not in self._needs:
            self._needs[parent] = self._needs_of(parent)
        known = self._needs[parent].get(str(atom.unevaluated_atom))
        if known is not None:
            return known
        # An atom that Portage made up, such as a virtual's: the edges say what it is for.
        priorities = self._graph._dynamic_config.digraph.nodes[node][1].get(parent, [])
        if any(priority.runtime for priority in priorities):
            return "runtime"
        return "post" if any(priority.runtime_post for priority in priorities) else "build"

    def _needs_of(self, parent: Any) -> Dict[str, str]:
        """Unevaluated atom → need, over all dependency variables of one package."""
        enabled = self._graph._pkg_use_enabled(parent)
        needs: Dict[str, str] = {}
        for need, variables in NEEDS:
            for variable in variables:
                for atom in self._atoms(parent, parent._metadata.get(variable, ""), enabled):
                    needs.setdefault(str(atom.unevaluated_atom), need)
        return needs

    def _note_provided(self, node: Any, enabled: Any) -> None:
        """Remember which entries of package.provided this package's dependencies rest on."""
        provided = self._graph._frozen_config.pkgsettings[node.root].pprovideddict
        if not provided:
            return
        for _, variables in NEEDS:
            for variable in variables:
                for atom in self._atoms(node, node._metadata.get(variable, ""), enabled):
                    if not atom.blocker:
                        self._provided.update(map(str, match_from_list(atom, provided.get(atom.cp, []))))

    @staticmethod
    def _atoms(node: Any, depstring: str, enabled: Any) -> List[Any]:
        if not depstring:
            return []
        try:
            tokens = use_reduce(
                depstring,
                uselist=enabled,
                flat=True,
                eapi=node.eapi,
                token_class=Atom,
                is_valid_flag=node.iuse.is_valid_flag,
            )
        except InvalidDependString:
            return []
        return [token for token in tokens if isinstance(token, Atom)]


def _flat(depstring: str, enabled: Any) -> List[str]:
    """The words of a USE-conditional string that apply."""
    return [str(word) for word in use_reduce(depstring, uselist=enabled, flat=True)] if depstring else []
