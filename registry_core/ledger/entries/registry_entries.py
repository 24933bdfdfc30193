"""registry.created, policy.set and state: what is about the registry as a whole."""

from __future__ import annotations

from registry_core.domain.entry import Entry, LogRecord
from registry_core.domain.identifiers import Digest, RegionName
from registry_core.domain.policy import Root
from registry_core.ledger import queries
from registry_core.ledger.digest import tables_digest
from registry_core.ledger.entries.require import require
from registry_core.ledger.records import RegionRecord, encode, region_key
from registry_core.ledger.store import Table, Writer
from registry_core.trust.dsse import Envelope
from registry_core.trust.policy import verify_policy


def registry_created(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    require(record.sequence == 1, entry, "is not the first")
    require(entry.after["registry"] == root.registry, entry, "is of another registry")
    require(Digest.parse(entry.after["root"]) == root.digest, entry, "names another root")
    if "region" in entry.after:
        name = RegionName.parse(entry.after["region"])
        home = RegionRecord(name.text, entry.time_ms, entry.sequence, home=True)
        txn.put(Table.REGIONS, region_key(name), encode(home))


def policy_set(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    policy = verify_policy(Envelope.from_json(entry.after["envelope"]), root)
    current = txn.get(Table.POLICY, queries.POLICY_KEY)
    before = str(queries.parsed_policy(current).digest) if current else None
    require(entry.before == before, entry, "was made under another policy")
    txn.put(Table.POLICY, queries.POLICY_KEY, policy.encoded)
    for key, _ in list(txn.scan(Table.PROPOSALS)):  # they were made under another policy
        txn.delete(Table.PROPOSALS, key)


def state(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    require(
        entry.after == {"tables": str(tables_digest(txn))},
        entry,
        "tells of other tables than these",
    )
