"""Where an installed package lies that carries a real model."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest


def package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None, f"{name} is not installed: run `make setup`"
    assert spec.origin is not None
    return Path(spec.origin).parent


def need_torch(*others: str) -> None:
    """torch is large and optional: CI has it, a laptop may not."""
    lacking = [name for name in ("torch", *others) if importlib.util.find_spec(name) is None]
    if lacking:
        assert not os.environ.get("REQUIRE_ALL_TESTS"), f"CI installs {lacking}"
        pytest.skip(
            f"{' and '.join(lacking)} not installed: pip install torch==2.13.0 transformers"
        )
