"""Appending to the log and its tree, and reading what they say about themselves.

TREE holds the roots of all complete subtrees under (level, index), so that appending and every
proof read O(log n) records. META holds the size, the last signed checkpoint and the root document.
"""

from __future__ import annotations

from registry_core.domain import limits, merkle
from registry_core.domain.entry import Entry, LogRecord
from registry_core.domain.policy import Root
from registry_core.errors import IntegrityError
from registry_core.ledger.apply import apply_entry
from registry_core.ledger.store import Reader, Table, Writer

_SIZE, _CHECKPOINT, _ROOT, _NOTE = b"size", b"checkpoint", b"root", b"note/"


def log_size(txn: Reader) -> int:
    data = txn.get(Table.META, _SIZE)
    return int.from_bytes(data, "big") if data else 0


def log_root(txn: Reader) -> bytes:
    """Root hash of the whole log, 32 bytes."""
    return root_at(txn, log_size(txn))


def frontier(txn: Reader) -> list[bytes]:
    """Roots of the complete subtrees of the whole log, largest first."""
    return _frontier(txn, log_size(txn))


def root_at(txn: Reader, size: int) -> bytes:
    """Root hash of the log as it was when it had `size` entries, 32 bytes."""
    return merkle.frontier_root(_frontier(txn, size))


def append(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    """Apply and append the next record. Its sequence must continue the log."""
    size = log_size(txn)
    if record.sequence != size + 1 or entry.sequence != record.sequence:
        raise IntegrityError(
            "a log entry is out of order", expected=str(size + 1), actual=str(record.sequence)
        )
    apply_entry(txn, root, record, entry)
    txn.put(Table.LOG, record.sequence.to_bytes(8, "big"), record.encode())
    for level, index, digest in merkle.append(_frontier(txn, size), size, record.leaf_hash):
        txn.put(Table.TREE, _node_key(level, index), digest)
    txn.put(Table.META, _SIZE, record.sequence.to_bytes(8, "big"))


def stored_checkpoint(txn: Reader) -> bytes | None:
    """The last signed checkpoint, as its note."""
    return txn.get(Table.META, _CHECKPOINT)


def store_checkpoint(txn: Writer, note: bytes) -> None:
    txn.put(Table.META, _CHECKPOINT, note)


def keep_note(txn: Writer, size: int, note: bytes) -> None:
    """In a replica, which cannot sign: keep a checkpoint of every NOTES_EVERY entries or so, for
    readers that are far behind."""
    last = next((key for key, _ in txn.scan(Table.META, _NOTE, reverse=True)), _NOTE)
    if size - int.from_bytes(last[len(_NOTE) :], "big") >= limits.NOTES_EVERY:
        txn.put(Table.META, _NOTE + size.to_bytes(8, "big"), note)


def note_beyond(txn: Reader, after: int) -> tuple[int, bytes] | None:
    """The next kept checkpoint of more than `after` entries: its size, and the note."""
    for key, note in txn.scan(Table.META, _NOTE, after=_NOTE + after.to_bytes(8, "big")):
        return int.from_bytes(key[len(_NOTE) :], "big"), note
    return None


def stored_root(txn: Reader) -> Root | None:
    data = txn.get(Table.META, _ROOT)
    return Root.parse(data) if data else None


def store_root(txn: Writer, root: Root) -> None:
    txn.put(Table.META, _ROOT, root.encoded)


def _frontier(txn: Reader, size: int) -> list[bytes]:
    return [_node(txn, level, index) for level, index in merkle.frontier_positions(size)]


def _node(txn: Reader, level: int, index: int) -> bytes:
    digest = txn.get(Table.TREE, _node_key(level, index))
    if digest is None:
        raise IntegrityError(f"the log's tree lacks node {level}/{index}: restore from a backup")
    return digest


def _node_key(level: int, index: int) -> bytes:
    return bytes([level]) + index.to_bytes(8, "big")
