"""Atoms against packages: Portage's own matching, and why a declared atom cannot be had."""

from __future__ import annotations

import difflib
import os
from typing import Any, Dict, FrozenSet, Iterable, List, Optional, Tuple

import portage
from portage.dep import Atom, check_required_use, match_from_list
from portage.exception import InvalidAtom, InvalidData, InvalidDependString
from portage.versions import _pkg_str, vercmp

from . import roots

METADATA = ("EAPI", "IUSE", "KEYWORDS", "LICENSE", "PROPERTIES", "REQUIRED_USE", "RESTRICT", "SLOT", "repository")


class Flags:
    """The flags of a given package, in the shape that ``match_from_list`` asks for."""

    def __init__(self, enabled: Iterable[str], valid: Iterable[str]) -> None:
        self.enabled = frozenset(enabled)
        self.all = frozenset(valid)

    def is_valid_flag(self, flags: Any) -> bool:
        wanted = [flags] if isinstance(flags, str) else flags
        return all(flag in self.all for flag in wanted)


class Given(_pkg_str):  # type: ignore[misc]
    """A package by description: ``cpv``, ``slot``, ``subslot``, ``repository``, ``use``, ``iuse``."""

    def __new__(cls, description: Dict[str, Any]) -> Any:
        return str.__new__(cls, description["cpv"])

    def __init__(self, description: Dict[str, Any]) -> None:
        slot = description["slot"]
        if description.get("subslot"):
            slot += "/" + description["subslot"]
        super().__init__(description["cpv"], slot=slot, repo=description.get("repository") or "", eapi="8")
        use = description.get("use", [])
        flags = Flags(use, [*description.get("iuse", []), *use])
        self.__dict__["use"] = self.__dict__["iuse"] = flags


def match(request: Dict[str, Any]) -> List[List[int]]:
    """For each of ``atoms``: the indexes of those ``packages`` that Portage says match it.

    A package whose cpv is no valid one matches nothing; an invalid atom is an error of the caller.
    """
    packages = []
    for index, description in enumerate(request["packages"]):
        try:
            packages.append((index, Given(description)))
        except InvalidData:
            continue
    by_name: Dict[str, List[Tuple[int, Given]]] = {}
    for index, package in packages:
        by_name.setdefault(package.cp, []).append((index, package))
    answer = []
    for text in request["atoms"]:
        atom = Atom(text, allow_repo=True)
        candidates = by_name.get(atom.cp, [])
        matched = {id(found) for found in match_from_list(atom, [package for _, package in candidates])}
        answer.append([index for index, package in candidates if id(package) in matched])
    return answer


def compare_versions(request: Dict[str, Any]) -> List[Optional[int]]:
    """Portage's own order of each pair in ``pairs``: negative, zero, positive; None where one is no version."""
    return [vercmp(left, right) for left, right in request["pairs"]]


def check_atoms(request: Dict[str, Any]) -> List[Dict[str, Any]]:
    """For each of ``atoms``, in order: ``{"best": {cpv, slot, repository, …}}``, or a failure with its ``kind``.

    USE and dependencies of the match are the resolver's business, masks, keywords and licences are looked at here.
    """
    config = roots.load(request["config_root"]).target_config
    return [check_atom(config, text) for text in request["atoms"]]


def check_atom(config: Any, text: str) -> Dict[str, Any]:
    """One atom of ``check_atoms``."""
    try:
        atom = Atom(text, allow_repo=True)
    except InvalidAtom as error:
        return {"kind": "invalid", "atom": text, "detail": str(error) if str(error) != text else "not a valid atom"}
    if atom.blocker:
        return {"kind": "invalid", "atom": text, "detail": "a blocker names nothing to install"}
    failure = explain(config, atom)
    if failure is not None:
        return failure
    return {"best": max(usable(config, atom), key=_by_version).description()}


