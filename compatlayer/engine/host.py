"""Looking at the host: who we are, how many processors there are, and which versions of which programs it has."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from compatlayer import process
from compatlayer.engine import program_versions
from compatlayer.engine.base import Host
from compatlayer.errors import HostError


def look(needed: Sequence[str], useful: Sequence[str], memory: Path) -> Host:
    """Describe this machine. ``needed`` programs that it lacks are told as missing; ``useful`` ones need not be there.

    ``memory`` is a file for what programs said of their versions: see ``program_versions.of``.
    """
    places = {name: place for name in (*needed, *useful) if (place := shutil.which(name, path=process.SYSTEM_PATH))}
    versions = program_versions.of(places, memory)
    uid, gid = os.getuid(), os.getgid()
    return Host(
        user=_user_name(uid),
        group=_group_name(gid),
        uid=uid,
        gid=gid,
        cpu_count=len(os.sched_getaffinity(0)),
        versions=versions,
        missing=tuple(name for name in needed if name not in places),
    )


def banners(names: Sequence[str]) -> dict[str, str]:
    """What each program says first when asked for its version, the distribution's revision included; absent ones are left out."""
    present = [name for name in names if shutil.which(name, path=process.SYSTEM_PATH)]
    said = {name: process.run([name, "--version"], check=False, timeout_s=20).stdout for name in present}
    return {name: next(iter(text.splitlines()), "") for name, text in said.items()}


def distribution() -> str:
    """``debian 12``: what os-release(5) says this machine runs; empty where it says nothing."""
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    return " ".join(fields[name].strip("\"'") for name in ("ID", "VERSION_ID") if name in fields)


def require(host: Host) -> None:
    """Raises ``HostError``, naming every missing program and how to install it, when this machine cannot build."""
    if host.missing:
        raise missing_programs(host.missing)


def missing_programs(names: Sequence[str]) -> HostError:
    """The error for programs a build needs, with one command that installs all of them."""
    apt = " ".join(sorted({process.PROVIDERS.get(name, (name, name))[0] for name in names}))
    dnf = " ".join(sorted({process.PROVIDERS.get(name, (name, name))[1] for name in names}))
    return HostError(
        f"this machine lacks programs that building needs: {', '.join(names)}",
        hint=f"apt-get install {apt}\nor, on Fedora: dnf install {dnf}",
    )


def account_files(host: Host) -> dict[PurePosixPath, bytes]:
    """``/etc/passwd`` and ``/etc/group`` with a line for whoever has no name there, as in some containers; none where both have.

    Portage asks for the numbers of its user and group by their names, and takes root's where it gets no answer.
    """
    files: dict[PurePosixPath, bytes] = {}
    if not _is_known(pwd.getpwuid, host.uid):
        files[PurePosixPath("/etc/passwd")] = f"{host.user}:x:{host.uid}:{host.gid}::/:/bin/sh\n".encode()
    if not _is_known(grp.getgrgid, host.gid):
        files[PurePosixPath("/etc/group")] = f"{host.group}:x:{host.gid}:\n".encode()
    return {path: _ending_in_newline(path) + line for path, line in files.items()}


def _ending_in_newline(path: PurePosixPath) -> bytes:
    content = Path(path).read_bytes() if Path(path).exists() else b""
    return content if content.endswith(b"\n") or not content else content + b"\n"


def _is_known(ask: Callable[[int], object], number: int) -> bool:
    try:
        ask(number)
    except KeyError:
        return False
    return True


def _user_name(uid: int) -> str:
    """A user's name; where it has none, the one that ``account_files`` gives it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user{uid}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"group{gid}"
