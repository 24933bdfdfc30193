"""Sixteen promoters at once on one stage: each reads it, decides, and writes what it decided.

Of all that decided on the same state, one may win. A *lost update* is a write that was acknowledged
though its decision was made on a state that another acknowledged write had replaced.
"""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

from bench.registry.cachd_system import CachdSystem
from bench.registry.systems import Size, System

ROUNDS = 20


def race(system: System, size: Size, promoters: int, rng: random.Random) -> dict[str, int]:
    """`lost_updates` and `double_winners` (rounds with more than one winner)."""
    lost = doubles = 0
    with ThreadPoolExecutor(promoters) as threads:
        for _ in range(ROUNDS):
            model = size.name(rng.randrange(size.models))
            now = system.read(model)
            others = [v for v in range(1, size.versions + 1) if v != now]
            barrier = threading.Barrier(promoters)
            ended = [
                threads.submit(_promote, system, model, rng.choice(others), barrier)
                for _ in range(promoters)
            ]
            winners = sum(one.result() for one in ended)
            lost += winners - 1
            doubles += winners > 1
    return {"lost_updates": lost, "double_winners": doubles, "race_rounds": ROUNDS}


def _promote(system: System, model: str, version: int, barrier: threading.Barrier) -> bool:
    """Everybody has read the stage before anybody writes."""
    system.read(model)
    if isinstance(system, CachdSystem):
        system.prepare_stage(model, version)
    barrier.wait(60)
    return system.set_stage(model, version)
