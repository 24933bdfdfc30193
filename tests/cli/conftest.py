"""A registry to begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

import registry_core


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The directory of an empty registry."""
    registry_core.init(tmp_path / "registry").close()
    return tmp_path / "registry"
