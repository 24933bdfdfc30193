"""The backup of the log, and what comes back of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_core.backup import writer as writer_module
from registry_core.backup.gather import Until
from registry_core.backup.layout import Segment
from registry_core.backup.line import cover, find_lines, find_registry, newest_line
from registry_core.backup.segment import decode_segment, encode_segment
from registry_core.backup.sources import StoreSource
from registry_core.domain import limits
from registry_core.domain.entry import LogRecord
from registry_core.errors import Conflict, EpochNeeded, IntegrityError, InvalidInput, NotFound
from registry_core.ledger import log, queries
from registry_core.ledger.lmdb_store import LmdbStore
from registry_core.ledger.replica import ForkDetected, Replica
from registry_core.trust.keys import Keyring, SigningKey
from tests.backup.rig import Rig, live, same, size
from tests.ledger.rig import ROOT, Books


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    store = LmdbStore(tmp_path / "ledger", holder="a test")
    yield Rig(Books(store, tmp_path / "origin"), tmp_path)
    store.close()


def test_what_was_backed_up_comes_back(rig: Rig, seed: int) -> None:
    live(rig.books, random.Random(seed), 30)
    assert rig.writer.behind()[0] > 30
    assert rig.writer.run_once() == size(rig.books.ledger)
    assert rig.writer.behind() == (0, 0)
    restored, ledger = rig.restore("again")
    assert (restored.entries, restored.lost, restored.problems) == (rig.writer.position, "", ())
    assert same(rig.books.store, ledger.store)
    ledger.close()


def test_small_segments_are_joined_and_nothing_is_ever_missing(rig: Rig, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(3 * limits.SEGMENTS_SMALL_MAX):
        live(rig.books, rng, 1)
        rig.writer.run_once()
        line = newest_line(rig.origin, ROOT.registry)
        assert line.cover()[-1].last == size(rig.books.ledger)
        assert len(line.segments) <= limits.SEGMENTS_SMALL_MAX + 1
    assert rig.new_writer().run_once() == rig.writer.position, "another start goes on"
    _, ledger = rig.restore("again")
    assert same(rig.books.store, ledger.store)
    ledger.close()


def test_full_segments_stay_as_they_are(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEGMENT_BYTES", 4_000)
    rng = random.Random(1)
    live(rig.books, rng, 20)
    rig.writer.run_once()
    full = rig.segments()[:-1]
    assert len(full) > 3
    for _ in range(limits.SEGMENTS_SMALL_MAX):
        live(rig.books, rng, 1)
        rig.writer.run_once()
    assert rig.segments()[: len(full)] == full
    restored, ledger = rig.restore("again")
    assert restored.entries == size(rig.books.ledger)
    ledger.close()


def test_a_writer_that_is_cut_off_anywhere_leaves_a_whole_backup(rig: Rig, seed: int) -> None:
    """The origin refuses at some request; the next writer goes on."""
    rng = random.Random(seed)
    for round_number in range(12):
        live(rig.books, rng, rng.randint(1, 8))
        if rng.random() < 0.5:
            rig.writer = rig.new_writer()
        rig.writer.run_once()
        # what a crash between a join's upload and its deletions leaves: a segment covered twice
        line = newest_line(rig.origin, ROOT.registry)
        whole = Segment(1, line.cover()[-1].last)
        rig.writer._upload(1)
        assert whole.last == size(rig.books.ledger)
        rig.writer = rig.new_writer()
        assert rig.writer.run_once() == whole.last, round_number
        assert len(newest_line(rig.origin, ROOT.registry).segments) == 1, "covered ones are gone"
    _, ledger = rig.restore("again")
    assert same(rig.books.store, ledger.store)
    ledger.close()


def damaged(data: bytes, how: str, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return {
        "flipped": data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :],
        "truncated": data[:at],
        "empty": b"",
        "twice": data + data,
    }[how]


@pytest.mark.parametrize("how", ["flipped", "truncated", "empty", "missing"])
def test_a_damaged_segment_is_found_and_a_node_fills_the_gap(
    rig: Rig, how: str, seed: int, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    replica = Replica(LmdbStore(tmp_path / "node" / "ledger", holder="a node"), ROOT)
    for _ in range(5):
        live(rig.books, rng, 4)
        rig.writer.run_once()
    follow(rig.books, replica)
    live(rig.books, rng, 4)
    rig.writer.run_once()
    victim = rig.path(rig.segments()[2])
    if how == "missing":
        victim.unlink()
    else:
        victim.write_bytes(damaged(victim.read_bytes(), how, rng))
    with pytest.raises(NotFound, match="could not be restored: name more sources"):
        rig.restore("refused")
    assert not (tmp_path / "refused").exists()
    assert [path for path in tmp_path.iterdir() if ".init-" in path.name] == []
    replica.close()
    node = StoreSource.open(tmp_path / "node")
    restored, ledger = rig.restore("again", [node])
    assert (restored.entries, restored.lost) == (size(rig.books.ledger), "")
    assert how == "missing" or restored.problems, "told, and gone round"
    assert same(rig.books.store, ledger.store)
    ledger.close()
    partial, ledger = rig.restore("partial", partial=True)
    assert 0 < partial.entries < restored.entries
    assert "could not be restored" in partial.lost
    ledger.close()


def follow(books: Books, replica: Replica) -> None:
    """What a node's follower does."""
    with books.ledger.read() as txn:
        note = log.stored_checkpoint(txn)
        records = list(queries.log_records(txn, replica.size()))
    assert note is not None
    replica.apply(records, note)


