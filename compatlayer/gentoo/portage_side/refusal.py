"""How an operation says no: with a list of failures, each a dictionary with a ``kind``."""

from __future__ import annotations

from typing import Any, Dict, List


class Refused(Exception):
    """Portage has reasons; ``failures`` are JSON-ready dictionaries."""

    def __init__(self, failures: List[Dict[str, Any]]) -> None:
        super().__init__(f"{len(failures)} failures")
        self.failures = failures
