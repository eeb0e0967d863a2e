"""EESSI's rules for its package lists, in one place: which targets get a package, and what its atom is.

The data are those of EESSI's ``eessi_sets.yml`` (keys ``eessi_archs``, ``eessi_sets``; entries with ``name``, ``version``,
``overlay``, ``include_on``, ``exclude_on``) and of its Ansible variables (``prefix_packages``, the same entries). A package is
on a target unless ``exclude_on`` holds that, and only if ``include_on``, where it is given, holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from compatlayer.declaration import names
from compatlayer.declaration.yaml_nodes import Broken, Document, KeyPath, describe
from compatlayer.errors import Mistake
from compatlayer.takeover.describe import Entry

CHECKS = {"name": names.package, "version": names.package_version, "overlay": names.repository}
KEYS = ("name", "version", "overlay", "include_on", "exclude_on")


@dataclass(slots=True)
class Reader:
    """Reads package entries of one document; collects mistakes (nothing can be made of it) and notes (something was)."""

    document: Document
    targets: Sequence[str]
    mistakes: list[Mistake]
    notes: list[Mistake]
    unlisted: dict[str, None] = field(default_factory=dict)

    def entries(self, path: KeyPath) -> tuple[Entry | str, ...]:
        """The packages of the list at ``path``, in order; one that cannot be declared becomes a comment."""
        value = self.document.value(path)
        if not isinstance(value, list):
            self.mistake(path, f"expected a list of packages, found {describe(value)}")
            return ()
        found = [self._entry((*path, index)) for index in range(len(value))]
        if self.unlisted:
            unlisted = ", ".join(self.unlisted)
            self.note(path, f"{unlisted}: named by packages, but not among the targets; left out, which changes nothing")
        return tuple(entry for entry in found if entry is not None)

    def mistake(self, path: KeyPath, fact: str, hint: str | None = None) -> None:
        """Note a mistake at ``path``."""
        self.mistakes.append(self.document.mistake(path, fact, hint))

    def note(self, path: KeyPath, fact: str, hint: str | None = None) -> None:
        """Note what became of ``path``."""
        self.notes.append(self.document.mistake(path, fact, hint))

    def _entry(self, path: KeyPath) -> Entry | str | None:
        value = self.document.value(path)
        if isinstance(value, Broken):
            return None
        if not isinstance(value, dict):
            self.mistake(path, f"expected a package (name: category/name), found {describe(value)}")
            return None
        name = self._text(path, "name")
        if name is None:
            if "name" not in value:
                self.mistake(path, "missing key 'name'")
            return None
        for key in value:
            if key not in KEYS:
                self.note((*path, key), f"'{key}' means nothing to EESSI's generator and is left out")
        if any(is_template(value.get(key)) for key in KEYS):
            self.note(path, f"'{name}' holds a Jinja template, which is not carried out", "write it into the set by hand")
            return f"{name}: held a Jinja template ({self.document.location(path)})"
        return self._declared(path, name)

    def _declared(self, path: KeyPath, name: str) -> Entry | str | None:
        value = self.document.value(path)
        version = self._text(path, "version") if "version" in value else None
        overlay = self._text(path, "overlay") if "overlay" in value else None
        wrong = False
        given = {"name": name, "version": version, "overlay": overlay}
        for key, text in given.items():
            try:
                if text is not None:
                    CHECKS[key](text)
            except names.WrongNameError as error:
                self.mistake((*path, key), error.fact, error.hint)
                wrong = True
        present = self._targets(path)
        if wrong or present is None:
            return None
        if not present:
            self.note(path, f"'{name}' is on no listed target; it stands in the set as a comment")
            return f"{name}: on no target that the layer lists ({self.document.location(path)})"
        include, exclude = self._how(value, present)
        return Entry(name, version, overlay, include, exclude)

    def _targets(self, path: KeyPath) -> tuple[str, ...] | None:
        """The listed targets that get the package; None when that cannot be told."""
        value = self.document.value(path)
        lists: dict[str, Any] = {}
        for key in ("include_on", "exclude_on"):
            found = value.get(key, [] if key == "exclude_on" else None)
            if key in value and not isinstance(found, list | str):
                self.mistake((*path, key), f"expected a list of targets, found {describe(found)}")
                return None
            lists[key] = found
            if isinstance(found, list):
                self.unlisted.update(dict.fromkeys(str(target) for target in found if target not in self.targets))
        include, exclude = lists["include_on"], lists["exclude_on"]
        # A plain text is searched, not compared: `include_on: linux-x86_64` works with EESSI's generator, so it does here.
        return tuple(target for target in self.targets if target not in exclude and (include is None or target in include))

    def _how(self, value: dict[str, Any], present: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """``include_on`` and ``exclude_on`` that say the same; at most one of them, in the order that was written."""
        absent = [target for target in self.targets if target not in present]
        if not absent:
            return (), ()
        written = value.get("include_on")
        if "include_on" in value:
            order = written if isinstance(written, list) else list(present)
            return tuple(dict.fromkeys(target for target in order if target in present)), ()
        written = value.get("exclude_on")
        order = written if isinstance(written, list) else absent
        return (), tuple(dict.fromkeys(target for target in order if target in absent))

    def _text(self, path: KeyPath, key: str) -> str | None:
        """A value as EESSI's generator prints it: a number loses what YAML drops (1.10 is 1.1), which is noted."""
        value = self.document.value(path).get(key)
        if value is None or isinstance(value, Broken | dict | list):
            if isinstance(value, dict | list):
                self.mistake((*path, key), f"expected text, found {describe(value)}")
            return None
        if isinstance(value, str):
            return value
        spelled = self.document.spellings[(*path, key)]
        printed = str(yaml.safe_load(spelled))
        if printed != spelled:
            self.note(
                (*path, key),
                f"{spelled} is not text to a YAML reader: EESSI's generator prints {printed}, and so it is taken over",
                f'if {spelled} was meant, write "{spelled}" into the set',
            )
        return printed


def is_template(value: object) -> bool:
    """Whether a value holds Jinja, at any depth."""
    if isinstance(value, dict):
        return any(is_template(one) for one in value.values())
    if isinstance(value, list):
        return any(is_template(one) for one in value)
    return isinstance(value, str) and ("{{" in value or "{%" in value)
