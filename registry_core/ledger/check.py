"""`check`: replay the log into empty tables and compare everything.

What is compared: every leaf against the tree, the tree's root against the signed checkpoint, every
signature on the way (apply verifies policies and moves), and every derived table record by record.
Reads only; may run beside a writer, on the consistent view of one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import zip_longest

from registry_core.errors import RegistryError
from registry_core.ledger import log, queries
from registry_core.ledger.digest import scanned_digest, tables_digest
from registry_core.ledger.memory_store import MemoryStore
from registry_core.ledger.store import DERIVED, Reader, Table
from registry_core.trust.note import verify_checkpoint


@dataclass
class CheckReport:
    """`problems` is empty when the ledger is sound."""

    entries: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.problems


def check_ledger(
    txn: Reader, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> CheckReport:
    """Replay the log that `txn` shows. `on_progress` gets (entries done, entries in all)."""
    report = CheckReport()
    root = log.stored_root(txn)
    if root is None:
        report.problems.append("the ledger holds no root document: it was never initialised")
        return report
    copy = MemoryStore()
    size = log.log_size(txn)
    with copy.write() as fresh:
        try:
            for record in queries.log_records(txn, 0):
                log.append(fresh, root, record, record.entry())
                report.entries = record.sequence
                on_progress(record.sequence, size)
            if report.entries != size:
                report.problems.append(f"the log ends at {report.entries} and claims {size}")
            _compare_checkpoint(txn, fresh, report)
            for table in (Table.TREE, *DERIVED):
                _compare_table(table, txn, fresh, report)
            if tables_digest(txn) != scanned_digest(txn):
                report.problems.append("the kept digest of the tables is not that of the tables")
        except RegistryError as error:
            report.problems.append(f"after entry {report.entries}: {error}")
    return report


def _compare_checkpoint(txn: Reader, fresh: Reader, report: CheckReport) -> None:
    root = log.stored_root(txn)
    note = log.stored_checkpoint(txn)
    if root is None or note is None:
        report.problems.append("the ledger holds no signed checkpoint")
        return
    checkpoint = verify_checkpoint(note, root)
    if checkpoint.size != log.log_size(fresh) or checkpoint.root != log.log_root(fresh):
        report.problems.append("the signed checkpoint is not of this log")


def _compare_table(table: Table, txn: Reader, fresh: Reader, report: CheckReport) -> None:
    stored, replayed = txn.scan(table), fresh.scan(table)
    for count, (ours, theirs) in enumerate(zip_longest(stored, replayed)):
        if ours != theirs:
            report.problems.append(f"table {table} differs from the log's replay at record {count}")
            return
