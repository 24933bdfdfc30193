"""Opening an epoch, after the log lost entries that nodes may have seen."""

from __future__ import annotations

from registry_core.domain.entry import REGISTRY_TAG, EntryType
from registry_core.domain.epoch import Epoch
from registry_core.errors import Stale
from registry_core.ledger import log, loss, queries, subjects
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.ledger.store import Reader
from registry_core.trust.dsse import Envelope


def next_epoch(txn: Reader, registry: str) -> Epoch:
    """What the owners must sign to keep the log as it is now."""
    return Epoch(registry, queries.epoch(txn) + 1, log.log_size(txn), log.log_root(txn))


def open_epoch(commit: Draft, envelope: Envelope, change: Change) -> int:
    """Begin the epoch that `envelope` signs; its number. Moves are possible again."""
    if commit.recall(change) is None:
        asked, now = Epoch.parse(envelope.payload), next_epoch(commit.txn, commit.root.registry)
        if asked != now:
            raise Stale(
                "the log has grown since the owners signed the epoch: sign again",
                expected=str(asked.kept_size),
                actual=str(now.kept_size),
            )
        commit.append(
            EntryType.EPOCH_OPENED,
            subjects.REGISTRY,
            tag=REGISTRY_TAG,
            before={"epoch": asked.number - 1, "lost": loss.lost(commit.txn)},
            after={"epoch": asked.number, "envelope": envelope.to_json()},
            change=change,
        )
        loss.clear_lost(commit.txn)
    return queries.epoch(commit.txn)
