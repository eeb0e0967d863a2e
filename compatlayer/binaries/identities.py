"""Which of the packages in a stage were installed under which key: what a build of this run is linked to.

Installed packages do not say what they were made from, and an ebuild may be edited without a new revision. So each is remembered
with a mark: a digest of its CONTENTS, the list of its files with their checksums, and of the time at which its entry was written.
As long as that is the same, nobody has merged it anew. The times in CONTENTS do not count: after a merge they are made the same
for all packages (docs/adr/0025).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compatlayer.gentoo.portage_configuration import PACKAGE_DATABASE
from compatlayer.journal import write_atomically

FILE = "identities.json"
_TIME = re.compile(rb" \d+$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Identities:
    """The record of one stage, in ``directory``; ``trees`` are what the stage is made of, the one that wins first."""

    directory: Path
    trees: Sequence[Path]

    def announce(self, keys: Mapping[str, str]) -> None:
        """Say, before they are merged, under which keys packages are going to be: a run that is killed leaves that behind."""
        before = {cpv: self._mark(cpv) for cpv in keys}
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
            mark = self._mark(cpv)
            if mark and mark != record.before.get(cpv):
                known[cpv] = (mark, key)
        known = {cpv: one for cpv, one in known.items() if self._mark(cpv) == one[0]}
        if record != _Record(known):
            self._save(_Record(known))
        return {cpv: key for cpv, (_, key) in known.items()}

    def _mark(self, cpv: str) -> str:
        """What tells one merge of a package from another; empty when it is not installed."""
        for tree in self.trees:
            entry = tree / PACKAGE_DATABASE / cpv
            try:
                digest = hashlib.sha256(_TIME.sub(b"", (entry / "CONTENTS").read_bytes()))
                # Portage writes the name with every merge, and nobody writes it afterwards.
                digest.update(b"%d" % (entry / "PF").stat().st_mtime_ns)
                return digest.hexdigest()
            except FileNotFoundError:
                continue
            except OSError:  # overlayfs's mark of a deletion stands where a directory was
                return ""
        return ""

    def _load(self) -> _Record:
        try:
            document = json.loads((self.directory / FILE).read_bytes())
            known = {str(cpv): (str(mark), str(key)) for cpv, (mark, key) in document["known"].items()}
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
