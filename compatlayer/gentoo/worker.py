"""Start Portage's side of the worker: ``python -I .../worker.py``, JSON lines on standard input and output.

This file and ``portage_side`` next to it run under the Python that owns a Portage 3 (ours, or a Gentoo Prefix's own from 3.9
on), so they use the standard library and Portage, nothing else of this project. Portage is GPL-2.0-only and lives in this
process alone; ``client.Worker`` talks to it.
"""

from __future__ import annotations

import importlib.util
import os
import sys


def main() -> int:
    """Load ``portage_side`` by its path, so that nothing next to it can shadow a module of the Python that runs this."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "portage_side")
    spec = importlib.util.spec_from_file_location(
        "portage_side", os.path.join(here, "__init__.py"), submodule_search_locations=[here]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{here} cannot be loaded")
    package = importlib.util.module_from_spec(spec)
    sys.modules["portage_side"] = package
    spec.loader.exec_module(package)
    return int(importlib.import_module("portage_side.serve").serve())


if __name__ == "__main__":
    sys.exit(main())
