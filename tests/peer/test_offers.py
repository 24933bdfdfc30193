"""Whom a node keeps step with, by a clock of the test's."""

from __future__ import annotations

from cachd import limits
from cachd.peer.offers import Offers
from cachd.peer.passing import PassingChunk
from cachd.peer.usual import UsualTime
from registry_core.domain.identifiers import Digest

VERSION = Digest(bytes(32))


class Followers:
    """`names` of them, with as many chunks to be pushed as wanted."""

    def __init__(self, names: str) -> None:
        self.now_s = 0.0
        self.offers = Offers(lambda: self.now_s)
        self.offers.begin(VERSION)
        self.names = names
        for name in names:
            assert self.offers.next_push(VERSION, name) is None

    def push(self, count: int, took_s: float, to: str) -> None:
        """So many chunks to each of these at once."""
        for _ in range(count):
            for name in to:
                self.offers.next_push(VERSION, name)
            self.now_s += took_s
            for name in to:
                self.offers.sent(VERSION, name)

    @property
    def backlog(self) -> int:
        return self.offers.backlog(VERSION)


def test_a_slow_link_is_no_standstill() -> None:
    followers = Followers("abcdefgh")
    for number in range(4):
        followers.offers.push(VERSION, number)
    for name in followers.names:
        followers.offers.next_push(VERSION, name)
    followers.now_s = 3 * limits.PUSH_STANDSTILL_S
    assert followers.backlog == 4, "though all take long"
    for name in followers.names:
        followers.offers.sent(VERSION, name)
    assert followers.backlog == 3
    for name in followers.names:
        followers.offers.next_push(VERSION, name)
    followers.now_s *= 2
    assert followers.backlog == 3


def test_who_stands_still_holds_up_nobody() -> None:
    followers = Followers("abc")
    for number in range(8):
        followers.offers.push(VERSION, number)
    for name in followers.names:
        followers.offers.next_push(VERSION, name)
    followers.push(8, took_s=limits.PUSH_STANDSTILL_S / 6, to="bc")
    assert followers.backlog == 0
    late = Followers("a")
    late.offers.push(VERSION, 0)
    late.push(1, took_s=0.1, to="a")
    late.offers.push(VERSION, 1)
    late.offers.next_push(VERSION, "a")
    assert late.backlog == 1
    late.now_s += limits.PUSH_STANDSTILL_S + 0.1
    assert late.backlog == 0


def test_the_slower_half_holds_up_nobody_once_it_is_well_behind() -> None:
    followers = Followers("abcdefg")
    for number in range(4):
        followers.offers.push(VERSION, number)
    followers.push(1, took_s=0.1, to="abcd")
    assert followers.backlog == 4, "three are one chunk behind, as any may be"
    followers.push(1, took_s=0.1, to="abcd")
    assert followers.backlog == 2, "they are slower than the others"
    followers.push(2, took_s=0.1, to="abcd")
    assert followers.backlog == 0
    followers.push(3, took_s=0.1, to="efg")
    assert followers.backlog == 1, "they have caught up"


def test_a_promise_that_is_kept_is_no_news() -> None:
    """Followers know the chunk by itself, and need not be told again what is promised."""
    offers, woken = Offers(), []
    offers.begin(VERSION)
    offers.claim(VERSION, b"\x02")
    offers.watch(lambda: woken.append(1))
    before = offers.changes(VERSION)
    offers.push(VERSION, 1)
    assert (offers.changes(VERSION), woken) == (before, [1])
    assert offers.promised(VERSION, "a") == (b"\x02", [1])
    offers.push(VERSION, 8)
    assert offers.changes(VERSION) > before, "nobody knew that it would come"


def test_what_was_not_needed_tells_nothing_of_how_long_a_push_takes() -> None:
    followers = Followers("a")
    for number in range(20):
        followers.offers.push(VERSION, number)
    followers.push(1, took_s=4.0, to="a")
    for _ in range(18):
        followers.offers.next_push(VERSION, "a")
        followers.offers.sent(VERSION, "a", needed=False)
    followers.offers.next_push(VERSION, "a")
    followers.now_s += limits.PUSH_STANDSTILL_S + 0.1
    assert followers.backlog == 1


def test_what_is_usual_follows_what_is_seen() -> None:
    usual = UsualTime()
    assert usual.most_s is None
    usual.took(2.0)
    assert usual.most_s == 6.0
    for _ in range(60):
        usual.took(1.0)
    assert 1.0 <= usual.most_s < 1.05


def test_who_comes_late_is_pushed_the_last_few() -> None:
    """What a node brought while it was alone, it would push to each of many for long."""
    followers = Followers("a")
    count = limits.REPLAYED_CHUNKS + 5
    for number in range(count):
        followers.offers.push(VERSION, number)
    assert followers.offers.promised(VERSION, "a")[1] == list(range(count))
    assert followers.offers.promised(VERSION, "late")[1] == list(range(5, count))
    assert followers.offers.next_push(VERSION, "late") == 5
    assert followers.backlog == count, "it is as far as it need be"


def test_pushes_wait_until_those_expected_follow_but_not_for_long() -> None:
    followers = Followers("abc")
    followers.offers.expect(VERSION, 4, until_s=5.0)
    followers.offers.push(VERSION, 7)
    assert [followers.offers.next_push(VERSION, name) for name in "abc"] == [None] * 3
    assert followers.offers.next_push(VERSION, "d") == 7
    assert followers.offers.next_push(VERSION, "a") == 7

    alone = Followers("abc")
    alone.offers.expect(VERSION, 4, until_s=5.0)
    alone.offers.push(VERSION, 7)
    alone.now_s = 4.9
    assert alone.offers.next_push(VERSION, "a") is None
    alone.now_s = 5.0
    assert alone.offers.next_push(VERSION, "a") == 7


def test_a_chunk_is_passed_on_until_it_is_stored_or_withdrawn() -> None:
    offers, passing = Followers("a").offers, PassingChunk(3, 100)
    offers.pass_on(VERSION, passing)
    offers.pass_on(VERSION, passing)
    assert offers.passing(VERSION, 3) is passing
    assert offers.promised(VERSION, "a") == (b"", [3]), "once"
    offers.push(VERSION, 3)
    assert offers.passing(VERSION, 3) is None
    assert offers.promised(VERSION, "a") == (b"", [3]), "as before"
    assert not passing.given_up
    for end in (lambda: offers.withdraw(VERSION, 4), lambda: offers.end(VERSION)):
        late = PassingChunk(4, 100)
        offers.pass_on(VERSION, late)
        end()
        assert late.given_up
        assert offers.passing(VERSION, 4) is None
