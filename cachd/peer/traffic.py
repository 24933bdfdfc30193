"""What all connections of one peer server count together: slots, the upload limit, bytes."""

from __future__ import annotations

import threading

from cachd import limits
from cachd.peer.bulk_path import BulkPath


class Traffic:
    """A chunk that leaves as an answer has a slot; every chunk that leaves, pushed or asked for,
    has a share of the limit. `stopping` ends all waiting. Thread-safe."""

    def __init__(self, bulk: BulkPath, stopping: threading.Event) -> None:
        self._slots = threading.BoundedSemaphore(bulk.upload_slots)
        self._limit = bulk.upload
        self._stopping = stopping
        self.congestion = bulk.congestion
        self._lock = threading.Lock()  # guards _bytes_sent
        self._bytes_sent = 0

    @property
    def bytes_sent(self) -> int:
        return self._bytes_sent

    def add(self, count: int) -> None:
        with self._lock:
            self._bytes_sent += count

    def try_slot(self) -> bool:
        """Whether a chunk may be given as an answer now; then `free_slot`."""
        if not self._slots.acquire(blocking=False):
            return False
        if not self._limit.try_begin():
            self._slots.release()
            return False
        return True

    def free_slot(self) -> None:
        self._limit.end()
        self._slots.release()

    def try_push(self) -> bool:
        """Whether a chunk may be pushed now; then `end_push`."""
        return self._limit.try_begin()

    def end_push(self) -> None:
        self._limit.end()

    def step_bytes(self) -> int:
        """How much to send at once."""
        return self._limit.step_bytes(limits.SERVER_SEND_STEP)

    def take(self, count: int) -> None:
        """Wait until the limit lets a step of `count` bytes leave."""
        self._limit.take(count, self._stopping)
