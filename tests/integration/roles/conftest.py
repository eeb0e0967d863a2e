from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.roles.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "prefix").mkdir()
    return Bench(tmp_path)
