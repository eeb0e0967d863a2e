"""Picking a renderer by the name of its format."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import TypeVar

from compatlayer.errors import UsageError

Renderer = TypeVar("Renderer")


def pick(renderers: Mapping[str, Renderer], name: str) -> Renderer:
    """The renderer called ``name``. Raises ``UsageError`` with the known names and the nearest one."""
    try:
        return renderers[name]
    except KeyError:
        near = difflib.get_close_matches(name, renderers, n=1)
        raise UsageError(
            f"unknown format {name!r}",
            cause=f"known here: {', '.join(renderers)}",
            hint=f"did you mean --format {near[0]}?" if near else None,
        ) from None


def to_json(document: object) -> str:
    """JSON for programs: indented, in ASCII (so that no encoding of a pipe can break it), ending with a newline."""
    return json.dumps(document, indent=2) + "\n"
