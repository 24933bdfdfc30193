"""epoch.opened: the owners say that the log goes on from here, whatever others hold beyond it.

The entry is the very next one after what the statement keeps, so it can open one log only.
"""

from __future__ import annotations

from registry_core.domain.entry import Entry, LogRecord
from registry_core.domain.policy import Root
from registry_core.ledger import log, queries
from registry_core.ledger.entries.require import require
from registry_core.ledger.records import EpochRecord, encode
from registry_core.ledger.store import Table, Writer
from registry_core.trust.dsse import Envelope
from registry_core.trust.epoch import verify_epoch


def epoch_opened(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    epoch = verify_epoch(Envelope.from_json(entry.after["envelope"]), root)
    require(epoch.number == queries.epoch(txn) + 1, entry, "does not open the next epoch")
    require(epoch.kept_size == entry.sequence - 1, entry, "does not follow what it keeps")
    require(epoch.kept_root == log.log_root(txn), entry, "keeps another log than this one")
    made = EpochRecord(epoch.number, entry.sequence, entry.time_ms)
    txn.put(Table.EPOCHS, queries.epoch_key(epoch.number), encode(made))
    for key, _ in list(txn.scan(Table.PROPOSALS)):  # they may have been decided otherwise
        txn.delete(Table.PROPOSALS, key)
