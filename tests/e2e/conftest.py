"""The rig of tests/system: an authority, nodes and workers as real processes."""

from __future__ import annotations

from tests.system.conftest import rig

__all__ = ["rig"]
