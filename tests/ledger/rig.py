"""A ledger over any store, with all keys at hand. Versions are registered without any files."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import lmdb
from blake3 import blake3

from registry_core.changes.stages import MoveStep, change_stages
from registry_core.changes.versions import Examined, VersionDraft, register_version
from registry_core.domain.entry import REGISTRY_TAG, EntryType, LogRecord
from registry_core.domain.identifiers import ChunkId, Digest, Guard, ModelName, StageName
from registry_core.domain.manifest import Chunk, Manifest, ModelFile
from registry_core.domain.move import Move
from registry_core.domain.stage import EMPTY
from registry_core.embedded.control import EmbeddedControl
from registry_core.errors import InvalidInput
from registry_core.ledger import log, queries, subjects
from registry_core.ledger.change import Change
from registry_core.ledger.check import CheckReport, check_ledger
from registry_core.ledger.checksum import checksum
from registry_core.ledger.draft import Draft
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.records import StageRecord, VersionRecord
from registry_core.ledger.store import Store, Table
from registry_core.origin.store import Origin
from registry_core.trust.dsse import Envelope
from registry_core.trust.keys import SigningKey
from registry_core.trust.move import sign_move
from registry_core.trust.oms import sign_version
from registry_core.trust.policy import default_policy, make_root, sign_policy

OWNER, PUBLISHER, PROMOTER, STAGER = (SigningKey.generate_p256() for _ in range(4))
AUTHORITY = SigningKey.generate_ed25519()
REGISTRY = "ab" * 16
ROOT = make_root(REGISTRY, OWNER, AUTHORITY)
POLICY = default_policy(REGISTRY, PUBLISHER, PROMOTER, STAGER)
MODEL, PRODUCTION = ModelName("m"), StageName("production")
CHANGE = Change("tester", "a test", "request-1")
_contents = itertools.count(1)


class Books:
    """What an authority does, without files: `store` is filled with the first entries if new."""

    def __init__(self, store: Store, origin: Path, authority: SigningKey = AUTHORITY) -> None:
        self.store = store
        ticks = itertools.count(1_700_000_000_000)
        self.ledger = Ledger(store, ROOT, authority, lambda: next(ticks))
        self.control = EmbeddedControl(self.ledger, ROOT, Origin.open(origin.as_uri()), STAGER)
        with store.write() as txn:
            new = log.stored_root(txn) is None
            if new:
                log.store_root(txn, ROOT)
        if new:
            self.ledger.commit(_first_entries)

    def add_version(self, model: ModelName = MODEL) -> VersionRecord:
        manifest = _some_manifest()
        bundle = sign_version(manifest, model.text, PUBLISHER)
        draft = VersionDraft(model, manifest.digest, Digest.of(bundle), 1 << 20, {}, "")
        made, created = self.ledger.commit(
            lambda commit: register_version(
                commit, draft, Examined(manifest, PUBLISHER.key_id), CHANGE
            )
        )
        assert created
        return made

    def stage(self, model: ModelName = MODEL, stage: StageName = PRODUCTION) -> StageRecord | None:
        return self.control.find_stage(model, stage)

    def signed_move(
        self, version: VersionRecord, stage: StageName = PRODUCTION
    ) -> tuple[Move, Envelope, Guard]:
        """A move to `version` from what the stage is now."""
        known = self.stage(ModelName(version.model), stage)
        before = known.state if known else EMPTY
        move = Move(
            REGISTRY,
            ModelName(version.model),
            stage,
            before.generation + 1,
            version.point,
            before.in_force,
            POLICY.digest,
        )
        key = STAGER if stage.text == "staging" else PROMOTER
        return move, sign_move(move, key), before.guard

    def promote(self, version: VersionRecord, stage: StageName = PRODUCTION) -> StageRecord:
        move, envelope, guard = self.signed_move(version, stage)
        return self.control.move(move, envelope, guard, CHANGE)

    def promote_and_fail(self, move: Move, envelope: Envelope, guard: Guard) -> None:
        """Append a move and raise in the same piece of work."""

        def work(commit: Draft) -> None:
            change_stages(commit, [MoveStep(move, envelope, guard)], CHANGE)
            raise InvalidInput("after all, no")

        self.ledger.commit(work)

    def rollback(self) -> StageRecord:
        known = self.stage()
        assert known is not None
        return self.control.choose(MODEL, PRODUCTION, known.guard, CHANGE)

    def records(self, after: int = 0) -> Sequence[LogRecord]:
        with self.store.read() as txn:
            return list(queries.log_records(txn, after))

    def note(self) -> bytes:
        with self.store.read() as txn:
            note = log.stored_checkpoint(txn)
        assert note is not None
        return note

    def check(self) -> CheckReport:
        with self.store.read() as txn:
            return check_ledger(txn)

    def live(self) -> None:
        """A little of everything: two models, versions, moves and choices."""
        versions = [self.add_version() for _ in range(3)]
        other = self.add_version(ModelName("other"))
        for version in versions:
            self.promote(version)
        self.rollback()
        self.rollback()
        self.promote(other, StageName("staging"))


def _first_entries(draft: Draft) -> None:
    created = {"registry": REGISTRY, "root": str(ROOT.digest)}
    policy = {"envelope": sign_policy(POLICY, OWNER).to_json()}
    for kind, after in ((EntryType.REGISTRY_CREATED, created), (EntryType.POLICY_SET, policy)):
        draft.append(
            kind, subjects.REGISTRY, tag=REGISTRY_TAG, before=None, after=after, change=CHANGE
        )


def _some_manifest() -> Manifest:
    content = f"content {next(_contents)}".encode()
    chunk = Chunk(ChunkId(blake3(content).digest()), len(content))
    return Manifest.build([ModelFile("w", len(content), blake3(content).digest(), (chunk,))])


class RawLedger:
    """The LMDB file beneath a closed ledger, to change as somebody with the disk in hand can:
    `put` writes a checksum that holds."""

    def __init__(self, directory: Path) -> None:
        self._env = lmdb.open(str(directory), max_dbs=len(Table), map_size=1 << 30)
        self._tables = {table: self._env.open_db(table.value.encode()) for table in Table}

    def __enter__(self) -> RawLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self._env.close()

    def items(self, table: Table) -> list[tuple[bytes, bytes]]:
        """Keys and stored bytes, checksum included."""
        with self._env.begin(db=self._tables[table]) as txn:
            return [(bytes(key), bytes(value)) for key, value in txn.cursor()]

    def get(self, table: Table, key: bytes) -> bytes:
        return dict(self.items(table))[key][8:]

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self.put_stored(table, key, checksum(table, key, value) + value)

    def put_stored(self, table: Table, key: bytes, stored: bytes) -> None:
        with self._env.begin(write=True, db=self._tables[table]) as txn:
            txn.put(key, stored)

    def delete(self, table: Table, key: bytes) -> None:
        with self._env.begin(write=True, db=self._tables[table]) as txn:
            assert txn.delete(key)
