"""Pushes that began and ended, packs that were condemned, deleted or pardoned."""

from __future__ import annotations

import os
from collections.abc import Collection

from registry_core.changes.models import model_or_new
from registry_core.domain.entry import REGISTRY_TAG, EntryType
from registry_core.domain.identifiers import ModelName
from registry_core.domain.packs import PackName
from registry_core.ledger import queries, subjects
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.ledger.records import CondemnedRecord, IntentRecord, decode
from registry_core.ledger.store import Reader, Table

INTENT_BYTES = 16


def begin_push(commit: Draft, model: ModelName, change: Change) -> bytes:
    """Announce a push before its first upload; the intent, 16 random bytes, to end it with."""
    owner = model_or_new(commit, model, change)
    intent = os.urandom(INTENT_BYTES)
    commit.append(
        EntryType.PUSH_BEGUN,
        subjects.of_push(model, intent),
        tag=bytes.fromhex(owner.tag),
        before=None,
        after={},
        change=change,
    )
    return intent


def end_push(commit: Draft, model: ModelName, intent: bytes, change: Change) -> None:
    """The push was registered or given up. Ending it again has no effect."""
    if commit.txn.get(Table.INTENTS, intent) is None:
        return
    commit.append(
        EntryType.PUSH_ENDED,
        subjects.of_push(model, intent),
        tag=bytes.fromhex(queries.model(commit.txn, model).tag),
        before={},
        after=None,
        change=change,
    )


def condemn(commit: Draft, packs: Collection[PackName], change: Change) -> None:
    """From now on no version can be registered whose chunks lie in these packs."""
    after = {"packs": sorted(pack.hex for pack in packs)}
    _append(commit, EntryType.PACK_CONDEMNED, after, change)


def forget(commit: Draft, packs: Collection[PackName], change: Change, *, pardoned: bool) -> None:
    """The packs are deleted, or the second look found that they are needed."""
    after = {"packs": sorted(pack.hex for pack in packs), "pardoned": pardoned}
    _append(commit, EntryType.PACK_DELETED, after, change)


def intents(txn: Reader) -> list[IntentRecord]:
    return [decode(IntentRecord, data) for _, data in txn.scan(Table.INTENTS)]


def condemned(txn: Reader) -> dict[PackName, CondemnedRecord]:
    return {
        PackName(name): decode(CondemnedRecord, data) for name, data in txn.scan(Table.CONDEMNED)
    }


def _append(commit: Draft, kind: EntryType, after: object, change: Change) -> None:
    commit.append(
        kind, subjects.REGISTRY, tag=REGISTRY_TAG, before=None, after=after, change=change
    )
