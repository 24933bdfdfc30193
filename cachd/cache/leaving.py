"""Files that the cache has removed, and whose blocks and pages go only as others are written.

A version that is evicted for another frees gigabytes of memory at once. A virtual machine hands
what stays free for two seconds to its hypervisor (free page reporting) and gets it back page by
page: who answers requests on it stands still for half a second meanwhile. So what goes because
something comes is cut from its end, a step at a time, and its pages pass from one to the other.

Small files go at once, and what is more than a few: each costs a descriptor until it has gone. And
only what nobody else has open or mapped goes so: a program goes on seeing what it has. Whether that
is the case the kernel tells, which grants a write lease on no other file (fcntl(2), "File leases").
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path

from cachd import limits


class LeavingFiles:
    """Of one cache. Any thread may call. After a crash the kernel frees them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the two below
        self._files: deque[_Leaving] = deque()
        self._made = 0
        """Bytes that were freed beyond what has been written."""

    @property
    def bytes(self) -> int:
        """That the disk still holds of them."""
        with self._lock:
            return sum(file.size for file in self._files)

    def remove(self, path: Path, *, gradually: bool) -> None:
        """The name goes now. `gradually`: the blocks as way is made, until `finish`."""
        descriptor = _open_to_cut(path) if gradually else None
        path.unlink(missing_ok=True)
        if descriptor is None:
            return
        with self._lock:
            leaving = _Leaving(descriptor)
            few = len(self._files) < limits.LEAVING_FILES_MAX
            if not (few and leaving.size >= limits.LEAVING_STEP and _nobody_else_has(descriptor)):
                os.close(descriptor)
                return
            self._files.append(leaving)
            if not self._made:
                self._made = self._cut()  # documents come before chunks

    def make_way(self, count: int) -> None:
        """So many bytes are about to be written."""
        if not self._files:
            return
        with self._lock:
            self._made -= count
            while self._made < 0 and self._files:
                self._made += self._cut()
            self._made = max(self._made, 0)

    def finish(self) -> None:
        """Nothing more is coming: all of them go."""
        with self._lock:
            while self._files:
                os.close(self._files.popleft().descriptor)
            self._made = 0

    def _cut(self) -> int:
        first = self._files[0]
        cut = min(limits.LEAVING_STEP, first.size)
        first.size -= cut
        try:
            os.ftruncate(first.descriptor, first.size)
        except OSError:  # of a disk that fails: then at once
            first.size = 0
        if not first.size:
            os.close(self._files.popleft().descriptor)
        return cut


class _Leaving:
    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size


def _open_to_cut(path: Path) -> int | None:
    """None if that is not allowed, or it is not there: then it goes at once."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    with suppress(OSError):
        try:
            return os.open(path, flags)
        except PermissionError:  # what is complete is read-only, also for its owner
            path.chmod(0o600)
            return os.open(path, flags)
    return None


def _nobody_else_has(descriptor: int) -> bool:
    """For a file whose name is gone, so that nobody can open it any more."""
    if os.fstat(descriptor).st_nlink:
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # SIGIO, as it is, ends a process
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    return True
