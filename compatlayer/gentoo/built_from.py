"""Which source files a package was built from, read without Portage.

Of every build Portage keeps the environment (``environment.bz2`` in the package database, portage(5)); its variable ``A`` names
the source files that the package's USE flags asked for (PMS, "Environment variables").
"""

from __future__ import annotations

import bz2
import re
from pathlib import Path

ENVIRONMENT = "environment.bz2"
# As bash's `declare -p` writes it. Names are in order, so nothing that comes before could look like it.
_A = re.compile(r"declare -[-a-z]+ A=(.*)\n?")


def source_files(environment: Path) -> frozenset[str]:
    """The names of the files that one package was built from; none for a package without sources.

    Raises ``ValueError`` when ``environment`` is not one that Portage has written, ``OSError`` when it cannot be read.
    """
    try:
        with bz2.open(environment, "rt", encoding="utf-8", errors="replace") as lines:
            found = next(filter(None, map(_A.fullmatch, lines)), None)
    except EOFError as error:
        raise ValueError("it was cut off") from error
    except OSError as error:
        # What the decompressor refuses has no error number, unlike what the file system refuses.
        if error.errno is None:
            raise ValueError(str(error)) from error
        raise
    if found is None:
        raise ValueError("it does not say what the package was built from")
    return frozenset(re.sub(r"\\(.)", r"\1", found[1]).strip('"').split())
