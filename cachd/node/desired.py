"""What the replica says this node should serve. Pure over one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from registry_core.domain.identifiers import Digest, ModelName, RegionName, StageName, StageRef
from registry_core.domain.region import EVERY_REGION
from registry_core.ledger import queries, regions
from registry_core.ledger.records import PointRecord, StageRecord, VersionRecord
from registry_core.ledger.store import Reader


@dataclass(frozen=True, slots=True)
class DesiredStage:
    """`serve` is in force; `keep` is the other version of the current move, for a rollback, or for
    `split` per mille of the requests."""

    ref: StageRef
    epoch: int
    generation: int
    choice: int
    serve: VersionRecord
    keep: VersionRecord | None
    split: int = 0

    @property
    def position(self) -> tuple[int, int, int]:
        """Epoch, generation and choice, which only grow along the log."""
        return self.epoch, self.generation, self.choice

    @property
    def digests(self) -> set[Digest]:
        versions = [self.serve, *([self.keep] if self.keep else [])]
        return {Digest.parse(version.digest) for version in versions}


@dataclass(frozen=True, slots=True)
class Wish:
    """A version to have here until `until_ms` (Unix), whether a stage names it or not."""

    version: VersionRecord
    until_ms: int
    pinned: bool = False
    """In memory, whatever else needs that."""


def desired_prefetches(
    txn: Reader, region: RegionName, serves: Callable[[ModelName], bool]
) -> dict[Digest, Wish]:
    """What the nodes of `region` are to bring, of models that `serves` says yes to."""
    found: dict[Digest, Wish] = {}
    for wish in regions.wishes(txn):
        model = ModelName(wish.model)
        if wish.region not in (region.text, EVERY_REGION) or not serves(model):
            continue
        version = queries.version(txn, model, wish.number)
        digest = Digest.parse(version.digest)
        made, known = Wish(version, wish.until_ms, wish.pinned), found.get(digest)
        if known is None or (known.pinned, known.until_ms) < (made.pinned, made.until_ms):
            found[digest] = made
    return found


def desired_stages(txn: Reader, wants: Callable[[StageRef], bool]) -> dict[StageRef, DesiredStage]:
    """All stages that were moved and that `wants` says yes to."""
    found: dict[StageRef, DesiredStage] = {}
    for record in queries.stages(txn):
        ref = StageRef(ModelName(record.model), StageName(record.stage))
        if wants(ref):
            found[ref] = _desired(txn, ref, record)
    return found


def desired_stage(txn: Reader, ref: StageRef) -> DesiredStage | None:
    """One stage, if it was moved."""
    record = queries.stage(txn, ref.model, ref.stage)
    return _desired(txn, ref, record) if record is not None else None


def _desired(txn: Reader, ref: StageRef, record: StageRecord) -> DesiredStage:
    serve = queries.version(txn, ref.model, record.in_force.number)
    other: PointRecord | None = record.version if record.choice % 2 else record.previous
    keep = queries.version(txn, ref.model, other.number) if other else None
    return DesiredStage(
        ref, queries.epoch(txn), record.generation, record.choice, serve, keep, record.split
    )
