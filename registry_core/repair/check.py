"""All live versions, oldest first, looked at and healed where something is missing.

Memory stays bounded: a page of versions, one version's documents and one pack at a time, and of
each pack whether it is sound. A check that was cut off goes on after the version that it ended
with. While it heals, a version is announced like a push, so that gc leaves alone what is put back.
Of a region other than home those versions are looked at that the log says its origin holds; one
that cannot be healed is withdrawn from it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from registry_core.control.protocol import Control
from registry_core.domain.identifiers import ModelName, RegionName, VersionRef
from registry_core.domain.policy import PUBLISHER
from registry_core.errors import NotFound
from registry_core.ledger.change import Change
from registry_core.ledger.records import VersionRecord
from registry_core.ledger.search import Query
from registry_core.origin.store import Origin
from registry_core.push.announce import announced
from registry_core.push.progress import Progress, silent
from registry_core.repair.heal import Healed, Healer
from registry_core.repair.look import Health, look_at
from registry_core.repair.packs import PackShelf
from registry_core.repair.sources import Source
from registry_core.repair.telling import Telling

_PAGE = 200


@dataclass(frozen=True, slots=True)
class Checked:
    """A version: what was wrong, what was put back, and what nobody has. `problems` without `lost`
    and with a repair asked for means that all of it is healed."""

    version: VersionRecord
    problems: list[str]
    healed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.version.model}/{self.version.number}"


class OriginCheck:
    """`change` says who repairs. Without `repair` nothing is written; `deep` reads and hashes each
    pack once, otherwise only what packs say of themselves is read. `origin` is that of `region`,
    None for the home region."""

    def __init__(
        self,
        control: Control,
        origin: Origin,
        change: Change,
        *,
        deep: bool = False,
        repair: bool = False,
        sources: Sequence[Source] = (),
        progress: Progress = silent,
        region: RegionName | None = None,
    ) -> None:
        self._control = control
        self._region = region
        self._origin = origin
        self._change = change
        self.repairs = repair
        self._progress = progress
        self._telling = Telling(progress, 0)
        self._shelf = PackShelf(origin, self._read, deep=deep)
        self._healer = Healer(origin, self._shelf, sources)
        self._publishers = control.policy().keys_of(PUBLISHER)

    @property
    def bytes_read(self) -> int:
        """Of packs, so far."""
        return self._shelf.bytes_read

    def run(self, after: str = "") -> Iterator[Checked]:
        """Each live version as it was found, those registered after `after` (NAME/NUMBER) only."""
        total = sum(version.bytes for version in self._versions(after))
        self._telling = Telling(self._progress, total)
        for version in self._versions(after):
            self._telling.begin(version)
            yield self._check(version)
            self._telling.end()

    def _check(self, version: VersionRecord) -> Checked:
        health = look_at(self._origin, self._shelf, self._publishers, version)
        if not health.problems or not self.repairs:
            return Checked(version, health.problems)
        healed = self._heal(health)
        if not healed.lost:
            again = look_at(self._origin, self._shelf, self._publishers, version)
            healed.lost += [f"{problem}, still" for problem in again.problems]
        if healed.lost and self._region is not None:
            self._control.regions.withdraw_copy(version, self._region, self._anew())
        return Checked(version, health.problems, healed.done, healed.lost)

    def _heal(self, health: Health) -> Healed:
        healed = Healed()
        model = ModelName(health.version.model)
        with announced(self._control, model, health.digest, self._change) as push:
            self._healer.heal_documents(health, healed)
            if health.manifest is None:
                health = look_at(self._origin, self._shelf, self._publishers, health.version)
            if health.manifest is not None:
                self._healer.heal_chunks(health, health.manifest, push.condemned, healed)
            self._control.garbage.end_push(model, push.id, self._anew())
        return healed

    def _anew(self) -> Change:
        return Change(self._change.actor, self._change.reason, uuid.uuid4().hex)

    def _versions(self, after: str) -> Iterator[VersionRecord]:
        if self._region is None:
            yield from self._all_versions(after)
            return
        copies = self._control.regions.copies_in(self._region)
        held = {(copy.model, copy.number) for copy in copies}
        for version in self._all_versions(after):
            if (version.model, version.number) in held:
                yield version

    def _all_versions(self, after: str) -> Iterator[VersionRecord]:
        """Page by page, in the order of their registration."""
        first = self._control.resolve(VersionRef.parse(after)).version if after else None
        asked = "" if first is None else f"created >= {first.created_ms}"
        token, skipping = "", first is not None
        while True:
            page = self._control.metadata.search(Query.parse(asked, "created", _PAGE, token))
            for version in page.versions:
                if not skipping:
                    yield version
                elif first is None or _same(version, first):
                    skipping = False
            token = page.next
            if not token:
                break
        if skipping:
            raise NotFound(f"{after} was deleted meanwhile: go on after another version")

    def _read(self, count: int) -> None:
        self._telling.read(count)


def _same(one: VersionRecord, other: VersionRecord) -> bool:
    return (one.model, one.number) == (other.model, other.number)
