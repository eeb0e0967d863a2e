"""Where a mirror keeps a file: GLEP 75, https://www.gentoo.org/glep/glep-0075.html ."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from compatlayer.mirror import hashes

FILE = "layout.conf"
# Ours: 256 directories, and every file under its plain name as well, for whoever knows no GLEP 75.
TEXT = "[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n"


@dataclass(frozen=True, slots=True)
class Layout:
    """One structure of a layout.conf. ``cutoffs`` are the bits that each directory level takes; flat has none."""

    kind: str = "flat"
    hash_name: str = "BLAKE2B"
    cutoffs: tuple[int, ...] = ()

    def path(self, name: str, digests: Mapping[str, str] | None = None) -> str:
        """The path of the distfile ``name`` below the mirror's ``distfiles``; ``digests`` are needed for ``content-hash``."""
        if self.kind == "flat":
            return name
        if self.kind == "content-hash":
            digest = last = (digests or {})[self.hash_name].lower()
        else:
            digest, last = _name_digest(self.hash_name, name), name
        levels = []
        for cutoff in self.cutoffs:
            levels.append(digest[: cutoff // 4])
            digest = digest[cutoff // 4 :]
        return "/".join([*levels, last])


@functools.lru_cache(maxsize=1 << 14)
def _name_digest(hash_name: str, name: str) -> str:
    digester = hashes.Digester([hash_name])
    digester.update(name.encode())
    return digester.digests()[hash_name]


FLAT = Layout()
OURS = Layout("filename-hash", "BLAKE2B", (8,))


def parse(text: str) -> tuple[Layout, ...]:
    """The structures of a layout.conf that we understand, the mirror's favourite first. Raises ``ValueError`` for other texts."""
    import configparser  # noqa: PLC0415  (only other people's mirrors have one to read)

    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
        entries = dict(parser["structure"]) if parser.has_section("structure") else {}
    except configparser.Error as error:
        raise ValueError(f"not a layout.conf: {error}") from error
    if "0" not in entries:
        raise ValueError("not a layout.conf: it has no structure 0")
    found = (_structure(entries[str(number)].split()) for number in range(len(entries)) if str(number) in entries)
    return tuple(layout for layout in found if layout is not None)


def best(layouts: tuple[Layout, ...], digests: Mapping[str, str]) -> Layout:
    """The first structure that can be used for a file with these digests; flat where there is none."""
    return next((one for one in layouts if one.kind != "content-hash" or one.hash_name in digests), FLAT)


def _structure(words: list[str]) -> Layout | None:
    if words == ["flat"]:
        return FLAT
    if len(words) != 3 or words[0] not in ("filename-hash", "content-hash") or words[1] not in hashes.available():
        return None
    try:
        cutoffs = tuple(int(word) for word in words[2].split(":"))
    except ValueError:
        return None
    return Layout(words[0], words[1], cutoffs) if all(bits > 0 and bits % 4 == 0 for bits in cutoffs) else None
