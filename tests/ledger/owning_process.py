"""Owns a job on a PostgreSQL ledger until it is killed: prints each token that it gets."""

from __future__ import annotations

import sys
import time

from registry_core.ledger.ownership import Ownership
from registry_core.ledger.postgres_store import PostgresStore


def main(url: str, holder: str) -> None:
    ownership = Ownership(PostgresStore(url), "delivery", holder)
    while True:
        print(ownership.acquire_or_renew(), flush=True)
        time.sleep(0.2)


if __name__ == "__main__":
    main(*sys.argv[1:])
