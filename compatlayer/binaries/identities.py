"""Which of the packages in a stage were installed under which key: what a build of this run is linked to.

Installed packages do not say what they were made from, and an ebuild may be edited without a new revision. So each is remembered
with a digest of its CONTENTS, the list of its files with their checksums and times: as long as that is the same, nobody has
merged it anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compatlayer.gentoo.portage_configuration import PACKAGE_DATABASE
from compatlayer.journal import write_atomically

FILE = "identities.json"


@dataclass(frozen=True, slots=True)
class Identities:
    """The record of one stage, in ``directory``; ``trees`` are what the stage is made of, the one that wins first."""

    directory: Path
    trees: Sequence[Path]

    def announce(self, keys: Mapping[str, str]) -> None:
        """Say, before they are merged, under which keys packages are going to be: a run that is killed leaves that behind."""
        before = {cpv: self._contents(cpv) for cpv in keys}
        document = self._load()
        self._save(_Record(document.known, dict(keys), before))

    def announced(self) -> Mapping[str, str]:
        """The keys that the last run announced, should it not have ended with ``settle``."""
        return self._load().announced

    def settle(self) -> dict[str, str]:
        """The keys of what is installed now, by ``category/name-version``: what the last run merged, and what has stayed."""
        record = self._load()
        known = dict(record.known)
        for cpv, key in record.announced.items():
            contents = self._contents(cpv)
            if contents and contents != record.before.get(cpv):
                known[cpv] = (contents, key)
        known = {cpv: one for cpv, one in known.items() if self._contents(cpv) == one[0]}
        if record != _Record(known):
            self._save(_Record(known))
        return {cpv: key for cpv, (_, key) in known.items()}

    def _contents(self, cpv: str) -> str:
        """A digest of the list of a package's files; empty when it is not installed."""
        for tree in self.trees:
            try:
                return hashlib.sha256((tree / PACKAGE_DATABASE / cpv / "CONTENTS").read_bytes()).hexdigest()
            except FileNotFoundError:
                continue
            except OSError:  # overlayfs's mark of a deletion stands where a directory was
                return ""
        return ""

    def _load(self) -> _Record:
        try:
            document = json.loads((self.directory / FILE).read_bytes())
            known = {str(cpv): (str(contents), str(key)) for cpv, (contents, key) in document["known"].items()}
            return _Record(known, dict(document["announced"]), dict(document["before"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return _Record()  # nothing is known, so nothing is taken for granted

    def _save(self, record: _Record) -> None:
        document = {"known": record.known, "announced": record.announced, "before": record.before}
        write_atomically(self.directory / FILE, json.dumps(document, sort_keys=True).encode())


@dataclass(frozen=True, slots=True)
class _Record:
    known: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    announced: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, str] = field(default_factory=dict)
