"""Why this machine refuses a view, and the way out.

``explain`` is pure: bwrap's, unshare's and mount's last words and a few facts of the kernel go in, a ``HostError``
comes out. Sources: ``user_namespaces(7)``, ``namespaces(7)`` and the kernel's ``admin-guide/sysctl``;
``kernel.unprivileged_userns_clone`` is Debian's and Arch's, ``kernel.apparmor_restrict_unprivileged_userns``
Ubuntu's (since 23.10, on by default in 24.04).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from compatlayer.errors import HostError, ProgramError

_CAP_SYS_ADMIN = 1 << 21
_NO_BIND = "or build without a view: --no-bind, with a prefix that is a writable directory of this machine"


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What decides whether namespaces may be made. A number that this kernel does not know is None."""

    user_id: int
    may_administer: bool
    unprivileged_userns_clone: int | None
    max_user_namespaces: int | None
    apparmor_restricts: int | None
    has_overlayfs: bool

    @classmethod
    def read(cls, proc: Path = Path("/proc")) -> HostFacts:
        """The facts of this process's kernel, from ``proc``."""
        return cls(
            user_id=os.geteuid(),
            may_administer=bool(_effective_capabilities(proc) & _CAP_SYS_ADMIN),
            unprivileged_userns_clone=_number(proc / "sys/kernel/unprivileged_userns_clone"),
            max_user_namespaces=_number(proc / "sys/user/max_user_namespaces"),
            apparmor_restricts=_number(proc / "sys/kernel/apparmor_restrict_unprivileged_userns"),
            has_overlayfs="\toverlay\n" in _text(proc / "filesystems"),
        )


def explain(stderr: str, facts: HostFacts) -> HostError:
    """The error for a view that could not be set up; quotes what was said and names the first cause that the facts
    show.
    """
    said = "\n".join(stderr.strip().splitlines()[-6:])
    cause, way_out = _cause(stderr, facts)
    return HostError(
        "this machine does not let us make the view of a stage",
        cause=f"{cause}\n{said}" if said else cause,
        hint=f"{way_out};\n{_NO_BIND}" if way_out else _NO_BIND.removeprefix("or "),
    )


def missing_program(error: ProgramError) -> HostError:
    """The error for a machine without bubblewrap: ``process``'s own words, with ``--no-bind`` as the other way
    out.
    """
    return HostError(error.fact, cause=error.cause, hint=f"{error.hint};\n{_NO_BIND}" if error.hint else _NO_BIND)


def _cause(stderr: str, facts: HostFacts) -> tuple[str, str | None]:
    """What is in the way, and the command or setting that clears it. A setting of the kernel goes before what was
    said.
    """
    if not facts.may_administer and (setting := _setting(facts)):
        return setting
    if "mount proc" in stderr:
        return (
            "a new /proc cannot be mounted: this is a container with a masked /proc",
            "start the container with --security-opt systempaths=unconfined",
        )
    if "mount: " in stderr and not facts.has_overlayfs:
        return "the kernel has no overlayfs", "as root: modprobe overlay"
    if "mount: " in stderr:
        return (
            "the overlay cannot be mounted: the kernel is older than 5.11, or the state directory is on NFS or an overlay",
            "put the state directory on a local ext4, XFS or Btrfs file system with --state",
        )
    if facts.user_id == 0 and not facts.may_administer:
        return (
            "this is root in a container, without the capability CAP_SYS_ADMIN",
            "start the container with --cap-add SYS_ADMIN --security-opt seccomp=unconfined",
        )
    if "amespace" in stderr or "unshare" in stderr or "uid map" in stderr:
        return (
            "namespaces are refused: by a seccomp filter (a container's), or since all allowed ones are in use",
            "allow unshare(2) and mount(2) in the container's seccomp profile",
        )
    return "bubblewrap could not set the view up", None


def _setting(facts: HostFacts) -> tuple[str, str] | None:
    """The kernel setting that forbids user namespaces, and what changes it."""
    if facts.max_user_namespaces == 0:
        return (
            "user namespaces are switched off: user.max_user_namespaces is 0",
            "as root: sysctl user.max_user_namespaces=16384",
        )
    if facts.unprivileged_userns_clone == 0:
        return (
            "user namespaces are for root only here: kernel.unprivileged_userns_clone is 0",
            "as root: sysctl kernel.unprivileged_userns_clone=1",
        )
    if facts.apparmor_restricts:
        return (
            "AppArmor restricts user namespaces: kernel.apparmor_restrict_unprivileged_userns is 1",
            "as root, give bwrap and unshare AppArmor profiles with `userns`, or set that to 0 with sysctl",
        )
    return None


def _effective_capabilities(proc: Path) -> int:
    for line in _text(proc / "self/status").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
