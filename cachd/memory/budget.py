"""How much memory versions may take, as an operator says it: `48GiB`, or `80%` of what there is."""

from __future__ import annotations

import mmap

from cachd.cache.quota import Quota
from cachd.memory.machine import Memory
from registry_core.domain.manifest import Manifest

BUDGET_DEFAULT = Quota(share=0.8)


def parse_budget(text: str) -> Quota:
    """InvalidInput says what to write."""
    return Quota.parse(text, "a memory budget", "48GiB")


def budget_bytes(budget: Quota, memory: Memory) -> int:
    """Never more than the machine, or the control group, has."""
    return min(budget.of(memory.total), memory.total)


def pages_of(manifest: Manifest) -> dict[bytes, int]:
    """Bytes of memory that the files of a version take, by chunk root."""
    return {
        file.chunk_root: -(-file.size // mmap.PAGESIZE) * mmap.PAGESIZE
        for file in manifest.files
        if file.chunks
    }
