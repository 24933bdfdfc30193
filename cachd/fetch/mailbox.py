"""What the threads of a fetch tell its coordinator, and when that wakes it.

What an attempt brought is told at once. News of peers comes from each of them, many times a second:
a coordinator that wakes for each does little else, while what it plans by it can wait.
"""

from __future__ import annotations

import queue
import time
from collections import deque

from cachd.fetch.events import Event


class Mailbox:
    """`put` and `put_news` may be called by any thread, all else by the coordinator. `news_s`: for
    so long after it took the last event, news waits for whatever wakes it next; seconds."""

    def __init__(self) -> None:
        self.news_s = 0.0
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._news: deque[Event] = deque()
        self._taken_s = 0.0

    def put(self, event: Event) -> None:
        self._events.put(event)

    def put_news(self, event: Event) -> None:
        """What a peer sent, unasked: a chunk, or what it holds."""
        self._news.append(event)
        if time.monotonic() - self._taken_s >= self.news_s:
            self._events.put(None)

    def take(self, timeout_s: float) -> list[Event]:
        """Wait for an event, at most so long; all there are, and of each peer in the order in which
        they came."""
        events: list[Event] = []
        try:
            told = self._events.get(timeout=timeout_s)
            while True:
                if told is not None:
                    events.append(told)
                told = self._events.get_nowait()
        except queue.Empty:
            pass
        self._taken_s = time.monotonic()
        news = [self._news.popleft() for _ in range(len(self._news))]
        return news + events  # that a peer has ended comes after all that it said
