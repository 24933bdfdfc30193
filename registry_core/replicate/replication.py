"""Versions in turn: announced, looked at, carried over, recorded.

A copying is announced like a push, before the documents are read: so gc leaves alone, in every
region, what they name and what is carried. It is recorded in the log by the same commit that ends
the announcement. One version that cannot be copied does not keep the others from it; an origin that
cannot be reached ends the run, and the next one goes on.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from registry_core.control.protocol import Control
from registry_core.domain.identifiers import Digest, ModelName, RegionName, VersionRef
from registry_core.domain.packs import PackName
from registry_core.errors import Condemned, Conflict, IntegrityError, NotFound
from registry_core.ledger.change import Change
from registry_core.ledger.records import VersionRecord
from registry_core.ledger.search import Query
from registry_core.origin.store import Origin
from registry_core.push.announce import announced
from registry_core.push.progress import Progress, silent
from registry_core.repair.telling import Telling
from registry_core.replicate.carry import carry_documents, carry_packs
from registry_core.replicate.load import Load, has_documents, lacking_packs, read_load

COPY_PHASE = "copy"
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Replicated:
    """What became of a version. Bytes are those of its chunks: copied (or, dry, to be copied), and
    there already. `problem` says why it was not copied; then nothing of it is visible that was
    not before."""

    version: VersionRecord
    bytes_copied: int = 0
    bytes_there: int = 0
    problem: str = ""

    @property
    def name(self) -> str:
        return f"{self.version.model}/{self.version.number}"


class Replication:
    """From `source` to `destination`, the origin of `region`. `deep` reads and hashes what is there
    already; `dry_run` changes nothing."""

    def __init__(
        self, control: Control, source: Origin, destination: Origin, region: RegionName,
        change: Change, *, deep: bool = False, dry_run: bool = False, progress: Progress = silent,
    ) -> None:  # fmt: skip
        self._control = control
        self._source = source
        self._destination = destination
        self._region = region
        self._change = change
        self._deep = deep
        self._dry_run = dry_run
        self._progress = progress
        self._seen: set[PackName] = set()  # there, as far as was looked for in this run
        self._lock = threading.Lock()  # guards the next: packs are looked at in several threads
        self._telling = Telling(progress, 0, COPY_PHASE)

    def run(self, versions: Sequence[VersionRecord]) -> Iterator[Replicated]:
        """Each of `versions`, and what became of it. OriginError if an origin cannot be used."""
        total = sum(version.bytes for version in versions)
        self._telling = Telling(self._progress, total, COPY_PHASE)
        for version in versions:
            self._telling.begin(version)
            yield self._replicate(version)
            self._telling.end()

    def _replicate(self, version: VersionRecord) -> Replicated:
        try:
            if self._dry_run or self._is_recorded(version):
                load = read_load(self._source, version)
                lacking = self._lacking(load)
                if self._dry_run or (not lacking and has_documents(self._destination, load)):
                    return _counted(version, load, lacking)
            return self._copy(version)
        except (IntegrityError, NotFound, Conflict) as error:
            return Replicated(version, problem=str(error))

    def _copy(self, version: VersionRecord) -> Replicated:
        model, digest = ModelName(version.model), Digest.parse(version.digest)
        with announced(self._control, model, digest, self._change) as push:
            load = read_load(self._source, version)
            doomed = load.packs.keys() & push.condemned
            if doomed:
                raise Condemned(
                    f"{len(doomed)} pack(s) of {model}/{version.number} were condemned when it "
                    "came to need them: `cachctl gc` pardons them, then copy again"
                )
            lacking = self._lacking(load)
            carry_packs(
                self._source, self._destination, load, lacking,
                lambda name: self._carried(load, name),
            )  # fmt: skip
            carry_documents(self._destination, load)
            done = Change(self._change.actor, self._change.reason, uuid.uuid4().hex)
            self._control.regions.record_copy(version, self._region, push.id, done)
        return _counted(version, load, lacking)

    def _lacking(self, load: Load) -> list[PackName]:
        lacking = lacking_packs(self._destination, load, self._seen, self._read, deep=self._deep)
        self._seen |= load.packs.keys() - set(lacking)
        return lacking

    def _carried(self, load: Load, name: PackName) -> None:
        self._seen.add(name)
        self._read(load.chunk_bytes([name]))

    def _read(self, count: int) -> None:
        with self._lock:
            self._telling.read(count)

    def _is_recorded(self, version: VersionRecord) -> bool:
        copies = self._control.regions.copies(ModelName(version.model), version.number)
        return any(copy.region == self._region.text for copy in copies)


def versions_of(control: Control, what: str) -> list[VersionRecord]:
    """The live versions that `what` names: NAME, a reference to one, or empty for all there are."""
    if "/" in what.removeprefix("models:/") or "@" in what:
        return [control.resolve(VersionRef.parse(what)).version]
    asked = ""
    if what:
        model = ModelName.parse(what)
        if control.find_model(model) is None:
            raise NotFound(f"there is no model {model}: `cachctl list` shows those there are")
        asked = f"name = '{model}'"
    found: list[VersionRecord] = []
    token = ""
    while True:
        page = control.metadata.search(Query.parse(asked, "created", _PAGE, token))
        found += page.versions
        token = page.next
        if not token:
            return found


def _counted(version: VersionRecord, load: Load, lacking: list[PackName]) -> Replicated:
    copied = load.chunk_bytes(lacking)
    return Replicated(version, copied, load.chunk_bytes(load.packs) - copied)
