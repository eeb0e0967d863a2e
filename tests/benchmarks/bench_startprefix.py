"""What ``startprefix`` adds to the start of a command, in the standalone layer of this repository, in a root that holds nothing else.

One batch starts a command many times, from one shell; batches with and without are taken in turns, and the fastest of each counts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.standalone_layer import StandaloneLayer, standalone_layer

STARTS, BATCHES = 50, 7
BATCH = "TIMEFORMAT=%R; time for number in {{1..{starts}}}; do {command}; done"


def milliseconds(layer: StandaloneLayer, command: str) -> float:
    """The time of one start, averaged over a batch."""
    shell = f"{layer.prefix}/bin/bash"
    done = layer.in_empty_root(shell, "-c", BATCH.format(starts=STARTS, command=command))
    return float(done.stderr) / STARTS * 1000


layer = standalone_layer()
bare, started = f"{layer.prefix}/bin/true", f"{layer.prefix}/startprefix true"
pairs = [(milliseconds(layer, bare), milliseconds(layer, started)) for _ in range(BATCHES)]
without, with_it = (min(one) for one in zip(*pairs, strict=True))
print(json.dumps({"what": "start of a command", "value": without, "unit": "ms"}))
print(json.dumps({"what": "added by startprefix", "value": with_it - without, "unit": "ms", "at_most": 30}))
