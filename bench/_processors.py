"""What all processors of this machine together have done since it started (proc(5), /proc/stat)."""

from __future__ import annotations

import os
from pathlib import Path


def busy_s() -> float:
    """Seconds in which they worked for this machine."""
    user, nice, system, _, _, irq, softirq, _ = _seconds()
    return user + nice + system + irq + softirq


def stolen_s() -> float:
    """Seconds that the hypervisor took from them."""
    return _seconds()[-1]


def _seconds() -> list[float]:
    """user, nice, system, idle, iowait, irq, softirq, steal"""
    ticks = Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=9)[1:9]
    return [int(count) / os.sysconf("SC_CLK_TCK") for count in ticks]
