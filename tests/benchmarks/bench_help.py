"""How long ``compatlayer --help`` takes: the best of five, since only the fastest run says what our imports cost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

COMMAND = Path(sys.executable).with_name("compatlayer")

taken = []
for _ in range(5):
    began = time.perf_counter()
    subprocess.run([COMMAND, "--help"], stdout=subprocess.DEVNULL, check=True)
    taken.append(time.perf_counter() - began)
print(json.dumps({"what": "compatlayer --help", "value": min(taken), "unit": "s", "at_most": 0.3}))
