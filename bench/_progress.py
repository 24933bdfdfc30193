"""How far a bench is, on standard error: its figures go to standard output."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

_SILENCE_S = 10.0


class Progress:
    """Few lines, and no silence that looks like the end. `lead` begins each line."""

    def __init__(self, lead: Callable[[], str]) -> None:
        self._lead = lead
        self._said_s = time.monotonic()

    def say(self, text: str) -> None:
        self._said_s = time.monotonic()
        print(self._lead() + text, file=sys.stderr, flush=True)

    def step(self, text: str) -> None:
        """One of many: said once nothing was for ten seconds."""
        if time.monotonic() - self._said_s >= _SILENCE_S:
            self.say(text)
