"""What wakes the coordinator, and in which order it is told."""

from __future__ import annotations

import threading
import time

from cachd.fetch.events import ChunkPushed, PeerSilent
from cachd.fetch.mailbox import Mailbox
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerUnreachable

ADDRESS = PeerAddress.parse("a=127.0.0.1:1")
HELD_BACK_S = 3600.0


def chunk(number: int) -> ChunkPushed:
    return ChunkPushed(ADDRESS, number)


def gone() -> PeerSilent:
    return PeerSilent(ADDRESS, PeerUnreachable("gone"))


def test_news_wakes_at_once_where_it_does_not_wait() -> None:
    mailbox = Mailbox()
    assert mailbox.take(0) == []
    mailbox.put_news(chunk(1))
    assert mailbox.take(60) == [chunk(1)]
    threading.Timer(0.05, mailbox.put_news, [chunk(2)]).start()
    assert mailbox.take(60) == [chunk(2)]


def test_news_waits_for_what_wakes_next() -> None:
    mailbox = Mailbox()
    mailbox.news_s = HELD_BACK_S
    mailbox.take(0)
    mailbox.put_news(chunk(1))
    silent = gone()
    threading.Timer(0.05, mailbox.put, [silent]).start()
    assert mailbox.take(60) == [chunk(1), silent]
    mailbox.put_news(chunk(2))
    assert mailbox.take(0.01) == [chunk(2)], "or until its own time has come"


def test_what_a_peer_said_comes_before_its_end() -> None:
    mailbox = Mailbox()
    silent = gone()
    for number in range(3):
        mailbox.put_news(chunk(number))
    mailbox.put(silent)
    assert mailbox.take(0) == [chunk(0), chunk(1), chunk(2), silent]


def test_news_that_comes_later_than_that_wakes() -> None:
    mailbox = Mailbox()
    mailbox.news_s = 0.001
    mailbox.take(0)
    threading.Timer(0.05, mailbox.put_news, [chunk(1)]).start()
    began_s = time.monotonic()
    assert mailbox.take(60) == [chunk(1)]
    assert time.monotonic() - began_s < 30
