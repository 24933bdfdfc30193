"""Moves that need several people: who counts, what voids, and that nodes judge it again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry_core.domain.entry import EntryType, LogRecord
from registry_core.domain.evidence import Bounds, Evidence
from registry_core.domain.identifiers import ModelName
from registry_core.embedded.control import EmbeddedControl
from registry_core.errors import (
    Conflict,
    EvidenceMissing,
    IntegrityError,
    InvalidInput,
    NotFound,
    RegistryError,
    Stale,
    Unauthorized,
)
from registry_core.ledger import log, queries
from registry_core.ledger.change import Change
from registry_core.ledger.check import check_ledger
from registry_core.ledger.draft import Draft
from registry_core.ledger.memory_store import MemoryStore
from registry_core.registry import Registry
from registry_core.trust.dsse import Envelope
from tests.approvals.people import People, types
from tests.models import make_model

PRODUCTION = "m@production"


@pytest.fixture
def people(registry: Registry, tmp_path: Path) -> Iterator[People]:
    """Ann promotes; Bob and Cid approve; Dan does both."""
    for number in (1, 2, 3):
        registry.push(make_model(tmp_path / f"v{number}", tensors=1, seed=number), "m")
    registry.promote(PRODUCTION, 1)
    made = People(registry, tmp_path)
    made.add("ann", "promoter")
    made.add("bob", "approver")
    made.add("cid", "approver")
    made.add("dan", "promoter", "approver")
    made.rule()
    yield made
    with control_of(registry).ledger.read() as txn:
        assert check_ledger(txn).problems == []


def control_of(registry: Registry) -> EmbeddedControl:
    control = registry.control
    assert isinstance(control, EmbeddedControl)
    return control


def test_one_proposes_and_another_approves(people: People, registry: Registry) -> None:
    with pytest.raises(Unauthorized, match="1 approval.*cachctl propose"):
        people.as_person("ann").promote(PRODUCTION, 2)
    proposed = people.as_person("ann").approvals.propose(PRODUCTION, 2, reason="better")
    assert (proposed.stage, "approval(s) by the role approver" in proposed.lacking) == (None, True)
    assert registry.resolve(PRODUCTION).version.number == 1
    assert [one.id for one in people.as_person("bob").approvals.open(mine=True)] == [
        proposed.proposal
    ]
    assert people.as_person("ann").approvals.open(mine=True) == []
    approved = people.as_person("bob").approvals.approve(PRODUCTION, reason="looked at it")
    assert (approved.lacking, approved.stage and approved.stage.generation) == ("", 2)
    assert registry.resolve(PRODUCTION).version.number == 2
    assert registry.approvals.open() == []
    assert types(registry.history("m", newest=3)) == [
        "stage.moved", "move.approved", "move.proposed",
    ]  # fmt: skip
    registry.rollback(PRODUCTION)
    assert registry.resolve(PRODUCTION).version.number == 1, "a rollback needs nobody's signature"


def test_an_author_does_not_approve(people: People) -> None:
    people.as_person("dan").approvals.propose(PRODUCTION, 2)
    assert people.as_person("dan").approvals.open(mine=True) == []
    with pytest.raises(Unauthorized, match="somebody else"):
        people.as_person("dan").approvals.approve(PRODUCTION)
    under_another_name = Registry(
        people.as_person("dan").control, people.as_person("dan").origin,
        people.as_person("dan").approvals._keys, "danny",
    )  # fmt: skip
    with pytest.raises(RegistryError, match="not.*count|twice"):
        under_another_name.approvals.approve(PRODUCTION)
    assert people.as_person("bob").approvals.approve(PRODUCTION).stage is not None


def test_two_approvers_are_two_people(people: People) -> None:
    people.rule(approvals=2)
    people.as_person("ann").approvals.propose(PRODUCTION, 2)
    first = people.as_person("bob").approvals.approve(PRODUCTION)
    assert "and has 1" in first.lacking
    with pytest.raises(Unauthorized, match="does not count"):
        people.as_person("bob").approvals.approve(PRODUCTION)
    assert people.as_person("cid").approvals.approve(PRODUCTION).stage is not None


def test_who_is_not_in_the_policy_counts_for_nothing(people: People, tmp_path: Path) -> None:
    people.add("eve", "approver", "promoter")
    with pytest.raises(Unauthorized, match="signed by one key of the role promoter"):
        people.as_person("eve").approvals.propose(PRODUCTION, 2)
    people.as_person("ann").approvals.propose(PRODUCTION, 2)
    with pytest.raises(Unauthorized, match="does not count"):
        people.as_person("eve").approvals.approve(PRODUCTION)
    (tmp_path / "nobody").mkdir()
    with pytest.raises(NotFound, match="cachctl key new approver"):
        people.as_person("nobody").approvals.approve(PRODUCTION)


@pytest.mark.parametrize("drift", ["move", "rollback", "rollback and back", "policy", "rejection"])
def test_any_drift_voids_a_proposal(people: People, registry: Registry, drift: str) -> None:
    people.as_person("ann").approvals.propose(PRODUCTION, 2)
    people.as_person("bob").approvals.approve(PRODUCTION)
    people.as_person("ann").approvals.propose(PRODUCTION, 3)
    if drift == "move":
        people.as_person("dan").approvals.propose(PRODUCTION, 1)
        mine = [one for one in registry.approvals.open() if one.version.number == 1]
        people.as_person("cid").approvals.approve(PRODUCTION, mine[0].id)
    elif drift == "policy":
        people.rule(approvals=2)
    elif drift == "rejection":
        with pytest.raises(InvalidInput, match="why"):
            people.as_person("bob").approvals.reject(PRODUCTION, reason="")
        people.as_person("bob").approvals.reject(PRODUCTION, reason="worse on Mondays")
    else:
        registry.rollback(PRODUCTION)
        if drift == "rollback and back":
            registry.rollback(PRODUCTION)
    assert registry.approvals.open() == []
    with pytest.raises(NotFound, match="nothing is proposed"):
        people.as_person("cid").approvals.approve(PRODUCTION)


def test_a_proposal_for_a_state_that_is_gone_is_refused(people: People) -> None:
    late = people.as_person("ann").approvals._next_move(PRODUCTION, 2)
    people.as_person("dan").approvals.propose(PRODUCTION, 3)
    people.as_person("bob").approvals.approve(PRODUCTION)
    ann = people.as_person("ann").approvals
    from registry_core.trust.move import sign_move

    with pytest.raises(Stale):
        ann._control.propose(sign_move(late, ann._keys.get("promoter")), Change("ann", "", ""))


def test_several_proposals_are_told_apart(people: People) -> None:
    ann = people.as_person("ann").approvals
    ann.propose(PRODUCTION, 2)
    with pytest.raises(Conflict, match="proposed already"):
        people.as_person("dan").approvals.propose(PRODUCTION, 2)
    three = ann.propose(PRODUCTION, 3)
    with pytest.raises(Conflict, match="several moves are proposed"):
        people.as_person("bob").approvals.approve(PRODUCTION)
    made = people.as_person("bob").approvals.approve(PRODUCTION, three.proposal)
    assert made.stage is not None
    assert made.stage.version.number == 3


def test_evidence(people: People, registry: Registry) -> None:
    people.rule(evidence=Evidence({"auc": Bounds("0.9", None)}))
    ann, bob = people.as_person("ann").approvals, people.as_person("bob").approvals
    with pytest.raises(EvidenceMissing, match="the metric auc, which it lacks"):
        ann.propose(PRODUCTION, 2)
    registry.metadata.annotate("m/2", {"metrics.auc": 0.89})
    with pytest.raises(EvidenceMissing, match=r"auc of at least 0\.9, and has 0\.89"):
        ann.propose(PRODUCTION, 2)
    registry.metadata.annotate("m/2", {"metrics.auc": 0.95})
    ann.propose(PRODUCTION, 2)
    registry.metadata.annotate("m/2", {"metrics.auc": 0.5})
    with pytest.raises(EvidenceMissing):
        bob.approve(PRODUCTION)
    registry.metadata.annotate("m/2", {"metrics.auc": 0.9})
    assert bob.approve(PRODUCTION).stage is not None


def test_pickles_are_refused_unless_the_policy_allows_them(
    people: People, registry: Registry, tmp_path: Path
) -> None:
    import pickle

    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "weights").write_bytes(pickle.dumps({"weights": [1.0] * 400}))
    registry.push(tmp_path / "p", "m")
    assert registry.version(ModelName("m"), 4).formats == ["pickle"]
    with pytest.raises(EvidenceMissing, match="allowed file formats only, and has pickle"):
        people.as_person("ann").approvals.propose(PRODUCTION, 4)
    with pytest.raises(EvidenceMissing):
        registry.promote("m@staging", 4)
    people.rule(evidence=Evidence({}, ("pickle", "json")))
    people.as_person("ann").approvals.propose(PRODUCTION, 4)


def test_racing_approvers_complete_it_once(people: People, registry: Registry) -> None:
    people.as_person("ann").approvals.propose(PRODUCTION, 2)
    barrier = threading.Barrier(2)

    def approve(name: str) -> bool:
        approvals = people.as_person(name).approvals
        barrier.wait(10)
        try:
            return approvals.approve(PRODUCTION).stage is not None
        except RegistryError:
            return False

    with ThreadPoolExecutor(2) as threads:
        ended = list(threads.map(approve, ("bob", "cid")))
    assert sorted(ended) == [False, True]
    assert registry.resolve(PRODUCTION).stage is not None
    moves = [e for e in registry.history("m") if e.type is EntryType.STAGE_MOVED]
    assert len(moves) == 2


def test_the_same_approval_again_is_answered_and_counts_once(people: People) -> None:
    people.rule(approvals=2)
    ann, bob = people.as_person("ann").approvals, people.as_person("bob").approvals
    move = ann._next_move(PRODUCTION, 2)
    from registry_core.trust.move import sign_move

    keyed = Change("ann", "", "propose-1", "a" * 64)
    envelope = sign_move(move, ann._keys.get("promoter"))
    first = ann._control.propose(envelope, keyed)
    assert ann._control.propose(envelope, keyed).proposal == first.proposal
    added = Envelope(envelope.payload_type, envelope.payload, ()).with_signature(
        bob._keys.get("approver")
    )
    again = Change("bob", "", "approve-1", "b" * 64)
    for _ in range(2):
        made = bob._control.approve(move.model, move.stage, first.proposal, added, again)
        assert made.stage is None


def test_a_node_judges_it_again(people: People, registry: Registry) -> None:
    """An authority that leaves the approval out of its log convinces nobody who replays it."""
    people.as_person("ann").approvals.propose(PRODUCTION, 2)
    people.as_person("bob").approvals.approve(PRODUCTION)
    control = control_of(registry)
    replica = MemoryStore()
    with control.ledger.read() as txn, replica.write() as copy:
        records = list(queries.log_records(txn, 0))
        for record in records[:-1]:
            log.append(copy, control.root(), record, record.entry())
        last = records[-1].entry()
        assert last.type is EntryType.STAGE_MOVED
        signed = Envelope.from_json(last.after["envelope"])
        bare = Envelope(signed.payload_type, signed.payload, signed.signatures[:1])
        forged = type(last)(
            last.sequence, last.time_ms, last.actor, last.type, last.subject, last.before,
            last.after | {"envelope": bare.to_json()}, last.reason, last.request_id,
        )  # fmt: skip
        record = LogRecord.seal(forged, records[-1].tag, bytes(32))
        with pytest.raises(Unauthorized, match="1 approval"):
            log.append(copy, control.root(), record, forged)


def test_an_entry_that_was_made_up_is_refused(people: People, registry: Registry) -> None:
    """A rejection, an approval and a proposal that do not follow from the tables."""
    people.as_person("ann").approvals.propose(PRODUCTION, 2)
    control = control_of(registry)
    subject = "model/m/stage/production"

    def made_up(kind: EntryType, after: object) -> None:
        def work(commit: Draft) -> None:
            tag = bytes.fromhex(queries.model(commit.txn, ModelName("m")).tag)
            commit.append(kind, subject, tag=tag, before=None, after=after,
                          change=Change("eve", "", ""))  # fmt: skip

        control.ledger.commit(work)

    proposal = registry.approvals.open()[0]
    envelope = Envelope.parse(proposal.envelope.encode())
    for kind, after in (
        (EntryType.MOVE_REJECTED, {"proposal": "0" * 16}),
        (EntryType.MOVE_APPROVED, {"proposal": proposal.id, "envelope": envelope.to_json()}),
        (EntryType.MOVE_PROPOSED, {"proposal": "0" * 16, "envelope": envelope.to_json()}),
        (EntryType.MOVE_PROPOSED, {"proposal": proposal.id, "envelope": envelope.to_json()}),
        (EntryType.MOVE_APPROVED, {"proposal": proposal.id}),
        (EntryType.VERSION_DELETED, None),
    ):
        with pytest.raises((IntegrityError, NotFound, InvalidInput)):
            made_up(kind, after)
    assert [one.id for one in registry.approvals.open()] == [proposal.id]


def test_the_split_that_was_proposed_comes_with_the_move(
    people: People, registry: Registry
) -> None:
    proposed = people.as_person("ann").approvals.propose(PRODUCTION, 2, split=5)
    assert proposed.stage is None
    assert registry.approvals.open()[0].split == 50
    approved = people.as_person("bob").approvals.approve(PRODUCTION)
    assert approved.stage is not None
    assert (str(approved.stage.guard), approved.stage.split) == ("2.1", 50)
    assert approved.stage.in_force.number == 1
