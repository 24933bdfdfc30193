"""The errors of versions in memory."""

from __future__ import annotations

from registry_core.errors import RegistryError


class MemoryNoRoom(RegistryError):
    """A version does not fit into memory beside what must stay. Helps once memory is released."""

    code = "memory_no_room"
    retryable = True

    def __init__(self, needs: int, free: int, budget: int, why: str) -> None:
        super().__init__(
            f"needs {size_text(needs)}, {size_text(free)} free of the {size_text(budget)} that "
            f"versions may take in memory{why}"
        )
        self.needs, self.free, self.budget = needs, free, budget


class MemoryNotLocked(RegistryError):
    """`--lock-memory always`, and the kernel refuses. Helps once the process may lock memory."""

    code = "memory_not_locked"


class TmpfsUnusable(RegistryError):
    """No tmpfs can be had for versions, or it does not take what it should."""

    code = "tmpfs_unusable"


def size_text(count: int) -> str:
    """Bytes as people read them: `5.1 GB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
