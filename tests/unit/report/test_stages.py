from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from compatlayer.declaration.model import TARGETS, Part
from compatlayer.lock import Holder
from compatlayer.report.stages import render
from compatlayer.stage import Stage

PART = Part("example", "2026.11", TARGETS["linux-x86_64"], PurePosixPath("/cvmfs/example.org/compat"))
FRESH = Stage(PART, Path("/state/stages/a"), None, None, "1")
BUSY = Stage(PART, Path("/state/stages/b"), Path("/lower"), "test revision 7", "2")
HOLDER = Holder("host", 12, "me", "install", "2026-11-20T10:00:00Z")


def test_a_list_of_stages_says_what_each_stands_on_and_who_works_on_it() -> None:
    said = render([(FRESH, None), (BUSY, HOLDER)])
    assert said == (
        "2026.11/linux-x86_64\n"
        "  prefix     /cvmfs/example.org/compat\n"
        "  stands on  nothing\n"
        "  directory  /state/stages/a\n"
        "2026.11/linux-x86_64\n"
        "  prefix     /cvmfs/example.org/compat\n"
        "  stands on  test revision 7\n"
        "  directory  /state/stages/b\n"
        "  in use     install, process 12 of me on host, since 2026-11-20T10:00:00Z\n"
        "2 stages\n"
    )


def test_json_names_the_holder_or_null() -> None:
    first, second = json.loads(render([(FRESH, None), (BUSY, HOLDER)], "json"))["stages"]
    assert (first["holder"], first["base"]) == (None, None)
    assert (second["holder"], second["base"]) == (str(HOLDER), "test revision 7")
