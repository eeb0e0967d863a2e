"""What is installed, read from ``var/db/pkg`` without Portage; nothing that lies there can make it fail.

Source: the layout that Portage writes, one directory per package with one file per value (portage(5), "/var/db/pkg").
"""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compatlayer.gentoo.packages import InstalledPackage, Inventory, Unreadable
from compatlayer.gentoo.portage_configuration import PACKAGE_DATABASE
from compatlayer.gentoo.versions import package_key, parse_cpv

MERGING = "-MERGING-"
# The longest value worth reading: a dependency string is a few kilobytes, a megabyte of it is damage.
MAX_VALUE_BYTES = 1 << 20
# A FIFO must not stop us, and a symlink could lead out of the prefix.
OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
DEPENDS = ("RDEPEND", "PDEPEND", "IDEPEND")
# Written by ebuilds of our overlay beside Portage's own values.
COMPILED_IN = "CL_COMPILED_IN"


class Damaged(Exception):
    """An entry that cannot be understood; the text says why."""


def read(prefix_tree: Path) -> Inventory:
    """Read the packages below ``prefix_tree``, a prefix's own directory, wherever it is found on disk.

    Gives them in category, name and version order. A prefix without ``var/db/pkg`` has no packages. Entries that are damaged, and
    what an interrupted merge left behind, are reported as ``Unreadable`` with their path below the prefix. Raises nothing for
    what lies in the database; a database that cannot be listed at all is one ``Unreadable``.
    """
    packages: list[InstalledPackage] = []
    unreadable: list[Unreadable] = []
    for category, name, path in _entries(prefix_tree, unreadable):
        relative = str(PACKAGE_DATABASE / category / name)
        if name.startswith(MERGING):
            unreadable.append(Unreadable(relative, "left behind by an interrupted merge"))
            continue
        try:
            packages.append(_read_entry(category, name, path))
        except Damaged as damage:
            unreadable.append(Unreadable(relative, str(damage)))
        except OSError as error:
            unreadable.append(Unreadable(relative, error.strerror or str(error)))
    packages.sort(key=lambda package: package_key(package.id))
    unreadable.sort(key=lambda entry: entry.path)
    return Inventory(tuple(packages), tuple(unreadable))


def _entries(prefix_tree: Path, unreadable: list[Unreadable]) -> Iterator[tuple[str, str, str]]:
    """Category, name and path of everything that should be a package; hidden names are locks and caches."""
    database = prefix_tree / PACKAGE_DATABASE
    if not Path(os.path.realpath(database)).is_relative_to(os.path.realpath(prefix_tree)):
        unreadable.append(Unreadable(str(PACKAGE_DATABASE), "it lies outside the prefix"))
        return
    for category, category_path, is_directory in _listing(str(database), str(PACKAGE_DATABASE), unreadable):
        relative = str(PACKAGE_DATABASE / category)
        if not is_directory:
            unreadable.append(Unreadable(relative, "not a directory"))
            continue
        for name, path, _ in _listing(category_path, relative, unreadable):
            yield category, name, path


def _listing(directory: str, relative: str, unreadable: list[Unreadable]) -> list[tuple[str, str, bool]]:
    """Name, path and whether it is a real directory, of what is not hidden; none when the directory does not exist."""
    try:
        with os.scandir(directory) as entries:
            return [
                (entry.name, entry.path, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if not entry.name.startswith(".")
            ]
    except FileNotFoundError:
        return []
    except OSError as error:
        unreadable.append(Unreadable(relative, error.strerror or str(error)))
        return []


def _read_entry(category: str, name: str, path: str) -> InstalledPackage:
    """One package; raises ``Damaged`` or ``OSError``."""
    try:
        identity = parse_cpv(f"{category}/{name}")
    except ValueError:
        raise Damaged("its name is not category/name-version") from None
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        present = frozenset(os.listdir(directory))
        slot, _, subslot = _required(directory, present, "SLOT").partition("/")
        iuse = sorted({flag.lstrip("+-") for flag in _value(directory, present, "IUSE").split()})
        use = set(_value(directory, present, "USE").split())
        return InstalledPackage(
            id=identity,
            slot=slot,
            subslot=subslot or slot,
            repository=_value(directory, present, "repository"),
            eapi=_value(directory, present, "EAPI") or "0",
            use=tuple(flag for flag in iuse if flag in use),
            iuse=tuple(iuse),
            built_at_utc=_time(_value(directory, present, "BUILD_TIME")),
            size_bytes=_number(_value(directory, present, "SIZE"), "SIZE"),
            depends=" ".join(filter(None, (_value(directory, present, key) for key in DEPENDS))),
            compiled_in=_value(directory, present, COMPILED_IN),
        )
    finally:
        os.close(directory)


def _required(directory: int, present: frozenset[str], key: str) -> str:
    value = _value(directory, present, key)
    if not value:
        raise Damaged(f"{key} is {'empty' if key in present else 'missing'}")
    return value


def _value(directory: int, present: frozenset[str], key: str) -> str:
    """One file's text with its white space folded; empty when there is no such file."""
    if key not in present:
        return ""
    try:
        file = os.open(key, OPEN_FLAGS, dir_fd=directory)
    except OSError as error:
        raise Damaged(f"{key}: {error.strerror}") from error
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise Damaged(f"{key} is not a file")
        if found.st_size > MAX_VALUE_BYTES:
            raise Damaged(f"{key} is {found.st_size} bytes long")
        # os.read makes a buffer as large as it is told: ask for no more than there is.
        content = os.read(file, found.st_size)
    finally:
        os.close(file)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise Damaged(f"{key} is not UTF-8 text") from None
    if "\0" in text:
        raise Damaged(f"{key} holds binary data")
    return " ".join(text.split())


def _number(text: str, key: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise Damaged(f"{key} is not a number: {text[:40]!r}")
    return int(text)


def _time(text: str) -> datetime | None:
    seconds = _number(text, "BUILD_TIME")
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        raise Damaged(f"BUILD_TIME is out of range: {text[:40]!r}") from None


def to_document(inventory: Inventory) -> dict[str, Any]:
    """``inventory`` as JSON has it, for a reader in another mount namespace."""
    packages = []
    for package in inventory:
        document = dataclasses.asdict(package)
        document["id"] = package.id.cpv
        document["built_at_utc"] = package.built_at_utc and int(package.built_at_utc.timestamp())
        packages.append(document)
    return {"packages": packages, "unreadable": [dataclasses.asdict(entry) for entry in inventory.unreadable]}


def from_document(document: Mapping[str, Any]) -> Inventory:
    """The inverse of ``to_document``. Raises ``KeyError``, ``TypeError`` or ``ValueError`` for anything else."""
    packages = []
    for raw in document["packages"]:
        seconds = raw["built_at_utc"]
        values = raw | {
            "id": parse_cpv(raw["id"]),
            "use": tuple(raw["use"]),
            "iuse": tuple(raw["iuse"]),
            "built_at_utc": None if seconds is None else datetime.fromtimestamp(seconds, UTC),
        }
        packages.append(InstalledPackage(**values))
    return Inventory(tuple(packages), tuple(Unreadable(**raw) for raw in document["unreadable"]))


def main() -> int:
    """``python -m compatlayer.gentoo.inventory PREFIX``: read where PREFIX can be seen, write JSON to standard output."""
    json.dump(to_document(read(Path(sys.argv[1]))), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
