"""Control: the few operations that need the one writable ledger.

`Registry` works over it: embedded (`registry_core.embedded`, the ledger in this process) or remote
(`cachd.control`, an authority over HTTP). Each method is one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from registry_core.changes.versions import VersionDraft
from registry_core.control.approvals import ApprovalControl
from registry_core.control.audit import AuditControl
from registry_core.control.events import EventControl
from registry_core.control.garbage import GarbageControl
from registry_core.control.metadata import MetadataControl
from registry_core.control.recovery import RecoveryControl
from registry_core.control.regions import RegionControl
from registry_core.domain.entry import Entry
from registry_core.domain.identifiers import Digest, Guard, ModelName, StageName, VersionRef
from registry_core.domain.move import Move
from registry_core.domain.policy import Policy, Root
from registry_core.ledger.change import Change
from registry_core.ledger.queries import Resolved
from registry_core.ledger.records import ModelRecord, StageRecord, VersionRecord
from registry_core.trust.dsse import Envelope


class Control(Protocol):
    """`find_*` return None, all others raise NotFound, for what does not exist."""

    @property
    def metadata(self) -> MetadataControl: ...

    @property
    def approvals(self) -> ApprovalControl: ...

    @property
    def events(self) -> EventControl: ...

    @property
    def garbage(self) -> GarbageControl: ...

    @property
    def audit(self) -> AuditControl: ...

    @property
    def recovery(self) -> RecoveryControl: ...

    @property
    def regions(self) -> RegionControl: ...

    def root(self) -> Root: ...

    def policy(self) -> Policy: ...

    def origin_url(self) -> str: ...

    def find_model(self, model: ModelName) -> ModelRecord | None: ...

    def models(self) -> Sequence[ModelRecord]: ...

    def find_version(self, model: ModelName, digest: Digest) -> VersionRecord | None: ...

    def versions(self, model: ModelName, *, newest: int) -> Sequence[VersionRecord]: ...

    def find_stage(self, model: ModelName, stage: StageName) -> StageRecord | None: ...

    def stages(self, model: ModelName) -> Sequence[StageRecord]: ...

    def resolve(self, ref: VersionRef) -> Resolved: ...

    def history(self, model: ModelName, *, newest: int) -> Sequence[Entry]: ...

    def register(self, draft: VersionDraft, change: Change) -> tuple[VersionRecord, bool]:
        """The version, and whether it was created (False: the model had these files already)."""
        ...

    def move(
        self,
        move: Move,
        envelope: Envelope | None,
        guard: Guard | None,
        change: Change,
        *,
        split: int = 0,
    ) -> StageRecord:
        """Commit `move`. Without an envelope the authority signs, where the policy lets it. With a
        `split` (per mille) the new version answers that share of the requests only."""
        ...

    def choose(
        self, model: ModelName, stage: StageName, guard: Guard | None, change: Change
    ) -> StageRecord:
        """Toggle the version in force between the two of the stage's current move."""
        ...

    def split(
        self, model: ModelName, stage: StageName, split: int, guard: Guard | None, change: Change
    ) -> StageRecord:
        """Give `split` per mille of the requests to the version of the stage's current move, and
        the others to the previous one."""
        ...

    def close(self) -> None: ...
