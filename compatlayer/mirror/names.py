"""What ``mirror://NAME/…`` in an ebuild means on this machine.

The layer's declaration wins, then the environment, then, for ``debian`` and only on Debian itself, the package sources this
machine is configured with (another distribution's pool holds other files). A name that nobody knows is simply not used: every
ebuild names upstream as well, or says that it cannot.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

VARIABLE = "COMPATLAYER_MIRROR_"
APT = Path("/etc/apt")


def resolve(
    declared: Mapping[str, tuple[str, ...]], environ: Mapping[str, str] | None = None, apt: Path = APT
) -> dict[str, tuple[str, ...]]:
    """Base URLs by mirror name, without trailing slashes.

    ``COMPATLAYER_MIRROR_DEBIAN="https://… file:///…"`` in ``environ`` (default: our own) says what ``mirror://debian`` means.
    """
    names = {name: tuple(url.rstrip("/") for url in urls) for name, urls in declared.items()}
    for variable, value in sorted((os.environ if environ is None else environ).items()):
        name = variable.removeprefix(VARIABLE).lower()
        if variable.startswith(VARIABLE) and name and value.split():
            names.setdefault(name, tuple(url.rstrip("/") for url in value.split()))
    if "debian" not in names:
        own = tuple(dict.fromkeys(_debian_sources(apt)))
        if own:
            names["debian"] = own
    return names


def thirdpartymirrors(names: Mapping[str, tuple[str, ...]]) -> bytes:
    """``profiles/thirdpartymirrors`` (portage(5)): a name and its base URLs on each line."""
    return "".join(f"{name} {' '.join(urls)}\n" for name, urls in sorted(names.items())).encode()


def _debian_sources(apt: Path) -> Iterator[str]:
    """The base URLs of Debian's own archive among this machine's package sources; none on any other distribution."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return
    if release.get("ID") != "debian":
        return
    suites = {release.get("VERSION_CODENAME", ""), "stable"} - {""}
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        entries = _deb822(text) if file.suffix == ".sources" else _one_line(text)
        for url, named in entries:
            # A third party's source, and the security archive, have suites of other names and no pool of everything.
            if suites & named and re.match(r"(?:https?|file)://", url):
                yield url.rstrip("/")


def _deb822(text: str) -> Iterator[tuple[str, set[str]]]:
    """(URL, suites) of each stanza in the format of sources.list(5), DEB822 style."""
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
        if fields.get("Enabled", "yes").strip().lower() == "no":
            continue
        for url in fields.get("URIs", "").split():
            yield url, set(fields.get("Suites", "").split())


def _one_line(text: str) -> Iterator[tuple[str, set[str]]]:
    """(URL, suites) of each line in the one-line style of sources.list(5)."""
    for line in text.splitlines():
        found = re.match(r"deb(?:-src)?\s+(?:\[[^]]*]\s+)?(\S+)\s+(\S+)", line.strip())
        if found:
            yield found.group(1), {found.group(2)}
