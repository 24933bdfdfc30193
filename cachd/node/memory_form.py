"""Where a node keeps versions in memory, by its configuration; what it may not have, it says."""

from __future__ import annotations

from cachd.limits import MIB
from cachd.memory import machine
from cachd.memory.budget import budget_bytes
from cachd.memory.form import FilesForm, Form, ResidentForm
from cachd.memory.locking import LockMemory, require_lockable
from cachd.memory.numa import memory_nodes
from cachd.memory.tmpfs import TmpfsForm, leave_mounted
from cachd.node.config import NodeConfig

_SLACK = 64 * MIB  # and a tenth: large pages round up


def open_form(config: NodeConfig) -> Form:
    """MemoryNotLocked, TmpfsUnusable."""
    memory = machine.look()
    budget = budget_bytes(config.memory.budget, memory)
    form = _open(config, budget, swap=memory.swap)
    if config.memory.lock is LockMemory.ALWAYS and not form.unswappable:
        require_lockable(budget)
    return form


def _open(config: NodeConfig, budget: int, *, swap: bool) -> Form:
    mounted = config.run / "resident"
    if config.memory.form is ResidentForm.FILES:
        leave_mounted(mounted)
        return FilesForm()
    if config.memory.tmpfs is not None:
        return TmpfsForm.open_given(config.memory.tmpfs, swap=swap)
    size = budget + budget // 10 + _SLACK
    return TmpfsForm.open_mounted(mounted, size, memory_nodes(), swap=swap)
