"""After a loss: what waits for the owners, and what replicas accept of another log."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from registry_core.backup.gather import Until
from registry_core.changes.epochs import next_epoch, open_epoch
from registry_core.domain import canonical
from registry_core.domain.epoch import Epoch
from registry_core.errors import EpochNeeded, IntegrityError, InvalidInput, Stale, Unauthorized
from registry_core.ledger import loss, queries
from registry_core.ledger.change import Change
from registry_core.ledger.check import check_ledger
from registry_core.ledger.lmdb_store import LmdbStore
from registry_core.ledger.replica import ForkDetected, Replica
from registry_core.trust.dsse import Envelope
from registry_core.trust.epoch import sign_epoch, verify_epoch
from registry_core.trust.keys import SigningKey
from tests.backup.rig import Rig
from tests.backup.test_backup import follow
from tests.ledger.rig import OWNER, PROMOTER, REGISTRY, ROOT, Books

CHANGE = Change("owner", "restored", "epoch-1", "ab" * 32)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    store = LmdbStore(tmp_path / "ledger", holder="a test")
    yield Rig(Books(store, tmp_path / "origin"), tmp_path)
    store.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Replica]:
    replica = Replica(LmdbStore(tmp_path / "node" / "ledger", holder="a node"), ROOT)
    yield replica
    replica.close()


@pytest.fixture
def restored(rig: Rig, node: Replica) -> Iterator[Books]:
    """The log was cut after generation 1; a node has seen generations 2 and 3."""
    first, second = rig.books.add_version(), rig.books.add_version()
    rig.books.promote(first)
    keep = len(rig.books.records())
    rig.books.promote(second)
    rig.books.promote(first)
    rig.writer.run_once()
    follow(rig.books, node)
    _, ledger = rig.restore("again", until=Until(sequence=keep))
    yield Books(ledger.store, rig.folder / "again" / "origin")
    ledger.close()


def epoch_of(books: Books, *owners: SigningKey) -> Envelope:
    with books.store.read() as txn:
        return sign_epoch(next_epoch(txn, REGISTRY), *(owners or (OWNER,)))


def opened(books: Books) -> int:
    envelope = epoch_of(books)
    return books.ledger.commit(lambda commit: open_epoch(commit, envelope, CHANGE))


def generation(replica: Replica) -> int:
    with replica.read() as txn:
        return max(stage.generation for stage in queries.stages(txn))


def test_a_replica_gives_up_more_only_for_an_epoch(restored: Books, node: Replica) -> None:
    with pytest.raises(ForkDetected, match="shorter log"):
        follow_from_start(restored, node)
    with pytest.raises(ForkDetected, match="opened no epoch"):
        node.rebuild(restored.records(), restored.note())
    restored.add_version()  # as long as the other, with other entries
    restored.add_version()
    with pytest.raises(ForkDetected):
        node.rebuild(restored.records(), restored.note())
    assert generation(node) == 3, "as before"
    assert opened(restored) == 1
    node.rebuild(restored.records(), restored.note())
    assert (generation(node), node.epoch()) == (1, 1)
    with node.read() as txn:
        assert check_ledger(txn).problems == []
    version = restored.add_version()
    restored.promote(version)
    follow(restored, node)
    assert generation(node) == 2
    with pytest.raises(ForkDetected, match="opened no epoch"):
        node.rebuild(restored.records(), restored.note())


def follow_from_start(books: Books, replica: Replica) -> None:
    replica.apply([], books.note())


def test_moves_wait_and_an_epoch_lets_them_go_on(restored: Books) -> None:
    version = restored.add_version()
    with pytest.raises(EpochNeeded, match="up to entry"):
        restored.promote(version)
    assert opened(restored) == 1
    assert restored.promote(version).generation == 2
    with restored.store.read() as txn:
        assert loss.lost(txn) == ""
        (entry,) = (
            one for one in (r.entry() for r in restored.records()) if one.type == "epoch.opened"
        )
        assert "up to entry" in entry.before["lost"]
    assert restored.check().problems == []


def test_the_same_request_opens_one_epoch(restored: Books) -> None:
    envelope = epoch_of(restored)
    for _ in range(2):
        assert restored.ledger.commit(lambda commit: open_epoch(commit, envelope, CHANGE)) == 1


def test_who_may_open_one_and_of_what(restored: Books) -> None:
    for envelope, error in (
        (epoch_of(restored, PROMOTER), Unauthorized),
        (sign_epoch(Epoch(REGISTRY, 2, 1, bytes(32)), OWNER), Stale),
        (sign_epoch(Epoch("cd" * 16, 1, 1, bytes(32)), OWNER), Stale),
    ):
        with pytest.raises(error):
            restored.ledger.commit(partial(open_epoch, envelope=envelope, change=CHANGE))
    late = epoch_of(restored)
    restored.add_version()
    with pytest.raises(Stale, match="has grown"):
        restored.ledger.commit(lambda commit: open_epoch(commit, late, CHANGE))
    with pytest.raises(Unauthorized, match="of registry"):
        verify_epoch(sign_epoch(Epoch("cd" * 16, 1, 1, bytes(32)), OWNER), ROOT)


def test_an_epoch_of_one_log_does_not_open_another(restored: Books, rig: Rig) -> None:
    """Replay refuses it, so neither a node nor `check` takes it."""
    restored.add_version()
    opened(restored)
    stolen = [r for r in restored.records() if r.entry().type == "epoch.opened"]
    with pytest.raises(IntegrityError, match="does not follow what it keeps|keeps another log"):
        Replica(LmdbStore(rig.folder / "other", holder="x"), ROOT).apply(
            [*rig.books.records()[: stolen[0].sequence - 1], *stolen], restored.note()
        )


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": 0}, {"epoch": "1"}, {"epoch": True}, {"kept": {"size": 0, "root": "0" * 64}},
        {"kept": {"size": 1, "root": "x"}}, {"kept": 1}, {"format": "cachd.epoch/2"},
        {"more": 1}, {"registry": 1},
    ],
)  # fmt: skip
def test_bad_statements_are_refused(change: dict[str, object]) -> None:
    good = Epoch(REGISTRY, 1, 7, bytes(32))
    assert Epoch.parse(good.encode()) == good
    document = canonical.decode(good.encode(), bytes_max=10_000, what="epoch") | change
    with pytest.raises(InvalidInput):
        Epoch.parse(canonical.encode(document))


def test_golden_bytes() -> None:
    assert Epoch(REGISTRY, 1, 41, bytes(range(32))).encode() == (
        b'{"epoch":1,"format":"cachd.epoch/1","kept":{"root":"000102030405060708090a0b0c0d0e0f'
        b'101112131415161718191a1b1c1d1e1f","size":41},"registry":"abababababababababababababababab"}'
    )