def test_every_backup_is_gone_and_nodes_have_it_all(rig: Rig, seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    nodes = [
        Replica(LmdbStore(tmp_path / f"n{number}" / "ledger", holder="a node"), ROOT)
        for number in range(3)
    ]
    for node in nodes:  # each fell behind at another point
        live(rig.books, rng, 5)
        follow(rig.books, node)
    for node in nodes:
        node.close()
    sources = [StoreSource.open(tmp_path / f"n{number}") for number in (1, 0, 2)]
    restored, ledger = rig.restore("again", sources, line=False)
    assert restored.entries == size(rig.books.ledger)
    assert same(rig.books.store, ledger.store)
    ledger.close()


def test_point_in_time_and_what_has_to_follow(rig: Rig) -> None:
    versions = [rig.books.add_version() for _ in range(3)]
    rig.books.promote(versions[0])
    keep = size(rig.books.ledger)
    rig.books.promote(versions[1])
    rig.writer.run_once()
    restored, ledger = rig.restore("again", until=Until(sequence=keep))
    assert (restored.entries, restored.known) == (keep, keep + 1)
    assert "up to entry" in restored.lost
    with ledger.read() as txn:
        assert [stage.version.number for stage in queries.stages(txn)] == [1]
        time_ms = queries.log_record(txn, keep).entry().time_ms
    books = Books(ledger.store, rig.folder / "again" / "origin")
    with pytest.raises(EpochNeeded, match="epoch --open"):
        books.promote(versions[2])
    books.add_version()  # no move: it may go on
    ledger.close()
    by_time, ledger = rig.restore("by-time", until=Until(time_ms=time_ms))
    assert by_time.entries == keep
    ledger.close()


def test_sources_that_contradict_each_other_are_refused(rig: Rig, tmp_path: Path) -> None:
    rig.books.add_version()
    rig.writer.run_once()
    _, twin = rig.restore("twin")
    Books(twin.store, tmp_path / "other-origin").add_version()
    rig.books.add_version()
    rig.writer.run_once()
    twin.close()
    with pytest.raises(ForkDetected, match="two histories"):
        rig.restore("again", [StoreSource.open(tmp_path / "twin")])
    assert not (tmp_path / "again").exists()


def test_a_restored_ledger_backs_up_into_a_line_of_its_own(rig: Rig) -> None:
    rig.books.add_version()
    rig.writer.run_once()
    _, ledger = rig.restore("again")
    books = Books(ledger.store, rig.folder / "again" / "origin")
    books.add_version()
    rig.books.add_version()  # the old one was not dead after all
    before = rig.writer.run_once()
    other = writer_module.BackupWriter(ledger, ROOT, rig.origin)
    assert other.run_once() == size(ledger)
    lines = find_lines(rig.origin, ROOT.registry)
    assert len(lines) == 2
    assert rig.new_writer().run_once() == before, "neither has disturbed the other"
    ledger.close()


def test_a_copy_that_went_another_way_does_not_write_over_the_backup(
    rig: Rig, tmp_path: Path
) -> None:
    """Somebody copied the ledger's directory, and both copies went on."""
    rig.books.add_version()
    rig.writer.run_once()
    target = tmp_path / "copy"
    target.mkdir()
    (target / "data.mdb").write_bytes((tmp_path / "ledger" / "data.mdb").read_bytes())
    rig.books.add_version()
    rig.writer.run_once()
    store = LmdbStore(target, holder="a copy")
    copy = Books(store, tmp_path / "origin")
    for _ in range(3):
        copy.add_version()
    writer_module.BackupWriter(copy.ledger, ROOT, rig.origin).run_once()
    assert len(find_lines(rig.origin, ROOT.registry)) == 2
    assert rig.new_writer().run_once() == size(rig.books.ledger)
    store.close()


def test_the_authoritys_key_is_needed_and_must_be_the_one(rig: Rig, tmp_path: Path) -> None:
    rig.books.add_version()
    rig.writer.run_once()
    (tmp_path / "none").mkdir(mode=0o700)
    rig.keys = Keyring(tmp_path / "none")
    with pytest.raises(NotFound, match="cannot be restored without its authority's key"):
        rig.restore("again")
    rig.keys.create("authority", SigningKey.generate_ed25519())
    with pytest.raises(InvalidInput, match="is not the one of registry"):
        rig.restore("again")
    assert not (tmp_path / "again").exists()


def test_a_target_that_is_not_empty_is_left_alone(rig: Rig, tmp_path: Path) -> None:
    rig.books.add_version()
    rig.writer.run_once()
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "mine").write_text("mine")
    with pytest.raises(Conflict, match="not an empty directory"):
        rig.restore("again")
    assert (tmp_path / "again" / "mine").read_text() == "mine"


