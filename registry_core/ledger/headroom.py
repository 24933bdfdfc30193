"""Written space ahead of an LMDB file's end, so that a commit finds its blocks on the disk.

Where a commit makes a file longer, its fdatasync has to wait for the filesystem's journal as well:
that is half of what a small commit costs. So the file is lengthened by many commits' worth of
zeros at a time. (Blocks that are only reserved, as by fallocate, do not help: writing to them is
journalled too.) LMDB knows from its meta page how much of the file it uses.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

STEP_BYTES = 1 << 20
LOW_BYTES = 256 << 10  # more than nearly any commit adds
DISK_FREE_BYTES_MIN = 256 * STEP_BYTES  # on a disk with less, space is dearer than time


class Headroom:
    """Of the file at `path`. Call `keep` in a write transaction that has not written yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = 0

    def keep(self, used_bytes: int) -> None:
        """Lengthen the file if less than LOW_BYTES are left beyond the `used_bytes`. What cannot be
        done is left undone: commits are right without it."""
        if self._end - used_bytes >= LOW_BYTES:
            return
        with suppress(OSError):
            self._end = self._path.stat().st_size
            if self._end - used_bytes < LOW_BYTES:
                self._lengthen()

    def _lengthen(self) -> None:
        space = os.statvfs(self._path)
        if space.f_bavail * space.f_frsize < DISK_FREE_BYTES_MIN:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            self._end += os.pwrite(descriptor, bytes(STEP_BYTES), self._end)
        finally:
            os.close(descriptor)
