"""Where a node keeps versions in memory, by its configuration; what it may not have, it says."""

from __future__ import annotations

from cachd.memory import machine
from cachd.memory.budget import budget_bytes
from cachd.memory.form import FilesForm, Form
from cachd.memory.locking import LockMemory, require_lockable
from cachd.node.config import NodeConfig


def open_form(config: NodeConfig) -> Form:
    """MemoryNotLocked, TmpfsUnusable."""
    budget = budget_bytes(config.memory.budget, machine.look())
    if config.memory.lock is LockMemory.ALWAYS:
        require_lockable(budget)
    return FilesForm()
