"""Why versions are in memory, by what stages want, workers hold and people asked for."""

from __future__ import annotations

import pytest

from cachd.memory.standing import Standing
from cachd.node.desired import DesiredStage
from cachd.node.standings import standings
from cachd.serve.resident import Holding
from registry_core.domain.identifiers import Digest, StageRef
from registry_core.ledger.records import VersionRecord

ONE, TWO, THREE = (Digest.of(b"%d" % n) for n in (1, 2, 3))


def version(digest: Digest) -> VersionRecord:
    return VersionRecord(
        model="m", number=1, digest=str(digest), bytes=1, files=1, chunk_bytes=1, bundle="",
        publisher="", tags={}, notes="", created_ms=0, actor="", sequence=1,
    )  # fmt: skip


def stage(serve: Digest, keep: Digest | None = None, split: int = 0) -> DesiredStage:
    kept = version(keep) if keep else None
    return DesiredStage(StageRef.parse("m@production"), 0, 1, 0, version(serve), kept, split)


@pytest.mark.parametrize(
    ("holding", "young", "split", "standing"),
    [
        ("kept", False, 0, Standing.ROLLBACK),
        (None, True, 0, Standing.ROLLBACK),
        (None, False, 0, Standing.WARM),
        ("leased", False, 0, Standing.LEASED),
        ("in force", False, 0, Standing.NEEDED),
        (None, False, 250, Standing.NEEDED),
    ],
)
def test_the_other_version_of_a_move(
    holding: Holding | None, young: bool, split: int, standing: Standing
) -> None:
    held = {str(TWO): holding} if holding else {}
    found = standings(
        [stage(ONE, TWO, split)], held, prefetched=(), pinned=(), young=lambda _: young
    )
    assert found == {ONE: Standing.NEEDED, TWO: standing}


def test_what_no_stage_names() -> None:
    found = standings(
        [stage(ONE)], {str(TWO): "kept"}, prefetched={TWO, THREE}, pinned=(), young=lambda _: False
    )
    assert found == {
        ONE: Standing.NEEDED, TWO: Standing.GRACE, THREE: Standing.PREFETCHED,
    }  # fmt: skip
    pinned = standings([], {}, prefetched={ONE}, pinned={ONE}, young=lambda _: False)
    assert pinned == {ONE: Standing.NEEDED}
