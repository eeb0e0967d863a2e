"""The variables of EESSI's Ansible role that have a plain meaning in a layer, put into a text; nothing else is carried out.

``{{ gentoo_prefix_path }}/lib/override`` is ``{prefix}/lib/override`` here, whatever Ansible would make of it. See
``defaults/main.yml`` of the role in github.com/EESSI/compatibility-layer for what the variables mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PREFIX = "{prefix}"
# A variable, and the one filter that EESSI uses in a path or in a variant link's name.
_VARIABLE = re.compile(r"\{\{\s*(?P<name>\w+)\s*(?:\|\s*replace\(\s*'(?P<old>[^']*)'\s*,\s*'(?P<new>[^']*)'\s*\)\s*)?\}\}")
# ``$(NAME:-default)``, a CernVM-FS variant link.
_VARIANT = re.compile(r"\$\(\w+:-(?P<default>.*)\)")


@dataclass(frozen=True, slots=True)
class Words:
    """What the variables mean in one version of a layer whose repository is mounted at ``/cvmfs/<repository>``."""

    repository: str
    version: str

    def fill(self, text: str) -> str:
        """``text`` with what is known put in, and the part's own prefix as ``{prefix}``; everything else is left as it is."""
        known = {
            "cvmfs_repository": self.repository,
            "eessi_version": self.version,
            "eessi_host_os": "{os}",
            "eessi_host_arch": "{arch}",
            "gentoo_prefix_path": PREFIX,
            "compat_defaults_dir": f"/cvmfs/{self.repository}/defaults/compat",
        }

        def meaning(found: re.Match[str]) -> str:
            value = known.get(found["name"])
            if value is None:
                return found[0]
            return value if found["old"] is None else value.replace(found["old"], found["new"])

        prefix = f"/cvmfs/{self.repository}/versions/{self.version}/compat/{{os}}/{{arch}}"
        return _VARIABLE.sub(meaning, text).replace(prefix, PREFIX)


def default_of(target: str) -> str:
    """Where a variant link leads unless a client redirects it; any other text as it is."""
    found = _VARIANT.fullmatch(target)
    return found["default"] if found else target
