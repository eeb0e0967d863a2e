"""A stage: a part being worked on, and its view at the prefix path.

On disk, under the state directory::

    stages/<version>-<target>/
        stage.json   what it is: part, prefix, the lower tree and the base it stands on
        upper/       what is written; for a plain stage (no lower) the whole tree
        lower        a link to the lower tree (overlay stages only)
        work/        overlayfs's scratch space (overlay stages only)
        merged/      where the overlay is mounted, in the view's own namespace; always empty outside of it
        journal      what was under way (``compatlayer.journal``)
        lock         who works on it (``compatlayer.lock``)

The lower tree is never written. A stage survives any crash of what runs in it: the upper directory is the state.
"""

from __future__ import annotations

from compatlayer.stage.stage import Stage, drop, find_stage, open_stage, stages
from compatlayer.stage.view import Bind, Overlay, View, keep_visible, tree_view, unbound

__all__ = [
    "Bind",
    "Overlay",
    "Stage",
    "View",
    "drop",
    "find_stage",
    "keep_visible",
    "open_stage",
    "stages",
    "tree_view",
    "unbound",
]
