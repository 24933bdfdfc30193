"""Processor time that a hypervisor took from this machine: what no program on it can help."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Stolen:
    """Over all the blocks that were `during`; `share` is of all processors' time in them."""

    def __init__(self) -> None:
        self._stolen_s = self._seconds = 0.0

    @contextmanager
    def during(self) -> Iterator[None]:
        stolen_s, began_s = _stolen_s(), time.monotonic()
        yield
        self._stolen_s += _stolen_s() - stolen_s
        self._seconds += time.monotonic() - began_s

    @property
    def share(self) -> float:
        return self._stolen_s / (self._seconds * (os.cpu_count() or 1))


def _stolen_s() -> float:
    """Of all processors together, since the machine started (proc(5), /proc/stat)."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")
