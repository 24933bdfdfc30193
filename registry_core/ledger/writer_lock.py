"""One writer per ledger: an flock whose file says who holds it.

The kernel frees the lock when the holder dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from registry_core.errors import LedgerLocked


class WriterLock:
    """Held from construction to `release`."""

    def __init__(self, path: Path, holder: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            current = os.pread(self._descriptor, 512, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise LedgerLocked(
                f"the ledger {path.parent} is open for writing by {current or 'another process'}: "
                "end that process, or work through it (cachctl --registry http://…)"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{holder} (process {os.getpid()})\n".encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)
