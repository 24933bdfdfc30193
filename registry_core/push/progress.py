"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with (phase, bytes done, bytes in all); may be called from any thread."""


def silent(phase: str, done: int, total: int) -> None:
    """A Progress that tells nobody."""
