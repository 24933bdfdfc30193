"""Registry: what a script, a pipeline or a person does with models. The library's front door.

Works over any Control, so that the same calls act on a registry in this process and on one behind
an authority. Chunks go straight to the origin in both cases. Signing happens here, with the
caller's keys; private keys never travel.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from registry_core.approvals import Approvals
from registry_core.audit import Audit
from registry_core.control.protocol import Control
from registry_core.domain.entry import Entry
from registry_core.domain.identifiers import (
    Digest,
    Guard,
    ModelName,
    RegionName,
    StageRef,
    VersionRef,
    parse_version_number,
)
from registry_core.domain.move import Move
from registry_core.domain.policy import PUBLISHER, STAGER, Policy
from registry_core.domain.split import parse_move_split, parse_percent
from registry_core.domain.stage import EMPTY, StageState
from registry_core.errors import NotFound
from registry_core.garbage.garbage import Garbage
from registry_core.ledger.change import Change
from registry_core.ledger.queries import Resolved
from registry_core.ledger.records import ModelRecord, StageRecord, VersionRecord
from registry_core.metadata import Metadata, with_metrics
from registry_core.origin.store import Origin
from registry_core.push.pipeline import PushReport, push_directory
from registry_core.push.progress import Progress, silent
from registry_core.recovery import Recovery
from registry_core.regions import Regions
from registry_core.repair.check import OriginCheck
from registry_core.repair.sources import OriginSource, Source
from registry_core.replicate.replication import Replicated, Replication, versions_of
from registry_core.trust.dsse import Envelope
from registry_core.trust.keys import Keyring, SigningKey
from registry_core.trust.move import sign_move

Expect = str | None


class Registry:
    """Thread-safe as far as its Control is. Close it, or use it as a context manager."""

    def __init__(self, control: Control, origin: Origin, keys: Keyring, actor: str) -> None:
        self.control = control
        self.origin = origin
        self._keys = keys
        self._actor = actor
        self._loaded: dict[str, SigningKey] = {}
        self.metadata = Metadata(control, control.metadata, self._change)
        self.approvals = Approvals(
            control.approvals, control.policy, self._next_move, keys, self._change
        )
        self.garbage = Garbage(control, origin, self._change)
        self.audit = Audit(control.audit)
        self.recovery = Recovery(control.recovery, keys, self._change)
        self.regions = Regions(control, self._change)

    def with_keys(self, keys: Keyring) -> Registry:
        """The same registry, signing with other keys."""
        return Registry(self.control, self.origin, keys, self._actor)

    def push(
        self,
        directory: str | Path,
        model: str,
        *,
        tags: Mapping[str, str] | None = None,
        notes: str = "",
        fields: Mapping[str, Any] | None = None,
        reason: str = "",
        progress: Progress = silent,
    ) -> PushReport:
        """Upload the files below `directory` and register them as the next version of `model`.

        The same files again give the same version and upload nothing. `fields` are said about the
        version from the start, as with `metadata.annotate`.
        Raises InvalidModelFiles for files that cannot become a version.
        """
        return push_directory(
            self.control,
            self.origin,
            self._key(PUBLISHER),
            Path(directory),
            ModelName.parse(model),
            tags=tags or {},
            notes=notes,
            fields=with_metrics(fields or {}),
            change=self._change(reason),
            progress=progress,
        )

    def promote(
        self,
        stage: str,
        version: int | str,
        *,
        split: float | str | None = None,
        expect: Expect = None,
        reason: str = "",
    ) -> StageRecord:
        """Move `NAME@STAGE` to a version (number or `sha256:…`), signed, by compare-and-swap.

        `expect` is the `generation.choice` that the decision was made on; without it the state
        read here is the guard. Raises Stale if somebody was faster: exactly one racer wins.
        With `split` the new version answers that percentage of the requests from its first moment,
        the previous one all others.
        """
        ref = StageRef.parse(stage)
        target = self.version(ref.model, version)
        before = self._state(ref)
        guard = Guard.parse(expect) if expect is not None else before.guard
        before.require(guard, str(ref))
        policy = self.control.policy()
        move = _move_from(before, ref, target, policy)
        share = parse_move_split(split)
        before.after_move(move, share)
        role = policy.rule_for(ref.model, ref.stage).role
        return self.control.move(
            move, self._sign(move, role), guard, self._change(reason), split=share
        )

    def rollback(self, stage: str, *, expect: Expect = None, reason: str = "") -> StageRecord:
        """Bring the other version of the stage's current move into force. Nothing is loaded or
        moved: hosts hold it resident. A second rollback undoes the first."""
        ref = StageRef.parse(stage)
        known = self.control.find_stage(ref.model, ref.stage)
        if known is None:
            raise NotFound(f"nothing was promoted to {ref} yet: there is nothing to roll back")
        guard = Guard.parse(expect) if expect is not None else known.guard
        return self.control.choose(ref.model, ref.stage, guard, self._change(reason))

    def split(
        self, stage: str, percent: float | str, *, expect: Expect = None, reason: str = ""
    ) -> StageRecord:
        """Have the version of the stage's current move answer `percent` of the requests on every
        host, and the previous one all others; 0 and 100 end the split. Needs no signature: both
        are approved. `rollback`, and any move, end it, too."""
        share = parse_percent(percent)
        ref = StageRef.parse(stage)
        known = self.control.find_stage(ref.model, ref.stage)
        if known is None:
            raise NotFound(f"nothing was promoted to {ref} yet: there is nothing to split")
        guard = Guard.parse(expect) if expect is not None else known.guard
        return self.control.split(ref.model, ref.stage, share, guard, self._change(reason))

    def resolve(self, ref: str) -> Resolved:
        """What `NAME@STAGE`, `NAME/NUMBER` or `NAME@sha256:…` means now."""
        return self.control.resolve(VersionRef.parse(ref))

    def version(self, model: ModelName, version: int | str) -> VersionRecord:
        """A version of `model` by its number or digest."""
        if isinstance(version, str) and version.startswith("sha256:"):
            ref = VersionRef(model, digest=Digest.parse(version))
        else:
            ref = VersionRef(model, number=parse_version_number(version))
        return self.control.resolve(ref).version

    def models(self) -> Sequence[ModelRecord]:
        return self.control.models()

    def versions(self, model: str, *, newest: int = 100) -> Sequence[VersionRecord]:
        """The newest versions of `model`, newest first."""
        return self.control.versions(ModelName.parse(model), newest=newest)

    def stages(self, model: str) -> Sequence[StageRecord]:
        return self.control.stages(ModelName.parse(model))

    def history(self, model: str, *, newest: int = 100) -> Sequence[Entry]:
        """Who changed what of `model`, when and why; newest first."""
        return self.control.history(ModelName.parse(model), newest=newest)

    def check_origin(
        self,
        *,
        deep: bool = False,
        repair: bool = False,
        sources: Sequence[Source] = (),
        region: str = "",
        reason: str = "",
        progress: Progress = silent,
    ) -> OriginCheck:
        """A check of every live version's objects, which its `run` carries out version by version.

        Of the origin of the home region, or with `region` of another, as far as that holds
        versions. With `repair` what is missing or damaged is put back, from `sources` or else from
        other regions' origins."""
        known = self.regions.known().home
        name = None if region in ("", known) else RegionName.parse(region)
        origin = self.origin if name is None else self.regions.origin(region)
        others = self.regions.origins(self.origin) if repair else {}
        others.pop(region or known, None)
        return OriginCheck(
            self.control, origin, self._change(reason),
            deep=deep, repair=repair, progress=progress, region=name,
            sources=[*sources, *(OriginSource(other) for other in others.values())],
        )  # fmt: skip

    def replicate(
        self,
        what: str = "",
        *,
        to: str,
        deep: bool = False,
        dry_run: bool = False,
        reason: str = "",
        progress: Progress = silent,
    ) -> list[Replicated]:
        """Copy versions to the origin of region `to`, verified: `NAME`, one version (`NAME@STAGE`,
        `NAME/NUMBER`), or all there are.

        What is there is not copied again; `deep` reads and hashes it first. A version that cannot
        be copied says so in its `problem`. Raises OriginError for an origin that cannot be used.
        """
        destination = self.regions.origin(to)
        replication = Replication(
            self.control, self.origin, destination, RegionName.parse(to), self._change(reason),
            deep=deep, dry_run=dry_run, progress=progress,
        )  # fmt: skip
        return list(replication.run(versions_of(self.control, what)))

    def close(self) -> None:
        self.control.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def _next_move(self, stage: str, version: int | str) -> Move:
        """The move of a stage, as it is now, to a version."""
        ref = StageRef.parse(stage)
        target = self.version(ref.model, version)
        return _move_from(self._state(ref), ref, target, self.control.policy())

    def _state(self, ref: StageRef) -> StageState:
        known = self.control.find_stage(ref.model, ref.stage)
        return known.state if known else EMPTY

    def _sign(self, move: Move, role: str) -> Envelope | None:
        """The move signed by the caller's key of `role`; None leaves it to the authority."""
        if role == STAGER and role not in self._loaded and role not in self._keys.names():
            return None
        return sign_move(move, self._key(role))

    def _key(self, role: str) -> SigningKey:
        """The caller's key of `role`, read from its file once."""
        if role not in self._loaded:
            self._loaded[role] = self._keys.get(role)
        return self._loaded[role]

    def _change(self, reason: str) -> Change:
        return Change(self._actor, reason, uuid.uuid4().hex)


def _move_from(before: StageState, ref: StageRef, target: VersionRecord, policy: Policy) -> Move:
    """The move that continues from `before`; refused if there is nothing to do."""
    move = Move(
        registry=policy.registry,
        model=ref.model,
        stage=ref.stage,
        generation=before.generation + 1,
        version=target.point,
        previous=before.in_force,
        policy=policy.digest,
    )
    before.after_move(move)
    return move
