"""push.begun, push.ended, pack.condemned and pack.deleted: what keeps gc and pushes apart.

A pack that is not referred to is condemned first, deleted later; a version whose chunks lie in a
condemned pack cannot be registered. Packs that a running push made are protected by its intent.
"""

from __future__ import annotations

from registry_core.domain.entry import Entry, LogRecord
from registry_core.domain.identifiers import parse_hex32
from registry_core.domain.policy import Root
from registry_core.ledger import subjects
from registry_core.ledger.entries.require import require
from registry_core.ledger.records import CondemnedRecord, IntentRecord, encode
from registry_core.ledger.store import Table, Writer


def push_begun(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    model, intent = subjects.push_of(entry.subject)
    require(txn.get(Table.INTENTS, intent) is None, entry, "begins a push twice")
    made = IntentRecord(model.text, entry.actor, entry.time_ms, entry.sequence)
    txn.put(Table.INTENTS, intent, encode(made))


def push_ended(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    _, intent = subjects.push_of(entry.subject)
    require(txn.get(Table.INTENTS, intent) is not None, entry, "ends a push that did not begin")
    txn.delete(Table.INTENTS, intent)


def pack_condemned(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    made = CondemnedRecord(entry.time_ms, entry.sequence)
    for name in _packs(entry):
        require(txn.get(Table.CONDEMNED, name) is None, entry, "condemns a pack twice")
        txn.put(Table.CONDEMNED, name, encode(made))


def pack_deleted(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    """Deleted or, when the second look found that somebody needs it, pardoned."""
    require(isinstance(entry.after["pardoned"], bool), entry, "does not say how it ended")
    for name in _packs(entry):
        require(txn.get(Table.CONDEMNED, name) is not None, entry, "names a pack not condemned")
        txn.delete(Table.CONDEMNED, name)


def _packs(entry: Entry) -> list[bytes]:
    return [parse_hex32(name, "pack") for name in entry.after["packs"]]
