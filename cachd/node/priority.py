"""Who goes first on a busy host: the loop that flips, then the workers, then bulk bytes.

A flip is a millisecond of work that must not wait behind others' time slices; hashing gigabytes can
wait behind everybody. Linux keeps niceness per thread, and a new thread inherits its maker's.
"""

from __future__ import annotations

import contextlib
import os
import threading

from cachd.cache.libc import read_when_disk_is_idle
from cachd.cache.niceness import yield_to_others
from cachd.memory.numa import interleave_this_thread, memory_nodes

_LOOP = -5


def prefer_this_thread() -> None:
    """For the event loop. Needs CAP_SYS_NICE; without it a flip may wait for a time slice."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOOP)


def bring_bulk_bytes() -> None:
    """For threads that bring versions: besides, what they read or write lies on all nodes of the
    machine."""
    yield_to_others()
    interleave_this_thread(memory_nodes())


def read_when_idle() -> None:
    """For the thread that scrubs: besides, the disk serves it when nobody else asks."""
    yield_to_others()
    read_when_disk_is_idle()
