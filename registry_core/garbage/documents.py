"""Manifests, bundles and hints that deleted versions and dead pushes left in the origins.

They go in small batches: the manifests are condemned, which refuses those that a version or a push
has come to name, the objects are deleted, and the manifests are forgotten, all within moments.
A run that is killed in between leaves them condemned; the next one deletes them first.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from registry_core.changes import garbage
from registry_core.domain.identifiers import Digest
from registry_core.domain.packs import PackName
from registry_core.garbage.look import read_hints, refuse_cancelled
from registry_core.garbage.origins import Origins
from registry_core.garbage.turn import Turn
from registry_core.ledger import log
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.origin.layout import MANIFESTS, bundle_key, hint_key, manifest_key

_BATCH = 50
_KEY = re.compile(rf"{MANIFESTS}/[0-9a-f]{{2}}/([0-9a-f]{{64}})(\.bundle|\.packs)?")


@dataclass(frozen=True, slots=True)
class Orphan:
    """What lies in the origin under a manifest's digest that no version has any more, and the packs
    that its hint names."""

    digest: Digest
    packs: frozenset[PackName]


def find_orphans(
    origins: Origins, kept: Collection[Digest], old_ms: int, *, orphans_max: int
) -> tuple[list[Orphan], bool]:
    """Documents older than `old_ms` of no manifest in `kept`; and whether there are more."""
    newest: dict[Digest, int] = {}
    more = False
    for found in origins.list(MANIFESTS):
        matched = _KEY.fullmatch(found.key)
        digest = Digest.parse_hex(matched[1]) if matched else None
        if digest is None or digest in kept:
            continue
        if digest not in newest and len(newest) >= orphans_max:
            more = True
            continue
        newest[digest] = max(newest.get(digest, 0), found.modified_ms)
    old = [digest for digest, modified_ms in newest.items() if modified_ms < old_ms]
    named: dict[Digest, set[PackName]] = {digest: set() for digest in old}
    for origin in origins.all:
        for digest, packs in read_hints(origin, old):
            named[digest] |= packs or set()
    return [Orphan(digest, frozenset(packs)) for digest, packs in named.items()], more


def delete_documents(
    turn: Turn,
    origins: Origins,
    orphans: Sequence[Digest],
    seen: int,
    change: Change,
    cancel: threading.Event,
) -> int:
    """Delete the documents of `orphans`, which no live version had at log position `seen`; how many
    manifests they belonged to."""
    count = 0
    named: set[Digest] = set()
    for batch in _batches(orphans):
        refuse_cancelled(cancel)
        with (
            turn.ledger.read() as txn
        ):  # most of the log since then is looked at outside of commits
            named |= garbage.registered_since(txn, seen)
            seen = log.log_size(txn)
        free = turn.commit(partial(_condemn, set(batch) - named, seen, change))
        finish_documents(turn, origins, free, change)
        count += len(free)
    return count


def finish_documents(
    turn: Turn, origins: Origins, condemned: Sequence[Digest], change: Change
) -> None:
    """Delete what lies under condemned manifests, and let pushes of these files begin again."""
    for batch in _batches(condemned):
        turn.renew()
        for digest in batch:
            for key in (manifest_key(digest), bundle_key(digest), hint_key(digest)):
                origins.delete(key)
        turn.commit(partial(_forget, batch, change))


def _condemn(batch: set[Digest], seen: int, change: Change, commit: Draft) -> list[Digest]:
    return garbage.condemn_manifests(commit, sorted(batch), seen, change)


def _forget(batch: list[Digest], change: Change, commit: Draft) -> None:
    garbage.forget_manifests(commit, batch, change)


def _batches(digests: Sequence[Digest]) -> Iterator[list[Digest]]:
    for start in range(0, len(digests), _BATCH):
        yield list(digests[start : start + _BATCH])
