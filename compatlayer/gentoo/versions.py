"""Package names and versions by the Package Manager Specification: taken apart, and put in order.

Sources: PMS, "Names and Versions" and "Version Comparison" (https://projects.gentoo.org/pms/8/pms.html). Equal to Portage's
``vercmp`` on every valid version, which a property test holds it to.
"""

from __future__ import annotations

import re
from functools import lru_cache

from compatlayer.gentoo.packages import PackageId

_VERSION = r"\d+(?:\.\d+)*[a-z]?(?:_(?:alpha|beta|pre|rc|p)\d*)*(?:-r\d+)?"
_CPV = re.compile(
    r"(?P<category>[A-Za-z0-9_][A-Za-z0-9+_.-]*)/(?P<name>[A-Za-z0-9_][A-Za-z0-9+_-]*?)-(?P<version>" + _VERSION + r")"
)
_PARTS = re.compile(
    r"(?P<numbers>\d+(?:\.\d+)*)(?P<letter>[a-z]?)(?P<suffixes>(?:_(?:alpha|beta|pre|rc|p)\d*)*)(?:-r(?P<revision>\d+))?"
)
_SUFFIX = re.compile(r"_(alpha|beta|pre|rc|p)(\d*)")
# A name may not end in something that looks like a version: "foo-1" in "foo-1-2" is none.
_ENDS_LIKE_A_VERSION = re.compile(r"-" + _VERSION + r"\Z")

# A version that ends stands between _rc and _p.
_SUFFIX_ORDER = {"alpha": 0, "beta": 1, "pre": 2, "rc": 3, "p": 5}
_END = (4, 0)

VersionKey = tuple[tuple[tuple[int, int, str], ...], str, tuple[tuple[int, int], ...], int]


def parse_cpv(text: str) -> PackageId:
    """Take ``category/name-version[-rN]`` apart; ``ValueError`` when it is not one."""
    match = _CPV.fullmatch(text)
    if match is None or _ENDS_LIKE_A_VERSION.search(match["name"]):
        raise ValueError(f"{text!r} is not category/name-version")
    return PackageId(match["category"], match["name"], match["version"])


@lru_cache(maxsize=16384)
def version_key(version: str) -> VersionKey:
    """A key that sorts versions as PMS orders them; ``ValueError`` when ``version`` is not one."""
    match = _PARTS.fullmatch(version)
    if match is None:
        raise ValueError(f"{version!r} is not a version")
    first, *rest = match["numbers"].split(".")
    numbers = ((1, int(first), ""), *map(_component, rest))
    suffixes = tuple((_SUFFIX_ORDER[name], int(number or 0)) for name, number in _SUFFIX.findall(match["suffixes"]))
    return (numbers, match["letter"], (*suffixes, _END), int(match["revision"] or 0))


def _component(digits: str) -> tuple[int, int, str]:
    """A component after the first: with a leading zero it is a fraction (compared as text), below every whole number."""
    return (0, 0, digits.rstrip("0")) if digits.startswith("0") else (1, int(digits), "")


def compare(left: str, right: str) -> int:
    """-1, 0 or 1 as ``left`` is before, equal to or after ``right``."""
    one, other = version_key(left), version_key(right)
    return (one > other) - (one < other)


def package_key(package: PackageId) -> tuple[str, str, VersionKey]:
    """A key that sorts by category, name, and then version order."""
    return (package.category, package.name, version_key(package.version))
