"""How one model@stage flips on this host, and PURE: when its workers begin to warm up.

Where a spread is given, each host begins at a point of it that follows from the host and the move
alone: hosts of a fleet do not all load at once, and a restarted daemon waits as long as before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cachd.serve.flip_policy import ALL, FlipPolicy


@dataclass(frozen=True, slots=True)
class FlipRules:
    """`ready_timeout_s`: what `load` and `warm` of a version may take in a worker, together.
    `load_at_once`: so many workers load it at a time while another version serves; 0: all (ADR 22).
    `host`: this host's name, as its place within `warm_spread_s`."""

    policy: FlipPolicy = ALL
    ready_timeout_s: float = 60.0
    warm_spread_s: float = 0.0
    load_at_once: int = 0
    host: str = ""

    def warm_delay_s(self, model: str, stage: str, generation: int) -> float:
        """From 0 to less than the spread, even over hosts, anew for each move."""
        named = f"{self.host}\0{model}\0{stage}\0{generation}".encode()
        point = int.from_bytes(hashlib.sha256(named).digest()[:8], "big") / (1 << 64)
        return point * self.warm_spread_s
