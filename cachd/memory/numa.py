"""Pages spread over all nodes of a machine that has several.

A version is read by workers on every node; without this it would lie where the thread ran that
brought it. The kernel takes the policy of the thread whose write or fault allocates a page, and
threads inherit it from whoever starts them, so it is set once in each thread that brings versions.
"""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

_INTERLEAVE = 3
_SET_MEMPOLICY = {"x86_64": 238, "aarch64": 237}
_GET_MEMPOLICY = {"x86_64": 239, "aarch64": 236}
_MASK_BITS = 1024
_libc = ctypes.CDLL(None, use_errno=True)
_Mask = ctypes.c_ulong * (_MASK_BITS // (8 * ctypes.sizeof(ctypes.c_ulong)))
_BITS = 8 * ctypes.sizeof(ctypes.c_ulong)


def memory_nodes(system: Path = Path("/sys/devices/system/node")) -> tuple[int, ...]:
    """The nodes that have memory, and that this process may use; empty if the kernel knows none."""
    try:
        there = _parse((system / "has_memory").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return ()
    allowed = _allowed()
    return tuple(sorted(there & allowed if allowed else there))


def interleave_this_thread(nodes: tuple[int, ...]) -> bool:
    """The calling thread, and those it starts from here on, spread new pages over `nodes`. False:
    there is nothing to spread over, or the kernel will not."""
    return len(nodes) > 1 and set_interleave(nodes)


def set_interleave(nodes: tuple[int, ...]) -> bool:
    """Whether the kernel took it; a hint, so a machine that cannot goes without."""
    number = _SET_MEMPOLICY.get(platform.machine())
    if number is None or not nodes or max(nodes) >= _MASK_BITS:
        return False
    mask = _Mask()
    for node in nodes:
        mask[node // _BITS] |= 1 << (node % _BITS)
    return bool(_libc.syscall(number, _INTERLEAVE, mask, ctypes.c_ulong(_MASK_BITS)) == 0)


def interleaved() -> tuple[int, ...]:
    """The nodes over which the calling thread spreads new pages."""
    number, mode, mask = _GET_MEMPOLICY.get(platform.machine()), ctypes.c_int(), _Mask()
    if number is None:
        return ()
    done = _libc.syscall(
        number, ctypes.byref(mode), mask, ctypes.c_ulong(_MASK_BITS), None, ctypes.c_ulong(0)
    )
    if done != 0 or mode.value != _INTERLEAVE:
        return ()
    return tuple(n for n in range(_MASK_BITS) if mask[n // _BITS] >> (n % _BITS) & 1)


def _allowed() -> set[int]:
    """By the cpuset of this process."""
    with Path("/proc/self/status").open(encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("Mems_allowed_list:"):
                return _parse(line.split(":", 1)[1])
    return set()


def _parse(text: str) -> set[int]:
    """`0-1,3`"""
    nodes: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        nodes.update(range(int(first), int(last or first) + 1))
    return nodes
