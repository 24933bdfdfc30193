"""The bucket keeps its rate at any moment, and gives turns. Time stands still unless moved."""

from __future__ import annotations

import random
import threading

import pytest

from cachd.peer.token_bucket import TokenBucket

BYTES_PER_S, BURST_S = 1000.0, 0.05


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bucket(clock: Clock) -> TokenBucket:
    return TokenBucket(BYTES_PER_S, BURST_S, clock)


def test_a_burst_is_free_and_the_rest_is_paid_for(bucket: TokenBucket) -> None:
    assert bucket.book(50) == pytest.approx(0.0)
    assert bucket.book(20) == pytest.approx(0.02)
    assert bucket.book(30) == pytest.approx(0.05), "behind what was booked before"


def test_a_pause_is_made_up_for_by_one_burst_alone(bucket: TokenBucket, clock: Clock) -> None:
    bucket.book(50)
    clock.now_s += 3600
    assert bucket.book(50) == pytest.approx(0.0)
    assert bucket.book(10) == pytest.approx(0.01)


def test_never_more_than_rate_and_burst(bucket: TokenBucket, clock: Clock, seed: int) -> None:
    """Whoever waits as long as he is told, and comes when he likes, moves no more than that."""
    rng, began_s, moved = random.Random(seed), clock.now_s, 0
    for _ in range(2000):
        count = rng.choice((1, 5, 20, 200))
        clock.now_s += bucket.book(count)
        moved += count
        assert moved <= BYTES_PER_S * (clock.now_s - began_s + BURST_S) + 1e-6
        clock.now_s += rng.choice((0.0, 0.0, 0.001, 0.3))


def test_steps_of_many_take_turns(bucket: TokenBucket, clock: Clock) -> None:
    """Each books its next step when its last one may move: all get the same, but for the burst."""
    due_s = dict.fromkeys("abcd", clock.now_s)
    moved = dict.fromkeys("abcd", 0)
    while clock.now_s < 110:
        name = min(due_s, key=due_s.__getitem__)
        clock.now_s = due_s[name]
        due_s[name] = clock.now_s + bucket.book(20)
        moved[name] += 20
    assert max(moved.values()) - min(moved.values()) <= 20 + BURST_S * BYTES_PER_S
    assert sum(moved.values()) == pytest.approx(BYTES_PER_S * 10, rel=0.02)


def test_threads_lose_no_booking(bucket: TokenBucket) -> None:
    """The clock stands still, so the last of all bookings waits for all bytes."""
    waits: list[float] = []

    def book() -> None:
        waits.extend(bucket.book(3) for _ in range(500))

    threads = [threading.Thread(target=book) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(waits) == pytest.approx(8 * 500 * 3 / BYTES_PER_S - BURST_S)
    assert len({round(wait_s, 6) for wait_s in waits if wait_s}) == sum(map(bool, waits))
