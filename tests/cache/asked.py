"""Who says that requests are answered, and counts how often that was asked."""

from __future__ import annotations

import threading


class Asked:
    """From any thread; always yes."""

    def __init__(self) -> None:
        self.times = 0
        self._lock = threading.Lock()

    def __call__(self) -> bool:
        with self._lock:
            self.times += 1
        return True
