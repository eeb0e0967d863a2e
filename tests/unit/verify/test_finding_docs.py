from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_page_of_findings_says_what_the_findings_say() -> None:
    done = subprocess.run([sys.executable, ROOT / "tools/finding-docs", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
