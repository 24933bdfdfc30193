"""A run of gc, from end to end: retention, a look at everything, and what the plan says.

Each step is durable by itself and begins from what the ledger says, so a run that is killed at any
point is gone on with by the next one: versions deleted stay deleted, condemned packs are deleted
when they are ripe, packs whose objects are gone are forgotten. Call from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from registry_core.changes import garbage
from registry_core.control.garbage import GcReport
from registry_core.domain.identifiers import Digest
from registry_core.domain.packs import PackName
from registry_core.embedded.control import EmbeddedControl
from registry_core.garbage.documents import delete_documents, finish_documents
from registry_core.garbage.expiry import delete_expired, end_dead_pushes, find_expired
from registry_core.garbage.findings import Findings, Terms, find_garbage, report
from registry_core.garbage.look import HINTS_PHASE, refuse_cancelled
from registry_core.garbage.origins import Origins
from registry_core.garbage.plan import StoredPack, Waits
from registry_core.garbage.turn import Turn
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.origin.layout import pack_key
from registry_core.origin.store import Origin
from registry_core.push.progress import Progress, silent

PACKS_PHASE = "packs deleted"
COUNTED_PHASES = (HINTS_PHASE, PACKS_PHASE)
"""Told in pieces, not in bytes."""
_BATCH, _THREADS = 256, 8


def collect_garbage(
    control: EmbeddedControl,
    origin: Origin,
    change: Change,
    *,
    dry_run: bool = False,
    protected: Collection[Digest] = (),
    progress: Progress = silent,
    cancel: threading.Event | None = None,
    waits: Waits | None = None,
    now_ms: int | None = None,
) -> GcReport:
    """Delete what nobody needs, or with `dry_run` say what would go now. `origin` is that of the
    home region; the others are looked at as well.

    `protected` are versions that keep their objects although they were deleted: nodes hold them.
    `now_ms` is the store's clock unless it is given. Conflict while another run is under way."""
    ledger, origins = control.ledger, Origins.of(control, origin)
    terms = Terms(protected, waits or Waits(), now_ms, progress, cancel or threading.Event())
    with ledger.read() as txn:
        clock_ms = txn.time_ms() if now_ms is None else now_ms
    expired = find_expired(ledger, clock_ms)
    if dry_run:
        return report(find_garbage(ledger, origins, expired, terms), dry_run=True)
    with Turn.take(ledger, control.garbage.turn) as turn:
        with ledger.read() as txn:
            unfinished = garbage.condemned_manifests(txn)
        finish_documents(turn, origins, unfinished, change)
        expired = delete_expired(turn, expired)
        ended = end_dead_pushes(turn, clock_ms - terms.waits.push_ms, change)
        found = find_garbage(ledger, origins, expired, terms)
        _carry_out(turn, origins, found, change, terms)
    done = report(found, dry_run=False)
    done.pushes_ended = ended
    return done


def _carry_out(
    turn: Turn,
    origins: Origins,
    found: Findings,
    change: Change,
    terms: Terms,
) -> None:
    plan = found.plan
    if plan.condemn:
        turn.commit(partial(_condemn, [pack.name for pack in plan.condemn], change))
    if plan.pardon:
        turn.commit(partial(_forget, plan.pardon, change, pardoned=True))
    for start in range(0, len(plan.delete), _BATCH):
        refuse_cancelled(terms.cancel)
        _delete_packs(turn, origins, plan.delete[start : start + _BATCH], change)
        terms.progress(PACKS_PHASE, min(start + _BATCH, len(plan.delete)), len(plan.delete))
    delete_documents(turn, origins, found.free, found.view.position, change, terms.cancel)
    for leftover in found.leftovers:
        leftover.origin.delete_leftover(leftover.found.key)


def _delete_packs(
    turn: Turn, origins: Origins, packs: Sequence[StoredPack], change: Change
) -> None:
    """The objects first: if this is cut off, they are still condemned, and nobody uses them."""

    def delete(pack: StoredPack) -> None:
        origins.delete(pack_key(pack.name))

    turn.renew()
    with ThreadPoolExecutor(_THREADS, "delete") as pool:
        list(pool.map(delete, packs))
    turn.commit(partial(_forget, [pack.name for pack in packs], change, pardoned=False))


def _condemn(packs: list[PackName], change: Change, commit: Draft) -> None:
    garbage.condemn(commit, packs, change)


def _forget(packs: list[PackName], change: Change, commit: Draft, *, pardoned: bool) -> None:
    garbage.forget(commit, packs, change, pardoned=pardoned)
