"""One thread that feeds all followers of this node.

A thread for each would do little but wait, and fight for the interpreter when it wakes: one chunk
that came from the origin goes to all of them. Under an upload limit the loop waits for its share.
"""

from __future__ import annotations

import math
import select
import threading
import time
from collections.abc import Callable

import structlog

from cachd.peer.feed import Feed
from cachd.peer.offers import Offers
from cachd.peer.poll_thread import PollThread
from cachd.peer.protocol import Malformed

_log = structlog.get_logger("cachd.peer")

Ended = Callable[[], None]


class _Fed:
    def __init__(self, feed: Feed, ended: Ended) -> None:
        self.feed = feed
        self.ended = ended
        self.look_at_s = 0.0
        self.waiting = False
        """For the connection to take more."""


class FeedLoop:
    """`add` and `stop` may be called by any thread, all else belongs to the loop's own."""

    def __init__(self, offers: Offers, prepare: Callable[[], None]) -> None:
        self._offers = offers
        self._thread = PollThread("cachd-peer-feed", prepare, self._round, self._end)
        self._poller = self._thread.poller
        self._lock = threading.Lock()  # guards the two below
        self._arriving: list[_Fed] = []
        self._stopping = False
        self._feeds: dict[int, _Fed] = {}
        offers.watch(self._poller.wake)
        self._thread.start()

    def add(self, feed: Feed, ended: Ended) -> None:
        """`ended` is called once the feed has, from the loop's thread."""
        with self._lock:
            stopping = self._stopping
            if not stopping:
                self._arriving.append(_Fed(feed, ended))
                self._poller.wake()
        if stopping:
            feed.close()
            ended()

    def stop(self) -> None:
        """End all feeds, and return when they have. Once."""
        self._offers.unwatch(self._poller.wake)
        with self._lock:
            self._stopping = True
        self._thread.stop()

    def _end(self) -> None:
        for fed in (*self._feeds.values(), *self._arriving):
            fed.feed.close()
            fed.ended()

    def _round(self) -> None:
        next_look_s = min((fed.look_at_s for fed in self._feeds.values()), default=math.inf)
        now_s = time.monotonic()
        pause_s = max(0.0, next_look_s - now_s) if next_look_s < math.inf else None
        ready, look_at_all = self._poller.poll(pause_s)
        for descriptor, events in ready:
            if (fed := self._feeds.get(descriptor)) is not None:
                self._with(fed, self._advance, events)
        with self._lock:
            arrived, self._arriving = self._arriving, []
        for fed in arrived:
            self._feeds[fed.feed.descriptor] = fed
            self._poller.listen(fed.feed.descriptor)
        now_s = time.monotonic()
        for fed in list(self._feeds.values()):
            if look_at_all or fed.look_at_s <= now_s:
                self._with(fed, self._look)

    def _with(self, fed: _Fed, act: Callable[..., None], *said: int) -> None:
        try:
            act(fed, *said)
        except Exception as error:  # of whatever kind: it ends one connection, not the others'
            if not isinstance(error, OSError | Malformed):
                _log.exception("feeding a follower failed")
            del self._feeds[fed.feed.descriptor]
            self._poller.leave(fed.feed.descriptor)
            fed.feed.close()
            fed.ended()

    def _advance(self, fed: _Fed, events: int) -> None:
        if events & ~select.EPOLLOUT:
            fed.feed.hear()
        if events & select.EPOLLOUT:
            fed.feed.send()
            if not fed.feed.under_way:
                self._look(fed)

    def _look(self, fed: _Fed) -> None:
        if not fed.waiting:
            fed.feed.send()  # more may have come of a chunk that is passed on
        fed.look_at_s = fed.feed.look(time.monotonic())
        if fed.waiting != fed.feed.under_way:
            fed.waiting = not fed.waiting
            self._poller.want_to_send(fed.feed.descriptor, fed.waiting)
