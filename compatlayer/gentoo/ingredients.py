"""What goes into the build of one package beside its dependencies, as Portage sees it: values for a binary package's key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Ingredients:
    """One package of a closure. Digests are SHA-256, hexadecimal.

    ``eclasses`` are those the ebuild inherits, directly or not; ``files`` is its ``files`` directory, by path below it;
    ``sources`` is what the Manifest says of each source file (empty for one that it lacks); ``hooks`` are the profile's bashrc
    files. ``settings`` are the variables that the profile, ``make.conf`` and ``package.env`` give this package, evaluated;
    ``features`` are those in force before the calling environment has its say; ``use`` holds the enabled flags, implicit ones
    included. A ``live`` ebuild takes its source from wherever upstream stands.
    """

    cpv: str
    ebuild: str
    eclasses: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    hooks: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    use: tuple[str, ...] = ()
    live: bool = False
