"""push.begun, push.ended, pack.condemned and pack.deleted: what keeps gc and pushes apart.

A pack that is not referred to is condemned first, deleted later; a version whose chunks lie in a
condemned pack cannot be registered. Packs that a running push made are protected by its intent. A
manifest is condemned while the documents that a deleted version left are removed: for so long no
push of the same files can begin.
"""

from __future__ import annotations

from collections.abc import Iterator

from registry_core.domain.entry import Entry, LogRecord
from registry_core.domain.identifiers import Digest, parse_hex32
from registry_core.domain.policy import Root
from registry_core.ledger import subjects
from registry_core.ledger.entries.require import require
from registry_core.ledger.records import CondemnedRecord, IntentRecord, decode, encode
from registry_core.ledger.store import Table, Writer


def push_begun(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    model, intent = subjects.push_of(entry.subject)
    require(txn.get(Table.INTENTS, intent) is None, entry, "begins a push twice")
    manifest = entry.after.get("manifest", "")
    if manifest:
        condemned = txn.get(Table.CONDEMNED, Digest.parse(manifest).raw)
        require(condemned is None, entry, "begins a push of files whose manifest is condemned")
    made = IntentRecord(model.text, entry.actor, entry.time_ms, entry.sequence, manifest)
    txn.put(Table.INTENTS, intent, encode(made))


def push_ended(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    model, intent = subjects.push_of(entry.subject)
    known = txn.get(Table.INTENTS, intent)
    begun = known is not None and decode(IntentRecord, known).model == model.text
    require(begun, entry, "ends a push that did not begin")
    txn.delete(Table.INTENTS, intent)


def pack_condemned(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    for name, manifest in _names(entry):
        require(txn.get(Table.CONDEMNED, name) is None, entry, "condemns a pack twice")
        made = CondemnedRecord(entry.time_ms, entry.sequence, manifest)
        txn.put(Table.CONDEMNED, name, encode(made))
    manifests = {str(Digest(name)) for name, manifest in _names(entry) if manifest}
    if manifests:
        pushed = {decode(IntentRecord, data).manifest for _, data in txn.scan(Table.INTENTS)}
        require(not pushed & manifests, entry, "condemns the manifest of a push under way")


def pack_deleted(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    """Deleted or, when the second look found that somebody needs it, pardoned."""
    require(isinstance(entry.after["pardoned"], bool), entry, "does not say how it ended")
    for name, manifest in _names(entry):
        known = txn.get(Table.CONDEMNED, name)
        was = known is not None and decode(CondemnedRecord, known).manifest is manifest
        require(was, entry, "names a pack not condemned")
        txn.delete(Table.CONDEMNED, name)


def _names(entry: Entry) -> Iterator[tuple[bytes, bool]]:
    """(name, whether it is a manifest's digest)"""
    for name in entry.after["packs"]:
        yield parse_hex32(name, "pack"), False
    for name in entry.after.get("manifests", ()):
        yield parse_hex32(name, "manifest"), True
