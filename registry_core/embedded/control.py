"""Control over the ledger in this process. The authority serves this very object over HTTP.

Thread-safe: reads run on consistent views, writes are serialised by the store. Every check that a
commit depends on runs inside its transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from registry_core.changes.stages import ChoiceStep, MoveStep, StageStep, change_stages
from registry_core.changes.versions import VersionDraft, register_version
from registry_core.domain.entry import Entry
from registry_core.domain.identifiers import Digest, Guard, ModelName, StageName, VersionRef
from registry_core.domain.move import Move
from registry_core.domain.policy import PUBLISHER, STAGER, Policy, Root
from registry_core.embedded.approvals import EmbeddedApprovals
from registry_core.embedded.audit import EmbeddedAudit
from registry_core.embedded.events import EmbeddedEvents
from registry_core.embedded.examine import examine
from registry_core.embedded.garbage import EmbeddedGarbage
from registry_core.embedded.metadata import EmbeddedMetadata
from registry_core.embedded.recovery import EmbeddedRecovery
from registry_core.embedded.regions import EmbeddedRegions
from registry_core.errors import (
    LedgerUnavailable,
    Unauthorized,
)
from registry_core.ledger import log, queries
from registry_core.ledger.change import Change
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.queries import Resolved
from registry_core.ledger.records import ModelRecord, StageRecord, VersionRecord
from registry_core.origin.store import Origin
from registry_core.trust.dsse import Envelope
from registry_core.trust.keys import SigningKey
from registry_core.trust.move import sign_move


class EmbeddedControl:
    """`stager` signs moves of stages that need no person; None where this process may not. A
    replica has no `origin`."""

    def __init__(
        self, ledger: Ledger, root: Root, origin: Origin | None, stager: SigningKey | None
    ) -> None:
        self.ledger = ledger
        self.metadata = EmbeddedMetadata(ledger)
        self.approvals = EmbeddedApprovals(ledger)
        self.events = EmbeddedEvents(ledger, root.registry)
        self.garbage = EmbeddedGarbage(ledger)
        self.audit = EmbeddedAudit(ledger)
        self.recovery = EmbeddedRecovery(ledger, root.registry)
        self.regions = EmbeddedRegions(ledger, origin)
        self._root = root
        self._known_origin = origin
        self._stager = stager

    @property
    def _origin(self) -> Origin:
        if self._known_origin is None:
            raise LedgerUnavailable("this is a replica: it keeps no origin and takes no changes")
        return self._known_origin

    def root(self) -> Root:
        return self._root

    def policy(self) -> Policy:
        with self.ledger.read() as txn:
            return queries.policy(txn)

    def origin_url(self) -> str:
        return self._origin.url

    def find_model(self, model: ModelName) -> ModelRecord | None:
        with self.ledger.read() as txn:
            return queries.find_model(txn, model)

    def models(self) -> Sequence[ModelRecord]:
        with self.ledger.read() as txn:
            return list(queries.models(txn))

    def find_version(self, model: ModelName, digest: Digest) -> VersionRecord | None:
        with self.ledger.read() as txn:
            number = queries.find_number(txn, model, digest)
            return None if number is None else queries.version(txn, model, number)

    def versions(self, model: ModelName, *, newest: int) -> Sequence[VersionRecord]:
        with self.ledger.read() as txn:
            queries.model(txn, model)
            found = queries.versions(txn, model, newest_first=True)
            there = (version for version in found if not version.deleted_ms)
            return list(islice(there, newest))

    def find_stage(self, model: ModelName, stage: StageName) -> StageRecord | None:
        with self.ledger.read() as txn:
            return queries.stage(txn, model, stage)

    def stages(self, model: ModelName) -> Sequence[StageRecord]:
        with self.ledger.read() as txn:
            queries.model(txn, model)
            return list(queries.stages(txn, model))

    def resolve(self, ref: VersionRef) -> Resolved:
        with self.ledger.read() as txn:
            return queries.resolve(txn, ref)

    def history(self, model: ModelName, *, newest: int) -> Sequence[Entry]:
        with self.ledger.read() as txn:
            queries.model(txn, model)
            return queries.history(txn, model, newest=newest)

    def register(self, draft: VersionDraft, change: Change) -> tuple[VersionRecord, bool]:
        with self.ledger.read() as txn:
            seen = log.log_size(txn)
            publishers = queries.policy(txn).keys_of(PUBLISHER)
        examined = examine(self._origin, draft, publishers, seen)
        self.garbage.refuse_condemned(examined.packs)
        return self.ledger.commit(lambda commit: register_version(commit, draft, examined, change))

    def move(
        self,
        move: Move,
        envelope: Envelope | None,
        guard: Guard | None,
        change: Change,
        *,
        split: int = 0,
    ) -> StageRecord:
        step = MoveStep(move, envelope or self.sign(move), guard, split)
        return self.change_stages([step], change)[0]

    def choose(
        self, model: ModelName, stage: StageName, guard: Guard | None, change: Change
    ) -> StageRecord:
        return self.change_stages([ChoiceStep(model, stage, guard)], change)[0]

    def split(
        self, model: ModelName, stage: StageName, split: int, guard: Guard | None, change: Change
    ) -> StageRecord:
        return self.change_stages([ChoiceStep(model, stage, guard, split)], change)[0]

    def change_stages(self, steps: Sequence[StageStep], change: Change) -> list[StageRecord]:
        return self.ledger.commit(lambda commit: change_stages(commit, steps, change))

    def close(self) -> None:
        self.ledger.close()

    def sign(self, move: Move) -> Envelope:
        """The move signed by this process, where the policy lets it."""
        rule = self.policy().rule_for(move.model, move.stage)
        if rule.role != STAGER or self._stager is None:
            raise Unauthorized(
                f"moves of {move.model}@{move.stage} need {rule.threshold} signature(s) by the "
                f"role {rule.role}: sign with such a key (cachctl --keys DIR)"
            )
        return sign_move(move, self._stager)
