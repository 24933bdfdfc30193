"""Durable consumers of events: named cursors over the log. Soft state, not in the log itself.

At least once and in the log's order: a consumer reads what lies beyond its cursor, works, and moves
the cursor by `acknowledge`. One that dies in between reads the same again. Whoever acknowledges
names the cursor it read from, so that of two readers of one consumer neither can skip what the
other has not done. Any point of the log can be gone back to (`seek`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from registry_core.domain import limits
from registry_core.domain.cloud_event import EventFilter, event_of
from registry_core.domain.identifiers import parse_consumer_name
from registry_core.errors import Conflict, InvalidInput, NotFound, Stale
from registry_core.ledger import log, queries
from registry_core.ledger.records import decode
from registry_core.ledger.store import Reader, Store, Table, Writer


class ConsumerRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cursor` is the sequence of the last entry that was dealt with."""

    name: str
    types: list[str]
    model: str
    cursor: int
    created_ms: int

    @property
    def filter(self) -> EventFilter:
        return EventFilter(tuple(self.types), self.model)


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in order. `next` is where to go on: beyond all entries that were looked at."""

    events: list[dict[str, Any]]
    next: int


def read_events(txn: Reader, registry: str, wanted: EventFilter, after: int, limit: int) -> Batch:
    """The first events beyond `after`; at most EVENT_STEPS_MAX entries are looked at."""
    events: list[dict[str, Any]] = []
    position = after
    for steps, record in enumerate(queries.log_records(txn, after)):
        if len(events) == limit or steps >= limits.EVENT_STEPS_MAX:
            break
        entry = record.entry()
        position = entry.sequence
        if wanted.wants(entry):
            events.append(event_of(registry, entry))
    return Batch(events, position)


class Consumers:
    """Of one store. Threads: any."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, name: str, wanted: EventFilter, start: int | None) -> ConsumerRecord:
        """Begin beyond entry `start`; None begins with what is still to come. The same again has no
        effect; another filter under the name is a Conflict."""
        key = parse_consumer_name(name).encode()
        with self._store.write() as txn:
            known = _find(txn, key)
            if known is not None:
                if known.filter != wanted:
                    raise Conflict(f"there is a consumer {name} with another filter: delete it")
                return known
            if sum(1 for _ in txn.scan(Table.CONSUMERS)) >= limits.CONSUMERS_MAX:
                raise Conflict(f"there are {limits.CONSUMERS_MAX} consumers: delete some")
            cursor = log.log_size(txn) if start is None else _position(txn, start)
            made = ConsumerRecord(name, list(wanted.types), wanted.model, cursor, txn.time_ms())
            _put(txn, made)
        return made

    def get(self, name: str) -> ConsumerRecord:
        with self._store.read() as txn:
            return _known(txn, name)

    def all(self) -> list[ConsumerRecord]:
        with self._store.read() as txn:
            return [decode(ConsumerRecord, data) for _, data in txn.scan(Table.CONSUMERS)]

    def acknowledge(self, name: str, cursor: int, sequence: int) -> ConsumerRecord:
        """Move on from `cursor`, which it must be at, to `sequence`. Stale if it is elsewhere."""
        with self._store.write() as txn:
            known = _known(txn, name)
            if known.cursor != cursor:
                raise Stale(
                    f"consumer {name} is at {known.cursor} and not at {cursor}: another reader "
                    "was faster; read again",
                    expected=str(cursor),
                    actual=str(known.cursor),
                )
            if sequence < cursor:
                raise InvalidInput(f"sequence {sequence} lies before {cursor}: use seek to go back")
            made = msgspec.structs.replace(known, cursor=_position(txn, sequence))
            _put(txn, made)
        return made

    def seek(self, name: str, sequence: int) -> ConsumerRecord:
        """Go to any point of the log, whoever reads."""
        with self._store.write() as txn:
            made = msgspec.structs.replace(_known(txn, name), cursor=_position(txn, sequence))
            _put(txn, made)
        return made

    def delete(self, name: str) -> None:
        with self._store.write() as txn:
            _known(txn, name)
            txn.delete(Table.CONSUMERS, name.encode())


def _known(txn: Reader, name: str) -> ConsumerRecord:
    found = _find(txn, parse_consumer_name(name).encode())
    if found is None:
        raise NotFound(f"there is no consumer {name}: create it first")
    return found


def _find(txn: Reader, key: bytes) -> ConsumerRecord | None:
    data = txn.get(Table.CONSUMERS, key)
    return None if data is None else decode(ConsumerRecord, data)


def _put(txn: Writer, record: ConsumerRecord) -> None:
    txn.put(Table.CONSUMERS, record.name.encode(), msgspec.json.encode(record))


def _position(txn: Reader, sequence: int) -> int:
    size = log.log_size(txn)
    if not 0 <= sequence <= size:
        raise InvalidInput(f"the log has {size} entries: there is no position {sequence}")
    return sequence
