"""Who goes first on a busy host: the loop that flips, then the workers, then bulk bytes.

A flip is a millisecond of work that must not wait behind others' time slices; hashing gigabytes can
wait behind everybody. Linux keeps niceness per thread, and a new thread inherits its maker's. It
compares threads of one group only, which a session is (sched(7), "The autogroup feature") or a
control group; between groups their weights count, however nice their threads are. ADR 20.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from cachd import limits
from cachd.cache.libc import read_when_disk_is_idle
from cachd.cache.niceness import BULK_NICENESS, yield_to_others
from cachd.memory.numa import interleave_this_thread, memory_nodes

_LOWEST_REAL_TIME = 1
_LOOP = -5
_AUTOGROUP = Path("/proc/self/autogroup")


def prefer_this_thread() -> None:
    """For the event loop: it goes before all that is not real-time, and what it starts does not.
    Where that is not allowed (CAP_SYS_NICE, or RLIMIT_RTPRIO of 1) it is a little less nice than
    others, and where not even that is, a flip may wait for a time slice. ADR 21."""
    thread = threading.get_native_id()
    try:
        os.sched_setscheduler(
            thread, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(_LOWEST_REAL_TIME)
        )
    except PermissionError:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, thread, _LOOP)


def stand_behind_other_services() -> None:
    """For a process that leads its session, as services do: the session counts for as much as one
    bulk thread. In others' sessions nothing is changed, nor where control groups have weights of
    their own or the kernel makes no such groups."""
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            _AUTOGROUP.write_text(str(BULK_NICENESS))


def store_threads(*, gently: bool) -> int:
    """How many threads copy, hash and write at once. `gently`: a quarter of the processors, so that
    who answers requests finds one of the others free; niceness alone lets it wait for a turn of
    each thread."""
    return few_processors() if gently else limits.FETCH_THREADS_MAX


def few_processors() -> int:
    """A quarter of those that this process may use, at least one."""
    return max(1, len(os.sched_getaffinity(0)) // 4)


def bring_bulk_bytes() -> None:
    """For threads that bring versions: besides, what they read or write lies on all nodes of the
    machine."""
    yield_to_others()
    interleave_this_thread(memory_nodes())


def read_when_idle() -> None:
    """For the thread that scrubs: besides, the disk serves it when nobody else asks."""
    yield_to_others()
    read_when_disk_is_idle()
