"""Where the files that are not Python are: the overlay, the playbooks and the roles.

In a checkout they stand beside the package; in an installed wheel they travel below ``compatlayer/data``
(pyproject.toml says so).
"""

from __future__ import annotations

from pathlib import Path

from compatlayer.errors import CompatlayerError

PACKAGE = Path(__file__).resolve().parent

# What travels in the wheel; everything else of a checkout is not part of the program.
NAMES = ("overlay", "playbooks", "roles")


def resource(name: str, *, package: Path = PACKAGE) -> Path:
    """The absolute path of one of ``NAMES``, which is a directory.

    ``package`` is the directory of the Python package to look from. A wheel's own copy comes first, so that an
    installed program never takes files from whatever happens to lie beside ``site-packages``. Raises
    ``CompatlayerError`` when the installation lacks it.
    """
    if name not in NAMES:
        raise ValueError(f"{name!r} is not a resource; known: {', '.join(NAMES)}")
    travelled = package / "data" / name
    if travelled.is_dir():
        return travelled
    beside = package.parent / name
    if (package.parent / "pyproject.toml").is_file() and beside.is_dir():
        return beside
    raise CompatlayerError(
        f"this installation of compatlayer lacks its {name}",
        cause=f"looked for {travelled} and, in a checkout, for {beside}",
        hint="install it again from a complete wheel, or from a checkout with: pip install -e .",
    )
