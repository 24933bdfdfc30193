"""How one log entry changes the tables, and when it may not. The only writer of derived tables.

The authority, every replica and `check` run this same code, so a state that replay would not
accept cannot be committed: a move is judged here by the policy at its position in the log.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from registry_core.domain.entry import REGISTRY_TAG, Entry, EntryType, LogRecord
from registry_core.domain.policy import Root
from registry_core.errors import InvalidInput
from registry_core.ledger import queries, subjects
from registry_core.ledger.digest import Tracked
from registry_core.ledger.entries import (
    epoch_entries,
    garbage_entries,
    model_entries,
    pin_entries,
    prefetch_entries,
    proposal_entries,
    region_entries,
    registry_entries,
    stage_entries,
    version_entries,
)
from registry_core.ledger.entries.requests import remember_request
from registry_core.ledger.entries.require import require
from registry_core.ledger.records import history_key, registry_history_key
from registry_core.ledger.store import Table, Writer

_APPLY: dict[EntryType, Callable[[Writer, Root, LogRecord, Entry], None]] = {
    EntryType.REGISTRY_CREATED: registry_entries.registry_created,
    EntryType.POLICY_SET: registry_entries.policy_set,
    EntryType.MODEL_CREATED: model_entries.model_created,
    EntryType.MODEL_ANNOTATED: model_entries.model_annotated,
    EntryType.VERSION_REGISTERED: version_entries.version_registered,
    EntryType.VERSION_ANNOTATED: version_entries.version_annotated,
    EntryType.VERSION_DELETED: version_entries.version_deleted,
    EntryType.MOVE_PROPOSED: proposal_entries.move_proposed,
    EntryType.MOVE_APPROVED: proposal_entries.move_approved,
    EntryType.MOVE_REJECTED: proposal_entries.move_rejected,
    EntryType.STAGE_MOVED: stage_entries.stage_moved,
    EntryType.STAGE_CHOSEN: stage_entries.stage_chosen,
    EntryType.PUSH_BEGUN: garbage_entries.push_begun,
    EntryType.PUSH_ENDED: garbage_entries.push_ended,
    EntryType.PACK_CONDEMNED: garbage_entries.pack_condemned,
    EntryType.PACK_DELETED: garbage_entries.pack_deleted,
    EntryType.REGION_ADDED: region_entries.region_added,
    EntryType.REGION_REMOVED: region_entries.region_removed,
    EntryType.VERSION_REPLICATED: region_entries.version_replicated,
    EntryType.VERSION_WITHDRAWN: region_entries.version_withdrawn,
    EntryType.PREFETCH_ASKED: prefetch_entries.prefetch_asked,
    EntryType.VERSION_PINNED: pin_entries.version_pinned,
    EntryType.VERSION_UNPINNED: pin_entries.version_unpinned,
    EntryType.EPOCH_OPENED: epoch_entries.epoch_opened,
    EntryType.STATE: registry_entries.state,
}
assert _APPLY.keys() == set(EntryType), "every type of entry can be applied"


def apply_entry(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    """Change the tables as `entry` says, or raise and leave the transaction to be aborted."""
    tracked = Tracked(txn)
    _apply(tracked, root, record, entry)
    tracked.finish()


def _apply(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    model = subjects.model_of(entry.subject)
    if model is None:
        require(record.tag == REGISTRY_TAG, entry, "carries a model's tag")
    elif entry.type is not EntryType.MODEL_CREATED:
        tag = queries.model(txn, model).tag
        require(record.tag.hex() == tag, entry, "carries the tag of another model")
    try:
        _APPLY[entry.type](txn, root, record, entry)
        remember_request(txn, entry)
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise InvalidInput(f"log entry {entry.sequence} is not well formed: {error!r}") from error
    key = history_key(model, entry.sequence) if model else registry_history_key(entry.sequence)
    txn.put(Table.HISTORY, key, entry.type.value.encode())
