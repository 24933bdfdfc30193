"""Whether this process may lock memory, and how much.

A process with CAP_IPC_LOCK may lock all; another as much as RLIMIT_MEMLOCK says.
"""

from __future__ import annotations

import resource
from enum import StrEnum
from pathlib import Path

from cachd.memory.errors import MemoryNotLocked, size_text

_CAP_IPC_LOCK = 14


class LockMemory(StrEnum):
    """`auto`: what may be locked is. `always`: nothing is served that is not."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def lockable_bytes() -> int | None:
    """None: no limit."""
    if _capabilities() >> _CAP_IPC_LOCK & 1:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return None if soft == resource.RLIM_INFINITY else soft


def require_lockable(budget: int) -> None:
    """MemoryNotLocked unless versions of so many bytes may be locked."""
    limit = lockable_bytes()
    if limit is not None and limit < budget:
        raise MemoryNotLocked(
            f"--lock-memory always: this process may lock {size_text(limit)} of memory "
            f"(RLIMIT_MEMLOCK), and the memory budget is {size_text(budget)}. Give it CAP_IPC_LOCK "
            "or LimitMEMLOCK=infinity in its systemd unit, a smaller --memory-budget, or say "
            "--lock-memory auto"
        )


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
