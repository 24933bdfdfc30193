"""Which request an entry answered: what Idempotency-Key is looked up by.

`request_id` of an entry is the caller's key, then `#` and the SHA-256 (hex) of what was asked,
where the caller gave a key; else a random id without `#`.
"""

from __future__ import annotations

from registry_core.domain.entry import Entry
from registry_core.domain.identifiers import parse_hex32
from registry_core.ledger.records import RequestRecord, decode, encode, request_key
from registry_core.ledger.store import Table, Writer

_STATE_BETWEEN = 1  # a `state` entry may lie between two entries of one request


def remember_request(txn: Writer, entry: Entry) -> None:
    key, hash_sign, body = entry.request_id.rpartition("#")
    if not hash_sign:
        return
    parse_hex32(body, "request hash")
    place = request_key(entry.actor, key)
    first = entry.sequence
    stored = txn.get(Table.REQUESTS, place)
    if stored is not None:
        known = decode(RequestRecord, stored)
        if known.body == body and known.last + 1 + _STATE_BETWEEN >= entry.sequence:
            first = known.first
    made = RequestRecord(body, first, entry.sequence, entry.time_ms)
    txn.put(Table.REQUESTS, place, encode(made))
