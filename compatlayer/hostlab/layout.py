"""Making a synthetic host: its files, links and programs in a directory that becomes the root of a view."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

from compatlayer import process
from compatlayer.errors import HostError
from compatlayer.hostlab.description import SyntheticHost
from compatlayer.stage import Bind
from compatlayer.stage.synthetic import SHARED_MEMORY, Root, Temporary


def missing_programs(host: SyntheticHost) -> tuple[str, ...]:
    """Programs of this machine that ``host`` is made of and that are not here."""
    return tuple(path.name for path in host.programs if _find(path.name) is None)


def lay_out(host: SyntheticHost, directory: Path) -> Root:
    """Fill the empty ``directory`` with what ``host`` has. Raises ``HostError`` for programs that are missing here."""
    if missing := missing_programs(host):
        raise HostError(
            f"the synthetic host {host.name} is made of programs that are not here: {', '.join(missing)}",
            hint="\n".join(_how_to_install(name) for name in missing),
        )
    # Whoever the user inside is, he can go through the directories and read.
    directory.chmod(0o755)
    for path, text in host.files.items():
        _place(directory, path).write_text(text, encoding="utf-8")
    for path, names in host.programs.items():
        source = _find(path.name)
        assert source is not None, "missing programs are refused above"
        program = _place(directory, path)
        shutil.copyfile(source, program)
        program.chmod(0o755)
        for name in names:
            program.with_name(name).symlink_to(path.name)
    for path, target in host.links.items():
        _place(directory, path).symlink_to(target)
    shows = []
    for path, candidates in host.shows.items():
        for candidate in candidates:
            if Path(candidate).is_dir():
                shows.append(Bind(Path(candidate), path))
                break
    return Root(directory, tuple(shows), host.temporary, host.user, _environment(host))


def _environment(host: SyntheticHost) -> dict[str, str]:
    """The host's own variables over what every user has; a directory that can be written is always among them."""
    writable = "/tmp" if host.temporary is Temporary.WRITABLE else str(SHARED_MEMORY)  # noqa: S108 (in the view)
    usual = {"HOME": writable, "TMPDIR": writable, "TERM": "dumb", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    return usual | dict(host.environment)


def _place(root: Path, path: PurePosixPath) -> Path:
    """Where ``path`` lies below ``root``, its directories made."""
    place = root / path.relative_to("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _find(program: str) -> Path | None:
    found = shutil.which(program, path=process.SYSTEM_PATH)
    return Path(os.path.realpath(found)) if found else None


def _how_to_install(program: str) -> str:
    apt, dnf = process.PROVIDERS.get(program, (program, program))
    return f"apt-get install {apt}   (Fedora: dnf install {dnf})"
