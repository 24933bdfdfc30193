"""Begins a write on a PostgreSQL ledger and never ends it: to be killed, or to be found stuck."""

from __future__ import annotations

import sys
import time

from registry_core.ledger.postgres_store import PostgresStore
from registry_core.ledger.store import Table


def main(url: str) -> None:
    with PostgresStore(url).write() as txn:
        txn.put(Table.CONSUMERS, b"never", b"committed")
        print("holding", flush=True)
        time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