class Ebuild:
    """One ebuild in one repository, with its metadata as Portage reads it."""

    def __init__(self, config: Any, cpv: str, repository: str) -> None:
        self._config = config
        self.settings = config.settings
        self.portdb = config.trees["porttree"].dbapi
        self.repository = repository
        values = self.portdb.aux_get(cpv, list(METADATA), myrepo=repository)
        self.metadata: Dict[str, str] = dict(zip(METADATA, values))
        self.cpv = _pkg_str(cpv, metadata=self.metadata, settings=self.settings, repo=repository)
        self._masks: Optional[List[Dict[str, Any]]] = None

    def description(self) -> Dict[str, Any]:
        return {
            "cpv": str(self.cpv),
            "slot": self.cpv.slot,
            "subslot": self.cpv.sub_slot,
            "repository": self.repository,
        }

    def use(self) -> FrozenSet[str]:
        """The flags that are on by configuration."""
        settings = portage.config(clone=self.settings)
        settings.setcpv(self.cpv, mydb={**self.metadata, "USE": ""})
        return frozenset(settings["PORTAGE_USE"].split())

    def iuse(self) -> List[str]:
        return sorted({flag.lstrip("+-") for flag in self.metadata["IUSE"].split()})

    def required_use(self) -> Optional[str]:
        """REQUIRED_USE where the configured flags violate it."""
        constraint = self.metadata["REQUIRED_USE"].strip()
        if not constraint:
            return None
        known = self.iuse()
        try:
            satisfied = check_required_use(constraint, self.use(), lambda flag: flag in known, eapi=self.metadata["EAPI"])
        except InvalidDependString as error:
            return f"{constraint} ({error})"
        return None if satisfied else constraint

    def masks(self) -> List[Dict[str, Any]]:
        """Why Portage does not take this ebuild; empty when it does."""
        if self._masks is None:
            self._masks = self._find_masks()
        return self._masks

    def _find_masks(self) -> List[Dict[str, Any]]:
        from portage.package.ebuild.getmaskingstatus import _getmaskingstatus

        full = list(self.portdb._aux_cache_keys)
        metadata = dict(zip(full, self.portdb.aux_get(self.cpv, full, myrepo=self.repository)))
        settings = portage.config(clone=self.settings)
        settings.setcpv(self.cpv, mydb=metadata)
        metadata["USE"] = settings["PORTAGE_USE"]
        described = _Described(self.cpv, metadata)
        reasons = _getmaskingstatus(described, settings, self.portdb, self.repository)
        return [self._mask(reason, metadata) for reason in reasons]

    def _mask(self, reason: Any, metadata: Dict[str, str]) -> Dict[str, Any]:
        kinds = {"package.mask": "mask", "KEYWORDS": "keyword", "LICENSE": "license"}
        mask: Dict[str, Any] = {"kind": kinds.get(reason.category, "other"), "detail": str(reason.message)}
        if mask["kind"] == "mask":
            comment, file = portage.getmaskingreason(
                self.cpv,
                metadata=metadata,
                settings=self.settings,
                portdb=self.portdb,
                return_location=True,
                myrepo=self.repository,
            )
            text = "\n".join(line.lstrip("#").strip() for line in (comment or "").splitlines()).strip()
            mask.update(comment=text, file=file or "", line=self._line_of_mask(file))
        elif mask["kind"] == "keyword":
            mask.update(keywords=metadata["KEYWORDS"].split(), arch=self.settings["ARCH"])
        elif mask["kind"] == "license":
            mask.update(license=metadata["LICENSE"])
        return mask

    def _line_of_mask(self, file: Optional[str]) -> Optional[int]:
        """The line of ``file`` whose atom masks this ebuild, counted from 1."""
        if not file or not os.path.isfile(file):
            return None
        with open(file, encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                word = line.split("#")[0].strip()
                try:
                    if word and match_from_list(Atom(word, allow_wildcard=True, allow_repo=True), [self.cpv]):
                        return number
                except InvalidAtom:
                    continue
        return None


class _Described:
    """The least of a package object that Portage's mask check asks for."""

    installed = False

    def __init__(self, cpv: Any, metadata: Dict[str, str]) -> None:
        self.cpv = cpv
        self._metadata = metadata


def usable(config: Any, atom: Any) -> List[Ebuild]:
    """Every ebuild that ``atom`` names, USE dependencies aside, and nothing hides."""
    matching = [ebuild for ebuild in named(config, atom.cp) if match_from_list(atom.without_use, [ebuild.cpv])]
    return [ebuild for ebuild in matching if not ebuild.masks()]


def named(config: Any, name: str) -> List[Ebuild]:
    """Every ebuild of ``category/name`` that Portage can read."""
    portdb = config.trees["porttree"].dbapi
    found = []
    for cpv in portdb.cp_list(name):
        for repository in portdb.getRepositories():
            if portdb.cpv_exists(cpv, myrepo=repository):
                try:
                    found.append(Ebuild(config, cpv, repository))
                except KeyError:
                    continue
    return found


def explain(config: Any, atom: Any, parent_use: Optional[FrozenSet[str]] = None) -> Optional[Dict[str, Any]]:
    """Why no ebuild can serve ``atom``, structured; None when one can.

    Kinds: ``package`` (no such name), ``version``, ``slot``, ``repository`` (exist, but not as asked for), ``mask``, ``keyword``,
    ``license``, ``use`` (a USE dependency that the configuration does not meet), ``required-use``, ``other``.
    """
    answer: Dict[str, Any] = {"atom": str(atom.unevaluated_atom)}
    everything = named(config, atom.cp)
    if not everything:
        broken = config.trees["porttree"].dbapi.cp_list(atom.cp)
        if broken:
            return {**answer, "kind": "invalid", "detail": f"Portage cannot read {', '.join(map(str, broken))}"}
        return {**answer, "kind": "package", "similar": similar(config, atom.cp)}
    candidates = [ebuild for ebuild in everything if match_from_list(atom.without_use, [ebuild.cpv])]
    if not candidates:
        return {**answer, **_nearest(atom, everything)}
    masked = [(ebuild, ebuild.masks()) for ebuild in sorted(candidates, key=_by_version, reverse=True)]
    open_ones = [ebuild for ebuild, masks in masked if not masks]
    if not open_ones:
        kinds = [mask["kind"] for _, masks in masked for mask in masks]
        order = ("mask", "license", "keyword", "other")
        # The best version's first mask gives the kind; every version's masks are told.
        kind = min(dict.fromkeys(mask["kind"] for mask in masked[0][1]), key=order.index) if kinds else "other"
        versions = [{**ebuild.description(), "masks": masks} for ebuild, masks in masked]
        return {**answer, "kind": kind, "candidates": versions}
    if atom.use:
        wrong = [_use_difference(atom, ebuild) for ebuild in open_ones]
        if all(difference is not None for difference in wrong):
            return {**answer, "kind": "use", **(wrong[0] or {})}
    violated = [(ebuild, ebuild.required_use()) for ebuild in open_ones]
    if all(constraint for _, constraint in violated):
        ebuild, constraint = violated[0]
        use = sorted(ebuild.use() & set(ebuild.iuse()))
        return {**answer, "kind": "required-use", "cpv": str(ebuild.cpv), "detail": constraint, "use": use}
    return None


def _nearest(atom: Any, everything: List[Ebuild]) -> Dict[str, Any]:
    """What of the atom fails: its repository, its slot, or its version; and what there is instead."""
    there = sorted(everything, key=_by_version)
    candidates = [ebuild.description() for ebuild in there]
    if atom.repo:
        elsewhere = [ebuild for ebuild in there if match_from_list(atom.without_use.without_repo, [ebuild.cpv])]
        if elsewhere:
            return {"kind": "repository", "candidates": [ebuild.description() for ebuild in elsewhere]}
    if atom.slot and match_from_list(atom.without_use.without_slot, [ebuild.cpv for ebuild in there]):
        return {"kind": "slot", "candidates": candidates}
    return {"kind": "version", "candidates": candidates}


def _use_difference(atom: Any, ebuild: Ebuild) -> Optional[Dict[str, Any]]:
    """Flags to change (``+x``, ``-y``) or missing from IUSE before ``ebuild`` serves ``atom``; None when it does already."""
    known = set(ebuild.iuse())
    missing = sorted(flag for flag in atom.unevaluated_atom.use.required if flag not in known)
    if missing:
        return {"cpv": str(ebuild.cpv), "missing": missing, "changes": []}
    use = ebuild.use()
    changes = ["+" + flag for flag in sorted(atom.use.enabled - use)]
    changes += ["-" + flag for flag in sorted(atom.use.disabled & use)]
    return {"cpv": str(ebuild.cpv), "missing": [], "changes": changes} if changes else None


def similar(config: Any, name: str) -> List[str]:
    """Up to three names that ``name`` may have meant: those that are spelled alike, whatever their category."""
    category, _, last = name.partition("/")

    def likeness(other: str) -> float:
        other_category, _, other_last = other.partition("/")
        alike = difflib.SequenceMatcher(None, last, other_last).ratio()
        return alike + 0.1 * difflib.SequenceMatcher(None, category, other_category).ratio() if alike >= 0.7 else 0.0

    ranked = sorted(((likeness(other), other) for other in config.trees["porttree"].dbapi.cp_all()), reverse=True)
    return [other for score, other in ranked[:3] if score]


def _by_version(ebuild: Ebuild) -> Any:
    """A sort key in Portage's version order; of one version, the repository that Portage prefers comes last."""
    from portage.versions import cpv_sort_key

    order = ebuild.portdb.getRepositories()
    return (cpv_sort_key(eapi="8")(ebuild.cpv), -order.index(ebuild.repository))
