"""Group commit: changes that arrive together share a transaction and fail or succeed alone."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from registry_core.domain.identifiers import ModelName
from registry_core.errors import Conflict, InvalidInput, LedgerUnavailable
from registry_core.ledger.commit_queue import CommitQueue, Ticket
from tests.ledger.rig import Books


class Slow:
    """A commit that waits until it is let go, and remembers what it committed together."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.begun = threading.Event()
        self.go = threading.Event()
        self.failure: Exception | None = None

    def commit(self, batch: Sequence[Ticket[str, object]]) -> None:
        self.batches.append(len(batch))
        self.begun.set()
        assert self.go.wait(10)
        for ticket in batch:
            ticket.attempt("draft")
        if self.failure is not None:
            raise self.failure


def test_what_queues_up_during_a_commit_shares_the_next() -> None:
    slow = Slow()
    queue: CommitQueue[str] = CommitQueue(slow.commit, batch_max=4)
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(queue.run, lambda _: "first")
        assert slow.begun.wait(10)
        others = [threads.submit(queue.run, lambda _, n=n: n) for n in range(6)]
        while len(queue._waiting) < 6:
            threading.Event().wait(0.001)
        slow.go.set()
        assert first.result(10) == "first"
        assert sorted(other.result(10) for other in others) == list(range(6))
    assert slow.batches == [1, 4, 2], "bounded, and in order of arrival"


def test_a_failed_commit_fails_for_all_in_it() -> None:
    slow = Slow()
    slow.go.set()
    slow.failure = LedgerUnavailable("the disk is full")
    queue: CommitQueue[str] = CommitQueue(slow.commit, batch_max=4)
    with pytest.raises(LedgerUnavailable, match="the disk is full"):
        queue.run(lambda _: "made")
    slow.failure = None
    assert queue.run(lambda _: "made") == "made"


def test_one_that_fails_leaves_nothing_and_the_others_stay(books: Books) -> None:
    """Every other writer appends half of a change and raises; the log has the others' alone."""
    versions = [books.add_version(ModelName(f"m{n}")) for n in range(12)]
    size = len(books.records())
    barrier = threading.Barrier(12)

    def change(n: int) -> str:
        barrier.wait(10)
        move, envelope, guard = books.signed_move(versions[n])
        if n % 2:
            books.promote_and_fail(move, envelope, guard)
        else:
            books.promote(versions[n])
        return "made"

    with ThreadPoolExecutor(12) as threads:
        ended = [threads.submit(change, n) for n in range(12)]
    failed = [one.exception() for one in ended]
    assert [type(error) for error in failed] == [type(None), InvalidInput] * 6
    assert len(books.records()) == size + 6
    for n, version in enumerate(versions):
        stage = books.stage(ModelName(version.model))
        assert (stage is None) == bool(n % 2)
    assert books.check().clean


def test_a_work_that_raises_does_not_stop_the_queue(books: Books) -> None:
    version = books.add_version()
    books.promote(version)
    with pytest.raises(Conflict):
        books.promote(version)
    books.promote(books.add_version())
    assert books.check().clean


def test_who_was_refused_by_what_was_not_committed_fails_with_it() -> None:
    """A refusal names the state that it was judged on, which after a failed commit never was."""
    slow = Slow()
    slow.failure = LedgerUnavailable("the disk is full")

    def refuse(_: str) -> None:
        raise Conflict("judged on what the one before made")

    queue: CommitQueue[str] = CommitQueue(slow.commit, batch_max=4)
    with ThreadPoolExecutor(2) as threads:
        made = threads.submit(queue.run, lambda _: "made")
        assert slow.begun.wait(10)
        refused = threads.submit(queue.run, refuse)
        slow.go.set()
        for one in (made, refused):
            assert isinstance(one.exception(10), LedgerUnavailable)
