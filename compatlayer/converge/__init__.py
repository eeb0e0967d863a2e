"""Converging: a plan becomes playbook variables, Ansible runs inside the stage's view, and what was made goes on record.

Everything that belongs to this machine reaches the build through the view's fixed paths and the environment; what reaches
the prefix is the same on every machine.
"""

from __future__ import annotations

from compatlayer.converge.bootstrap import bootstrap, refuse_root
from compatlayer.converge.record import Work, is_converged, provenance, remember, stamp
from compatlayer.converge.run import converge
from compatlayer.converge.workplace import BUILD, Options, Places, begin_run

__all__ = [
    "BUILD",
    "Options",
    "Places",
    "Work",
    "begin_run",
    "bootstrap",
    "converge",
    "is_converged",
    "provenance",
    "refuse_root",
    "remember",
    "stamp",
]
