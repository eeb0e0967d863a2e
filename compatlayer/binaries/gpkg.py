"""Whether a binary package is whole: what its own Manifest says of its members (GLEP 78).

Source: https://www.gentoo.org/glep/glep-0078.html. What is inside the members is Portage's business.
"""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path, PurePosixPath

_MANIFEST, _FORMAT = "Manifest", "gpkg-1"
_MANIFEST_BYTES = 1 << 20


def flaw(path: Path) -> str | None:
    """What is wrong with a package file, in a few words; None when it is whole."""
    try:
        with tarfile.open(path, "r:") as archive:
            members = {PurePosixPath(member.name).name: member for member in archive if member.isreg()}
            if _FORMAT not in members or _MANIFEST not in members:
                return "it is no gpkg, or was not written to its end"
            said = archive.extractfile(members[_MANIFEST])
            assert said is not None, "it is a regular file"
            wanted = _sha512(said.read(_MANIFEST_BYTES).decode("utf-8", "replace"))
            kept = {name for name in members if name.startswith(("metadata.", "image."))}
            if len(kept) != 2 or kept - set(wanted):
                return "its Manifest does not name its members"
            for name in sorted(kept):
                stream = archive.extractfile(members[name])
                assert stream is not None, "it is a regular file"
                if hashlib.file_digest(stream, "sha512").hexdigest() != wanted[name]:  # type: ignore[arg-type]
                    return f"{name} in it is damaged"
    except (tarfile.TarError, OSError, EOFError) as error:
        return f"it cannot be read: {error}"
    return None


def _sha512(manifest: str) -> dict[str, str]:
    """``DATA name size HASH value HASH value …`` of each line, by name."""
    found = {}
    for line in manifest.splitlines():
        words = line.split()
        if len(words) > 3 and words[0] == "DATA" and "SHA512" in words[3::2]:
            found[words[1]] = words[words.index("SHA512", 3) + 1].lower()
    return found
