"""The rig as a fixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cachctl.demo.fleet import Fleet
from tests.system.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Fleet(tmp_path) as fleet:
        yield Rig.begin(tmp_path, fleet)
