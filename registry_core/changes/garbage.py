"""Pushes that began and ended; packs and manifests that were condemned, deleted or pardoned.

What makes collecting safe beside pushes, whatever any of them is told late:
- a push announces itself before it looks for what it can use again, and is told what is condemned;
- a condemned pack is deleted only when every push that began before its condemnation has ended;
- a version is registered in one transaction with the look at what is condemned; under an announced
  push, or else with a look at what was deleted since its objects were seen in the origin: what its
  registration saw is there when it commits;
- a manifest is condemned only while no push of these very files is under way, and none may begin
  until its documents are gone. That takes moments, so a push waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from registry_core.changes.models import model_or_new
from registry_core.domain import limits
from registry_core.domain.entry import REGISTRY_TAG, EntryType
from registry_core.domain.identifiers import Digest, ModelName
from registry_core.domain.packs import PackName
from registry_core.errors import Condemned, Conflict
from registry_core.ledger import queries, subjects
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.ledger.records import CondemnedRecord, IntentRecord, decode
from registry_core.ledger.store import Reader, Table

INTENT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Push:
    """A push under way: its random id, and the packs that it must not use."""

    id: bytes
    condemned: frozenset[PackName]


def begin_push(commit: Draft, model: ModelName, manifest: Digest, change: Change) -> Push:
    """Announce a push of the files that `manifest` names, before its first upload."""
    earlier = commit.recall(change)
    if earlier is not None:
        begun = next(entry for entry in earlier if entry.type is EntryType.PUSH_BEGUN)
        return Push(subjects.push_of(begun.subject)[1], frozenset(condemned(commit.txn)))
    refuse_condemned_manifest(commit.txn, manifest)
    owner = model_or_new(commit, model, change)
    intent = os.urandom(INTENT_BYTES)
    commit.append(
        EntryType.PUSH_BEGUN,
        subjects.of_push(model, intent),
        tag=bytes.fromhex(owner.tag),
        before=None,
        after={"manifest": str(manifest)},
        change=change,
    )
    return Push(intent, frozenset(condemned(commit.txn)))


def end_push(commit: Draft, model: ModelName, push: bytes, change: Change) -> None:
    """The push was registered or given up. Ending it again has no effect."""
    known = find_push(commit.txn, push)
    if known is None or known.model != model.text:
        return
    commit.append(
        EntryType.PUSH_ENDED,
        subjects.of_push(model, push),
        tag=bytes.fromhex(queries.model(commit.txn, model).tag),
        before={},
        after=None,
        change=change,
    )


def require_push(txn: Reader, model: ModelName, manifest: Digest, push: bytes) -> None:
    """Raise unless the push is under way, of this model and these files."""
    known = find_push(txn, push)
    if known is None:
        raise Conflict(
            "this push was ended, or taken for dead because it took too long: push again"
        )
    if known.model != model.text or known.manifest not in ("", str(manifest)):
        raise Conflict(f"this push is of {known.model} and {known.manifest}: begin one for each")


def refuse_condemned(txn: Reader, packs: Collection[PackName]) -> None:
    for pack in packs:
        if txn.get(Table.CONDEMNED, pack.raw) is not None:
            raise Condemned(
                f"pack {pack.hex} is about to be deleted as garbage: push again, which uploads its "
                "chunks anew"
            )


def refuse_condemned_manifest(txn: Reader, manifest: Digest) -> None:
    if txn.get(Table.CONDEMNED, manifest.raw) is not None:
        raise Condemned(
            f"what a deleted version left of {manifest} is being removed just now: push again in a "
            "moment, or run `cachctl gc` if the last one was cut off"
        )


def refuse_deleted_since(
    txn: Reader, seen: int, packs: Collection[PackName], manifest: Digest
) -> None:
    """For who did not announce a push: none of it was deleted beyond log position `seen`."""
    used = {pack.hex for pack in packs}
    for record in queries.log_records(txn, seen):
        entry = record.entry()
        if entry.type is EntryType.PACK_DELETED and (
            not used.isdisjoint(entry.after["packs"])
            or manifest.hex in entry.after.get("manifests", ())
        ):
            raise Condemned("gc has just deleted objects of this version: push again")


def condemn(commit: Draft, packs: Collection[PackName], change: Change) -> None:
    """From now on no version can be registered whose chunks lie in these packs."""
    for names in _groups(sorted(pack.hex for pack in packs)):
        _append(commit, EntryType.PACK_CONDEMNED, {"packs": names}, change)


def condemn_manifests(
    commit: Draft, manifests: Collection[Digest], seen: int, change: Change
) -> list[Digest]:
    """Those of `manifests`, of which no version was live at log position `seen`, that no version
    and no push has come to name since. From now on none can, until they are forgotten."""
    named = registered_since(commit.txn, seen)
    pushed = {intent.manifest for intent in intents(commit.txn)}
    free = [one for one in manifests if one not in named and not pushed & {"", str(one)}]
    for names in _groups(sorted(one.hex for one in free)):
        _append(commit, EntryType.PACK_CONDEMNED, {"packs": [], "manifests": names}, change)
    return free


def forget(commit: Draft, names: Collection[PackName], change: Change, *, pardoned: bool) -> None:
    """The packs are deleted, or the second look found that they are needed."""
    for group in _groups(sorted(name.hex for name in names)):
        _append(commit, EntryType.PACK_DELETED, {"packs": group, "pardoned": pardoned}, change)


def forget_manifests(commit: Draft, manifests: Collection[Digest], change: Change) -> None:
    """Their documents are gone."""
    for group in _groups(sorted(one.hex for one in manifests)):
        after = {"packs": [], "manifests": group, "pardoned": False}
        _append(commit, EntryType.PACK_DELETED, after, change)


def find_push(txn: Reader, push: bytes) -> IntentRecord | None:
    data = txn.get(Table.INTENTS, push)
    return None if data is None else decode(IntentRecord, data)


def pushes(txn: Reader) -> dict[bytes, IntentRecord]:
    """All that are under way, by id."""
    return {key: decode(IntentRecord, data) for key, data in txn.scan(Table.INTENTS)}


def intents(txn: Reader) -> list[IntentRecord]:
    return list(pushes(txn).values())


def condemned(txn: Reader) -> dict[PackName, CondemnedRecord]:
    return {PackName(name): record for name, record in _condemned(txn) if not record.manifest}


def condemned_manifests(txn: Reader) -> list[Digest]:
    return [Digest(name) for name, record in _condemned(txn) if record.manifest]


def registered_since(txn: Reader, position: int) -> set[Digest]:
    """What versions were registered with beyond a position of the log."""
    return {
        Digest.parse(record.entry().after["digest"])
        for record in queries.log_records(txn, position)
        if record.entry().type is EntryType.VERSION_REGISTERED
    }


def _condemned(txn: Reader) -> Iterator[tuple[bytes, CondemnedRecord]]:
    for name, data in txn.scan(Table.CONDEMNED):
        yield name, decode(CondemnedRecord, data)


def _groups(names: Sequence[str]) -> Iterator[list[str]]:
    """As many at a time as an entry can name."""
    rest = iter(names)
    while group := list(islice(rest, limits.CONDEMNED_PER_ENTRY_MAX)):
        yield group


def _append(commit: Draft, kind: EntryType, after: object, change: Change) -> None:
    commit.append(
        kind, subjects.REGISTRY, tag=REGISTRY_TAG, before=None, after=after, change=change
    )
