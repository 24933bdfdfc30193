"""Racing promoters: exactly one wins each round, the others learn what the stage is now."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from registry_core.domain.identifiers import Guard, ModelName, StageName, VersionRef
from registry_core.domain.move import Move
from registry_core.errors import Stale
from registry_core.ledger import queries
from registry_core.ledger.records import StageRecord
from registry_core.trust.dsse import Envelope
from tests.ledger.rig import CHANGE, MODEL, PRODUCTION, Books

RACERS, ROUNDS = 8, 12


def race_once(
    books: Books, start: threading.Barrier, signed: tuple[Move, Envelope, Guard]
) -> StageRecord | Stale:
    move, envelope, guard = signed
    start.wait(10)
    try:
        return books.control.move(move, envelope, guard, CHANGE)
    except Stale as stale:
        return stale


def test_one_wins_each_round(books: Books) -> None:
    versions = [books.add_version() for _ in range(RACERS + 1)]
    books.promote(versions[-1])
    with ThreadPoolExecutor(RACERS) as pool:
        for round_number in range(ROUNDS):
            current = books.stage()
            assert current is not None
            moves = [
                books.signed_move(version)
                for version in versions
                if version.number != current.in_force.number
            ]
            start = threading.Barrier(len(moves))

            outcomes = list(pool.map(partial(race_once, books, start), moves))
            won = [outcome for outcome in outcomes if not isinstance(outcome, Stale)]
            lost = [outcome for outcome in outcomes if isinstance(outcome, Stale)]
            assert len(won) == 1
            assert won[0] == books.stage()
            assert str(won[0].guard) == f"{round_number + 2}.0"
            assert {stale.actual for stale in lost} == {str(won[0].guard)}
            assert {stale.expected for stale in lost} == {str(current.guard)}
    assert books.check().problems == []


def test_racing_rollbacks_toggle_once(books: Books) -> None:
    books.promote(books.add_version())
    before = books.promote(books.add_version())
    start = threading.Barrier(RACERS)

    def race(_: int) -> bool:
        start.wait(10)
        try:
            books.control.choose(MODEL, PRODUCTION, before.guard, CHANGE)
        except Stale:
            return False
        return True

    with ThreadPoolExecutor(RACERS) as pool:
        assert sum(pool.map(race, range(RACERS))) == 1
    after = books.stage()
    assert after is not None
    assert (str(after.guard), after.in_force) == ("2.1", before.previous)


def test_races_are_per_stage(books: Books) -> None:
    """Promoters of different stages and models never make each other fail."""
    stages = [StageName(f"stage-{number}") for number in range(4)]
    versions = [books.add_version(ModelName(name)) for name in ("m", "n") for _ in range(2)]
    start = threading.Barrier(len(stages) * 2)

    def promote(job: tuple[StageName, int]) -> None:
        stage, which = job
        start.wait(10)
        for turn in range(5):
            books.promote(versions[which * 2 + turn % 2], stage)

    with ThreadPoolExecutor(len(stages) * 2) as pool:
        list(pool.map(promote, [(stage, which) for stage in stages for which in (0, 1)]))
    for name in ("m", "n"):
        for record in books.control.stages(ModelName(name)):
            assert record.generation == 5
    assert books.check().problems == []


def test_readers_beside_a_writer_see_whole_states(books: Books) -> None:
    """A resolved stage and its version always belong together."""
    versions = [books.add_version() for _ in range(2)]
    books.promote(versions[0])
    done = threading.Event()

    def read() -> int:
        count, newest = 0, 0
        while not done.is_set() or count == 0:
            with books.store.read() as txn:
                found = queries.resolve(txn, VersionRef(MODEL, stage=PRODUCTION))
            assert found.stage is not None
            assert found.version.number == found.stage.in_force.number
            assert found.stage.generation >= newest, "a later view is never of an earlier state"
            newest, count = found.stage.generation, count + 1
        return count

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        try:
            for turn in range(30):
                books.promote(versions[(turn + 1) % 2])
        finally:
            done.set()
        assert all(reader.result(30) > 0 for reader in readers)
