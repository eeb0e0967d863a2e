"""Asking diffoscope(1), where it is installed, what exactly is different in a file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from compatlayer import process
from compatlayer.errors import ProgramError
from compatlayer.rebuild.compare import Aspect, Difference

# A file that takes longer is left out: it tells of all the others as well.
TIMEOUT_S = 300
_DIFFERENT = 1


def is_installed() -> bool:
    """Whether there is a diffoscope."""
    return shutil.which("diffoscope", path=process.SYSTEM_PATH) is not None


def explain(differences: Sequence[Difference], first: Path, second: Path, directory: Path) -> dict[str, str]:
    """Write what diffoscope says of each file whose content differs to ``directory``, a text file each.

    Gives the paths for which it said nothing, with the reason.
    """
    silent = {}
    for difference in differences:
        if Aspect.CONTENT not in difference.aspects:
            continue
        said = directory / f"{difference.path}.txt"
        said.parent.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [
            "diffoscope",
            "--text",
            said,
            "--no-progress",
            first / difference.path,
            second / difference.path,
        ]
        try:
            done = process.run(command, timeout_s=TIMEOUT_S, check=False)
        except ProgramError as error:
            silent[difference.path] = error.fact
            continue
        if done.returncode != _DIFFERENT:
            silent[difference.path] = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return silent
