"""The shared pass: the tree is walked and read once, and every check that looks at files looks along.

A check joins by giving a ``Visitor`` to ``@check(name, visitor=…)`` (``visitor.py`` says which hooks there are). It then asks
``context.pass_.reports(name)`` for what its visitors reported, and makes findings of that. What all have in common is in
``context.pass_``: who owns which path (``ownership``), what is recorded but absent, what is there but recorded nowhere, and
what could not be looked at.
"""

from __future__ import annotations

from compatlayer.verify.reading.ownership import Damage, Kind, Ownership, Record
from compatlayer.verify.reading.reading import Absent, Collision, Reading, Statistics, by_path
from compatlayer.verify.reading.visitor import Seen, Visitor
from compatlayer.verify.reading.walk import Problem, Trouble

__all__ = [
    "Absent",
    "Collision",
    "Damage",
    "Kind",
    "Ownership",
    "Problem",
    "Reading",
    "Record",
    "Seen",
    "Statistics",
    "Trouble",
    "Visitor",
    "by_path",
]
