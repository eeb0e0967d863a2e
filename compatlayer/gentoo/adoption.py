"""An existing prefix as its own Portage describes it: the values, and their way out of the worker's answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compatlayer.gentoo.packages import PackageId
from compatlayer.gentoo.versions import parse_cpv


@dataclass(frozen=True, slots=True)
class FoundRepository:
    """An ebuild repository that a prefix uses; ``sync_uri`` is empty where it is not synced."""

    name: str
    location: Path
    masters: tuple[str, ...]
    sync_type: str
    sync_uri: str
    is_main: bool


@dataclass(frozen=True, slots=True)
class Member:
    """An atom of a set, and the installed packages that it matches, best version last."""

    atom: str
    installed: tuple[PackageId, ...]


@dataclass(frozen=True, slots=True)
class PrefixDescription:
    """A prefix. ``profile`` is the real path of its profile, ``profile_directory`` what ``make.profile`` is called.

    ``sets`` has ``system``, ``selected`` (the world file), and the selected sets by name.
    """

    arch: str
    chost: str
    profile: Path
    profile_directory: Path
    repositories: tuple[FoundRepository, ...]
    sets: Mapping[str, tuple[Member, ...]]


def decode(raw: Mapping[str, Any]) -> PrefixDescription:
    """The answer to ``describe``; raises ``KeyError``, ``TypeError`` or ``ValueError`` for anything else."""
    return PrefixDescription(
        arch=raw["arch"],
        chost=raw["chost"],
        profile=Path(raw["profile"]),
        profile_directory=Path(raw["profile_directory"]),
        repositories=tuple(
            FoundRepository(
                one["name"], Path(one["location"]), tuple(one["masters"]), one["sync_type"], one["sync_uri"], one["is_main"]
            )
            for one in raw["repositories"]
        ),
        sets={
            name: tuple(Member(one["atom"], tuple(map(parse_cpv, one["installed"]))) for one in members)
            for name, members in raw["sets"].items()
        },
    )
