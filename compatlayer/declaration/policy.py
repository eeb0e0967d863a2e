"""What a site allows in its layers, and what not, as checks read it; ``policy_file`` reads it from ``policy.yaml``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from compatlayer.errors import Location

# What Apptainer shows of the host unless it is told otherwise: apptainer.conf's `mount`, `config` and `bind path` defaults
# (https://apptainer.org/docs/admin/main/configfiles.html).
APPTAINER_SHOWS = (
    "/proc", "/sys", "/dev", "/tmp", "/var/tmp", "/home",  # noqa: S108 - names, not files of ours
    "/etc/passwd", "/etc/group", "/etc/resolv.conf", "/etc/hosts",
    "/etc/localtime",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern or name, why it is there, and where."""

    what: str
    reason: str
    location: Location
    expression: re.Pattern[str] = field(compare=False, repr=False)

    def matches(self, text: str) -> bool:
        """Whether ``text`` as a whole is what the rule is about."""
        return self.expression.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Policy:
    """``setuid`` allows (also setgid and file capabilities); ``forbidden_files`` and ``forbidden_packages`` forbid. In a
    container (``apptainer``) only what it ``shows`` of the host is there.
    """

    setuid: tuple[Rule, ...] = ()
    forbidden_files: tuple[Rule, ...] = ()
    forbidden_packages: tuple[Rule, ...] = ()
    apptainer: bool = False
    shows: tuple[str, ...] = APPTAINER_SHOWS

    def shown_in_container(self, path: str) -> bool:
        """Whether a container shows this absolute path of the host."""
        return any(path == place or path.startswith(f"{place}/") for place in self.shows)
