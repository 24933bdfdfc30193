"""Processor time that a hypervisor took from this machine: what no program on it can help."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench._processors import stolen_s


class Stolen:
    """Over all the blocks that were `during`; `share` is of all processors' time in them."""

    def __init__(self) -> None:
        self._stolen_s = self._seconds = 0.0

    @contextmanager
    def during(self) -> Iterator[None]:
        before_s, began_s = stolen_s(), time.monotonic()
        yield
        self._stolen_s += stolen_s() - before_s
        self._seconds += time.monotonic() - began_s

    @property
    def share(self) -> float:
        return self._stolen_s / (self._seconds * (os.cpu_count() or 1))
