"""ELF files: what they say of themselves (``headers``), and where a dynamic loader would find what they need (``loader``).

Read by our own code, so that a tree of any architecture can be judged on any machine: nothing is run or mapped, and every number
in a file is doubted. The format: https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html
"""

from __future__ import annotations

from compatlayer.verify.elf.headers import MAGIC, DamagedElfError, Elf, Machine, parse
from compatlayer.verify.elf.loader import Found, Libraries, Load, Outcome

__all__ = ["MAGIC", "DamagedElfError", "Elf", "Found", "Libraries", "Load", "Machine", "Outcome", "parse"]
