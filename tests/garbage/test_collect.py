"""What gc deletes, what it leaves alone, and when."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from registry_core import Registry
from registry_core.changes import garbage
from registry_core.changes.versions import Examined, VersionDraft, register_version
from registry_core.domain import limits
from registry_core.domain.identifiers import Digest, ModelName
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import PackName, decode_hint, pack_trailer
from registry_core.errors import Condemned, Conflict, IntegrityError, NotFound
from registry_core.ledger import log
from registry_core.ledger.change import Change
from registry_core.ledger.records import VersionRecord
from registry_core.origin.layout import bundle_key, hint_key, manifest_key
from tests.garbage.rig import (
    CHANGE,
    HOUR_MS,
    RUTHLESS,
    documents,
    embedded,
    gc,
    make_files,
    packs,
    verify,
)

M = ModelName("m")


@pytest.fixture
def two(registry: Registry, tmp_path: Path) -> tuple[VersionRecord, VersionRecord]:
    """Model m: version 1 of files 0 to 3, version 2 of 2 to 5, in a pack each."""
    first = registry.push(make_files(tmp_path / "a", range(4)), "m").version
    return first, registry.push(make_files(tmp_path / "b", range(2, 6)), "m").version


def digest(version: VersionRecord) -> Digest:
    return Digest.parse(version.digest)


def keys(version: VersionRecord) -> set[str]:
    return {key(digest(version)) for key in (manifest_key, bundle_key, hint_key)}


def draft_of(registry: Registry, version: VersionRecord, push: bytes = b"") -> VersionDraft:
    """What its push said, from the documents that are still there."""
    bundle = registry.origin.get(bundle_key(digest(version)), bytes_max=limits.BUNDLE_MAX)
    chunk_bytes = version.chunk_bytes
    return VersionDraft(M, digest(version), Digest.of(bundle), chunk_bytes, {}, "", {}, push)


def test_a_deleted_version_goes_in_two_steps(
    registry: Registry, two: tuple[VersionRecord, VersionRecord]
) -> None:
    before = packs(registry)
    registry.metadata.delete("m/2")
    assert gc(registry).packs_condemned == 0, "as young as a push could be"
    first = gc(registry, later_ms=HOUR_MS // 2)
    assert (first.packs_condemned, first.packs_deleted) == (1, 0)
    assert [(m.model, m.packs_condemned) for m in first.models] == [("m", 1)]
    assert packs(registry) == before
    waiting = gc(registry, later_ms=HOUR_MS // 2)
    assert (waiting.packs_condemned, waiting.packs_waiting) == (0, 1)
    assert keys(two[1]) <= documents(registry), "they say whose packs these were"
    done = gc(registry, later_ms=2 * HOUR_MS)
    assert (done.packs_deleted, done.documents_deleted, done.packs_waiting) == (1, 1, 0)
    assert [(m.model, m.bytes_deleted) for m in done.models] == [("m", first.bytes_condemned)]
    assert len(packs(registry)) == len(before) - 1
    assert documents(registry) == keys(two[0])
    assert verify(registry).problems == []
    again = gc(registry, later_ms=3 * HOUR_MS)
    assert again.models == []


def test_what_a_live_version_shares_stays(
    registry: Registry, two: tuple[VersionRecord, VersionRecord]
) -> None:
    registry.metadata.delete("m/1")
    report = gc(registry, later_ms=HOUR_MS)
    assert (report.packs_condemned, report.documents_deleted) == (0, 1), "version 2 needs its pack"
    assert documents(registry) == keys(two[1])
    assert verify(registry).problems == []


@pytest.mark.parametrize("collected", [False, True])
def test_the_same_files_after_deletion_are_another_number(
    registry: Registry, tmp_path: Path, collected: bool
) -> None:
    files = make_files(tmp_path / "a", range(3))
    first = registry.push(files, "m").version
    registry.metadata.delete("m/1")
    if collected:
        assert gc(registry, later_ms=HOUR_MS).packs_condemned == 1
        assert gc(registry, later_ms=3 * HOUR_MS).packs_deleted == 1
        assert packs(registry) | documents(registry) == set()
    second = registry.push(files, "m").version
    assert (second.number, second.digest) == (2, first.digest)
    assert verify(registry).problems == []
    with pytest.raises(NotFound, match="was deleted"):
        registry.resolve("m/1")


def test_a_push_goes_round_condemned_packs(registry: Registry, tmp_path: Path) -> None:
    files = make_files(tmp_path / "a", range(3))
    registry.push(files, "m")
    registry.metadata.delete("m/1")
    gc(registry, later_ms=HOUR_MS)
    (condemned,) = packs(registry)
    again = registry.push(files, "m")
    assert again.bytes_uploaded > again.bytes_total, "the same pack would have the same name"
    assert registry.push(files, "n").bytes_uploaded == 0, "a push of the same finds the same"
    assert gc(registry, later_ms=3 * HOUR_MS).packs_deleted == 1
    assert condemned not in packs(registry)
    assert len(packs(registry)) == 1
    assert verify(registry).problems == []


def test_a_version_in_a_condemned_pack_is_refused(
    registry: Registry, two: tuple[VersionRecord, VersionRecord]
) -> None:
    registry.metadata.delete("m/2")
    gc(registry, later_ms=HOUR_MS)
    with pytest.raises(Condemned, match="push again"):
        registry.control.register(draft_of(registry, two[1]), CHANGE)
    with embedded(registry).ledger.read() as txn:
        assert garbage.pushes(txn) == {}, "a registration that failed leaves no push behind"


def test_a_registration_that_nobody_announced_saw_objects_that_are_gone(
    registry: Registry, two: tuple[VersionRecord, VersionRecord]
) -> None:
    """It looks at the origin, gc deletes what it looked at, it commits."""
    ledger, draft = embedded(registry).ledger, draft_of(registry, two[1])
    hint = decode_hint(registry.origin.get(hint_key(digest(two[1])), bytes_max=limits.HINT_MAX))
    with ledger.read() as txn:
        seen = log.log_size(txn)
    manifest = registry.origin.get(manifest_key(draft.manifest), bytes_max=limits.MANIFEST_MAX)
    examined = Examined(
        Manifest.parse(manifest), "p", (), {place.pack for place in hint.values()}, seen
    )
    registry.metadata.delete("m/2")
    for hours in (1, 3):
        gc(registry, later_ms=hours * HOUR_MS)
    with ledger.read() as txn:
        assert garbage.condemned(txn) == {}, "and forgotten"
    with pytest.raises(Condemned, match="push again"):
        ledger.commit(lambda commit: register_version(commit, draft, examined, CHANGE))


def test_what_is_condemned_meanwhile_is_uploaded_anew(
    registry: Registry, two: tuple[VersionRecord, VersionRecord], tmp_path: Path
) -> None:
    """Version 2 goes, and its pack is condemned, while a push uses that pack again."""
    seen: list[str] = []

    def meanwhile(phase: str, done: int, total: int) -> None:
        if phase == "upload" and not seen:
            registry.metadata.delete("m/2")
            seen.append(f"{gc(registry, waits=RUTHLESS).packs_condemned} condemned")
            assert gc(registry, waits=RUTHLESS).packs_deleted == 0, "a push from before runs"

    report = registry.push(make_files(tmp_path / "c", [4, 5, 9]), "m", progress=meanwhile)
    assert seen == ["2 condemned"], "and that of the push, which ruthless gc does not spare"
    assert (report.version.number, report.created) == (3, True)
    assert gc(registry, waits=RUTHLESS).packs_deleted == 2
    assert verify(registry).problems == []
    kinds = [entry.type.value for entry in registry.history("m")]
    assert kinds.count("push.begun") == kinds.count("push.ended") == 4


def test_packs_that_are_needed_after_all_are_pardoned(
    registry: Registry, two: tuple[VersionRecord, VersionRecord]
) -> None:
    control = embedded(registry)
    there = {PackName.parse_hex(key[-64:]) for key in packs(registry)}
    control.ledger.commit(lambda commit: garbage.condemn(commit, there, CHANGE))
    report = gc(registry, later_ms=9 * HOUR_MS)
    assert (report.packs_pardoned, report.packs_deleted) == (2, 0)
    with control.ledger.read() as txn:
        assert garbage.condemned(txn) == {}


def test_what_nodes_hold_is_protected(
    registry: Registry, two: tuple[VersionRecord, VersionRecord]
) -> None:
    registry.metadata.delete("m/2")
    held = [digest(two[1])]
    report = gc(registry, later_ms=HOUR_MS, protected=held)
    assert (report.packs_condemned, report.documents_deleted) == (0, 0)
    gc(registry, later_ms=HOUR_MS)
    report = gc(registry, later_ms=3 * HOUR_MS, protected=held)
    assert (report.packs_pardoned, report.packs_deleted) == (1, 0), "held again by then"
    gone = [digest(two[1]), Digest(bytes(32))]
    registry.origin.delete(hint_key(gone[0]))
    gc(registry, later_ms=3 * HOUR_MS, protected=gone)


def test_retention_comes_first(registry: Registry, tmp_path: Path) -> None:
    for number in range(4):
        registry.push(make_files(tmp_path / str(number), [number]), "m")
    registry.promote("m@production", 2)
    registry.metadata.annotate_model("m", {"retention.keep_newest": 1})
    looked = registry.garbage.collect(dry_run=True)
    assert [(m.model, m.versions_deleted) for m in looked.models] == [("m", [3, 1])]
    assert [v.number for v in registry.versions("m")] == [4, 3, 2, 1], "a dry run changes nothing"
    report = gc(registry, later_ms=HOUR_MS)
    assert [(m.versions_deleted, m.packs_condemned) for m in report.models] == [([3, 1], 2)]
    assert [v.number for v in registry.versions("m")] == [4, 2]
    deleted = [e for e in registry.history("m") if e.type.value == "version.deleted"]
    assert {(e.actor, e.reason) for e in deleted} == {("gc", "retention: keep_newest=1")}


def test_a_dry_run_tells_what_goes_and_changes_nothing(
    registry: Registry, two: tuple[VersionRecord, VersionRecord]
) -> None:
    registry.metadata.annotate_model("m", {"retention.keep_newest": 1})
    before, entries = packs(registry) | documents(registry), registry.history("m")
    control = embedded(registry)
    looked = registry.garbage.collect(dry_run=True)
    assert looked.models[0].versions_deleted == [1]
    assert registry.history("m") == entries
    assert packs(registry) | documents(registry) == before
    with control.ledger.read() as txn:
        assert garbage.condemned(txn) == {}


def test_a_push_that_took_too_long_is_dead(
    registry: Registry, two: tuple[VersionRecord, VersionRecord]
) -> None:
    registry.metadata.delete("m/2")
    push = registry.control.garbage.begin_push(M, digest(two[1]), CHANGE)
    assert gc(registry, later_ms=23 * HOUR_MS).packs_condemned == 0, "as young as the push"
    assert gc(registry, later_ms=23 * HOUR_MS, waits=RUTHLESS).packs_condemned == 1
    waiting = gc(registry, later_ms=23 * HOUR_MS, waits=RUTHLESS)
    assert (waiting.packs_waiting, waiting.pushes_ended) == (1, 0), "the push may know of it"
    draft = draft_of(registry, two[1], push.id)
    done = gc(registry, later_ms=25 * HOUR_MS)
    assert (done.pushes_ended, done.packs_deleted, done.documents_deleted) == (1, 1, 1)
    with pytest.raises((Conflict, NotFound)):
        registry.control.register(draft, CHANGE)
    registry.control.garbage.end_push(M, push.id, CHANGE)


def test_documents_under_a_push_stay(
    registry: Registry, two: tuple[VersionRecord, VersionRecord]
) -> None:
    registry.metadata.delete("m/1")
    push = registry.control.garbage.begin_push(ModelName("n"), digest(two[0]), CHANGE)
    assert gc(registry, waits=RUTHLESS).documents_deleted == 0
    registry.control.garbage.end_push(ModelName("n"), push.id, CHANGE)
    assert gc(registry, waits=RUTHLESS).documents_deleted == 1


def test_a_push_waits_while_documents_of_the_same_files_go(
    registry: Registry, two: tuple[VersionRecord, VersionRecord], tmp_path: Path
) -> None:
    """A gc that was killed has left them condemned; the next one finishes its work."""
    registry.metadata.delete("m/1")
    control, left = embedded(registry), [digest(two[0])]

    def condemn(seen: int) -> list[Digest]:
        return control.ledger.commit(
            lambda commit: garbage.condemn_manifests(commit, left, seen, CHANGE)
        )

    assert condemn(0) == [], "a version was registered with them beyond that position"
    with control.ledger.read() as txn:
        size = log.log_size(txn)
    assert condemn(size) == left
    with pytest.raises(Condemned, match="in a moment"):
        control.garbage.begin_push(M, left[0], CHANGE)
    pushed: list[int] = []
    push = threading.Thread(
        target=lambda: pushed.append(registry.push(tmp_path / "a", "m").version.number)
    )
    push.start()
    assert gc(registry, waits=RUTHLESS).documents_deleted == 0, "these were finished first"
    push.join(30)
    assert pushed == [3]
    assert verify(registry).problems == []


def test_without_a_hint_nobody_knows_and_nothing_goes(
    registry: Registry, two: tuple[VersionRecord, VersionRecord]
) -> None:
    registry.metadata.delete("m/1")
    registry.origin.put(hint_key(digest(two[1])), b"{}")
    before = packs(registry) | documents(registry)
    with pytest.raises(IntegrityError, match="origin verify --repair"):
        gc(registry, waits=RUTHLESS)
    assert packs(registry) | documents(registry) == before


def test_what_is_not_ours_stays(registry: Registry) -> None:
    ours = {"packs/readme.txt", "packs/aa/" + "b" * 64, "manifests/aa/x.json"}
    for key in (*ours, "elsewhere/file"):
        registry.origin.put(key, b"x")
    gc(registry, waits=RUTHLESS)
    assert gc(registry, waits=RUTHLESS).models == []
    assert packs(registry) | documents(registry) == ours
    assert registry.origin.size("elsewhere/file") == 1


def test_one_run_at_a_time(registry: Registry) -> None:
    with embedded(registry).garbage.turn, pytest.raises(Conflict, match="running already"):
        gc(registry)
    gc(registry)


def test_a_run_can_be_stopped(registry: Registry, two: tuple[VersionRecord, VersionRecord]) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Conflict, match="asked to stop"):
        gc(registry, cancel=cancel)


def test_a_push_is_announced_once_under_one_key(registry: Registry) -> None:
    change = Change("a", "", "key-1", "0" * 64)
    begin = registry.control.garbage.begin_push
    first = begin(M, Digest(bytes(32)), change)
    assert begin(M, Digest(bytes(32)), change) == first
    assert begin(M, Digest(bytes(32)), CHANGE) != first
    registry.control.garbage.end_push(ModelName("other"), first.id, CHANGE)
    with embedded(registry).ledger.read() as txn:
        assert len(garbage.pushes(txn)) == 2, "ended under its own model only"


def test_a_pack_that_is_full_gets_another_name_too(registry: Registry, tmp_path: Path) -> None:
    """There is no room for one more chunk, so it becomes two packs."""
    files = tmp_path / "full"
    files.mkdir()
    chunks = limits.PACK_MAX // limits.CHUNK_SMALL
    content = limits.PACK_MAX - len(pack_trailer([])) - chunks * 36 - 10
    (files / "w.bin").write_bytes(os.urandom(content))
    registry.push(files, "m")
    (full,) = packs(registry)
    registry.metadata.delete("m/1")
    gc(registry, later_ms=HOUR_MS)
    registry.push(files, "m")
    assert len(packs(registry) - {full}) == 2
    assert verify(registry).problems == []
