"""How long it pays to wait for a push."""

from __future__ import annotations

from cachd.fetch.pushes import ExpectedPushes
from cachd.fetch.settings import FetchSettings
from registry_core.domain.identifiers import NodeId

A, B = NodeId("a"), NodeId("b")
SETTINGS = FetchSettings(late_factor=2.0, hedge_s=0.05)
PATIENCE_S = 5.0


def expected(pushes: ExpectedPushes, now_s: float) -> frozenset[int]:
    return pushes.expected(now_s, PATIENCE_S)


def test_a_claim_is_waited_for_until_it_is_late() -> None:
    pushes = ExpectedPushes(SETTINGS)
    pushes.promised(A, [1, 2], 10.0)
    assert expected(pushes, 14.9) == {1, 2}
    assert expected(pushes, 15.1) == set()


def test_lateness_is_learned() -> None:
    pushes = ExpectedPushes(SETTINGS)
    for number in range(20):
        pushes.promised(A, [number], 0.0)
        assert pushes.came(A, number, 0.1 if number % 10 else 0.3) is None
    pushes.promised(A, [99], 100.0)
    assert expected(pushes, 100.6) == {99}, "twice what nine in ten took, and hedge_s"
    assert expected(pushes, 100.7) == set()


def test_another_claim_does_not_begin_the_wait_anew() -> None:
    pushes = ExpectedPushes(SETTINGS)
    pushes.promised(A, [1], 0.0)
    pushes.promised(B, [1], 4.0)
    assert expected(pushes, 5.5) == set()


def test_a_promise_can_be_taken_back() -> None:
    pushes = ExpectedPushes(SETTINGS)
    pushes.promised(A, [1, 2], 0.0)
    pushes.promised(B, [3], 0.0)
    pushes.promised(A, [2], 0.1)
    assert expected(pushes, 0.2) == {2, 3}


def test_who_is_spared_a_push() -> None:
    pushes = ExpectedPushes(SETTINGS)
    pushes.promised(A, [1, 2], 0.0)
    assert pushes.came(B, 1, 1.0) == A
    assert pushes.came(None, 2, 1.0) == A
    assert pushes.came(None, 3, 1.0) is None


def test_nothing_is_expected_of_who_has_gone() -> None:
    pushes = ExpectedPushes(SETTINGS)
    pushes.promised(A, [1], 0.0)
    pushes.promised(B, [2], 0.0)
    pushes.gone(A)
    assert expected(pushes, 0.1) == {2}


def test_what_this_nodes_limit_holds_up_is_not_late() -> None:
    pushes = ExpectedPushes(SETTINGS)
    pushes.promised(A, [1], 0.0)
    pushes.held_up(8.0)
    assert expected(pushes, 12.9) == {1}
    assert expected(pushes, 13.1) == set()


def test_who_stands_still_is_not_waited_for() -> None:
    pushes = ExpectedPushes(SETTINGS)
    pushes.promised(A, [1], 10.0)
    assert pushes.expected(11.0, PATIENCE_S, [A]) == set()


def test_a_late_push_is_under_way_until_it_is_twice_as_late() -> None:
    pushes = ExpectedPushes(SETTINGS)
    pushes.promised(A, [1], 0.0)
    assert pushes.under_way(4.9, PATIENCE_S) == {}
    assert pushes.under_way(5.1, PATIENCE_S) == {1: A}
    assert pushes.under_way(5.1, PATIENCE_S, [A]) == {}
    assert pushes.under_way(10.1, PATIENCE_S) == {}


def test_what_appears_while_a_chunk_comes_may_be_about_to_be_promised() -> None:
    pushes = ExpectedPushes(SETTINGS)
    pushes.appeared([1], 10.0)
    pushes.appeared([2], 11.0)
    assert pushes.expected(11.5, PATIENCE_S, (), {A: 9.5}) == {1, 2}
    assert pushes.expected(11.5, PATIENCE_S, (), {A: 10.5}) == {2}, "A could have said 1 since"
    assert pushes.expected(11.5, PATIENCE_S, (), {A: 10.5, B: 9.0}) == {1, 2}
    assert pushes.expected(11.5, PATIENCE_S) == set(), "nobody has anything left to say"


def test_not_for_longer_than_for_a_promise_and_not_for_who_stands_still() -> None:
    pushes = ExpectedPushes(SETTINGS)
    pushes.appeared([1], 10.0)
    assert pushes.expected(14.9, PATIENCE_S, (), {A: 9.0}) == {1}
    assert pushes.expected(15.1, PATIENCE_S, (), {A: 9.0}) == set()
    assert pushes.expected(11.0, PATIENCE_S, [A], {A: 9.0}) == set()


def test_from_its_promise_on_the_promise_counts() -> None:
    pushes = ExpectedPushes(SETTINGS)
    pushes.appeared([1], 10.0)
    pushes.promised(A, [1], 11.0)
    pushes.appeared([1], 12.0)
    assert pushes.expected(13.0, PATIENCE_S) == {1}
    pushes.promised(A, [], 13.0)
    assert pushes.expected(13.0, PATIENCE_S, (), {A: 9.0}) == set(), "it was taken back"


def test_what_has_come_is_not_waited_for() -> None:
    pushes = ExpectedPushes(SETTINGS)
    pushes.appeared([1], 10.0)
    assert pushes.came(A, 1, 10.5) is None
    assert pushes.expected(11.0, PATIENCE_S, (), {A: 9.0}) == set()
    assert not pushes
