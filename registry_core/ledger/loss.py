"""Whether this log is known to have lost entries that somebody has seen.

After such a loss the log goes another way than the one that nodes hold. Reads go on, and so do
choices between two approved versions; a move waits until the owners have opened a new epoch, which
is what makes the nodes follow. A mark in META, not in the log.
"""

from __future__ import annotations

from registry_core.domain.entry import EntryType
from registry_core.errors import EpochNeeded
from registry_core.ledger.store import Reader, Table, Writer

_LOST = b"lost"
_WAIT = frozenset(
    {
        EntryType.POLICY_SET,
        EntryType.STAGE_MOVED,
        EntryType.MOVE_PROPOSED,
        EntryType.MOVE_APPROVED,
    }
)


def mark_lost(txn: Writer, said: str) -> None:
    """`said` tells people what is known of the loss."""
    txn.put(Table.META, _LOST, said.encode())


def lost(txn: Reader) -> str:
    """What is known of a loss; empty if there was none since the last epoch began."""
    return (txn.get(Table.META, _LOST) or b"").decode()


def clear_lost(txn: Writer) -> None:
    txn.delete(Table.META, _LOST)


def refuse_while_lost(txn: Reader, kind: EntryType) -> None:
    if kind in _WAIT and (said := lost(txn)):
        raise EpochNeeded(
            f"{said}; nodes may have seen what is missing, so no move and no policy before an "
            "owner has opened a new epoch: `cachctl epoch --open`"
        )