def test_which_registry_and_which_line(rig: Rig, tmp_path: Path) -> None:
    empty = tmp_path / "nothing"
    with pytest.raises(NotFound, match="holds no backup"):
        find_registry(type(rig.origin).open(empty.as_uri()))
    rig.books.add_version()
    rig.writer.run_once()
    assert find_registry(rig.origin) == ROOT.registry
    rig.origin.put("backup/" + "cd" * 16 + "/root.json", b"{}")
    with pytest.raises(InvalidInput, match="backups of 2 registries"):
        find_registry(rig.origin)
    with pytest.raises(NotFound, match="no backup line"):
        newest_line(rig.origin, ROOT.registry, "0" * 16)


@pytest.mark.parametrize(
    ("there", "covered"),
    [
        ([], []),
        ([(2, 5)], []),
        ([(1, 3), (5, 9)], [(1, 3)]),
        ([(1, 3), (4, 4), (1, 4)], [(1, 4)]),
        ([(1, 3), (3, 7), (4, 5)], [(1, 3), (3, 7)]),
        ([(1, 1), (2, 2), (1, 2), (3, 9), (3, 4)], [(1, 2), (3, 9)]),
    ],
)
def test_cover(there: list[tuple[int, int]], covered: list[tuple[int, int]]) -> None:
    found = cover([Segment(*one) for one in there])
    assert [(one.first, one.last) for one in found] == covered


def test_golden_bytes() -> None:
    record = LogRecord(7, bytes(16), bytes(range(32)), b"{}")
    data = encode_segment([record], b"note")
    assert data.hex() == (
        "01" "0000003b" + record.encode().hex() + "02" "00000004" + b"note".hex()
    )  # fmt: skip
    assert decode_segment(data, Segment(7, 7)) == ([record], b"note")


def test_segments_that_are_none() -> None:
    for data in (b"", b"\x01", b"\x01\xff\xff\xff\xff", b"\x02\x00\x00\x00\x00"):
        with pytest.raises(IntegrityError):
            decode_segment(data, Segment(1, 1))
