"""What a node's `GET /metrics` tells of versions in memory."""

from __future__ import annotations

from cachd.memory import machine
from cachd.node.cache_figures import Gauge
from cachd.node.memory_keeper import MemoryKeeper


def tell_memory(gauge: Gauge, memory: MemoryKeeper) -> None:
    gauge("cachd_memory_bytes", "Taken of memory by versions", memory.used)
    gauge("cachd_memory_budget_bytes", "What versions may take", lambda: memory.budget)
    gauge("cachd_memory_available_bytes", "What the machine or control group has to give",
          lambda: machine.look().available)  # fmt: skip
    gauge("cachd_memory_locked_bytes", "Of versions, that cannot be reclaimed", memory.locked)
    gauge("cachd_memory_resident_bytes", "Of versions, in memory when last measured", memory.there)
    gauge("cachd_memory_brought_back_bytes", "Reclaimed and brought back since the start",
          lambda: memory.bytes_brought_back)  # fmt: skip
