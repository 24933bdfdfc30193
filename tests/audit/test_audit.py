"""The past as the log tells it, against a diary that was kept meanwhile."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from registry_core.control.audit import AuditControl
from registry_core.domain import limits
from registry_core.domain.identifiers import ModelName
from registry_core.domain.past import AuditQuery, ServedThen
from registry_core.errors import NotFound, RegistryError
from registry_core.home import clock_ms
from registry_core.ledger import queries
from registry_core.registry import Registry
from tests.approvals.people import People
from tests.garbage.rig import embedded
from tests.models import make_model


@dataclass
class Diary:
    """What every stage meant after each change, by its time."""

    registry: Registry
    pages: list[tuple[int, dict[str, tuple[object, ...]]]] = field(default_factory=list)

    def note(self) -> None:
        """Write down how things are, in a millisecond of its own."""
        now = {}
        for model in self.registry.models():
            for stage in self.registry.stages(model.name):
                version = self.registry.resolve(f"{model.name}@{stage.stage}").version
                now[f"{model.name}@{stage.stage}"] = (
                    version.number, version.digest, stage.generation, stage.choice,
                )  # fmt: skip
        at = clock_ms()
        self.pages.append((at, now))
        while clock_ms() <= at:
            pass


def shown(served: ServedThen) -> tuple[str, tuple[object, ...]]:
    return f"{served.model}@{served.stage}", (
        served.number, served.digest, served.generation, served.choice,
    )  # fmt: skip


def test_it_answers_as_a_diary_would(registry: Registry, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    for model in ("a", "b"):
        for number in range(3):
            registry.push(make_model(tmp_path / f"{model}{number}", tensors=1, seed=number), model)
    diary = Diary(registry)
    for _ in range(60):
        ref = f"{rng.choice('ab')}@{rng.choice(['staging', 'production', 'canary'])}"
        try:
            if rng.random() < 0.7:
                registry.promote(ref, rng.randint(1, 3), reason="script")
            else:
                registry.rollback(ref)
        except RegistryError:
            continue
        diary.note()
    for at, expected in diary.pages:
        assert dict(shown(one) for one in registry.audit.at(at)) == expected
        for ref, state in expected.items():
            (one,) = registry.audit.at(at, ref)
            assert shown(one) == (ref, state)
    assert list(registry.audit.at(0)) == []
    last = dict(shown(one) for one in registry.audit.at(limits.INTEGER_MAX, "a"))
    assert last == {ref: s for ref, s in diary.pages[-1][1].items() if ref.startswith("a@")}


def test_who_approved_it_and_on_what_evidence(registry: Registry, tmp_path: Path) -> None:
    for number in (1, 2):
        registry.push(
            make_model(tmp_path / f"v{number}", tensors=1, seed=number), "m",
            fields={"metrics.auc": f"0.{90 + number}", "lineage.git_commit": f"c{number}"},
        )  # fmt: skip
    people = People(registry, tmp_path)
    ann, bob = people.add("ann", "promoter"), people.add("bob", "approver")
    people.rule()
    people.as_person("ann").approvals.propose("m@production", 2, reason="better recall")
    people.as_person("bob").approvals.approve("m@production", reason="looked at it")
    diary = Diary(registry)
    diary.note()
    at = diary.pages[0][0]
    registry.metadata.annotate("m/2", {"metrics.auc": 0.1, "tags.bad": "yes"}, reason="was wrong")
    people.add("eve", "approver")
    people.rule(approvals=2)  # another policy, by which bob alone would not do
    (then,) = registry.audit.at(at, "m@production")
    move = then.move
    assert move.proposed is not None
    assert (move.proposed.actor, move.proposed.reason) == ("ann", "better recall")
    assert [(one.actor, one.reason) for one in move.approved] == [("bob", "looked at it")]
    assert [(one.role, one.key) for one in move.signers] == [
        ("promoter", ann.key_id), ("approver", bob.key_id),
    ]  # fmt: skip
    assert (then.evidence.metrics, then.evidence.lineage) == (
        {"auc": "0.92"}, {"git_commit": "c2"},
    )  # fmt: skip
    formats = registry.resolve("m/2").version.formats
    assert (then.evidence.tags, list(then.evidence.formats)) == ({}, list(formats))
    assert then.in_force.sequence == move.committed.sequence


def test_after_a_rollback_the_version_before_served(registry: Registry, tmp_path: Path) -> None:
    for number in (1, 2):
        registry.push(
            make_model(tmp_path / f"v{number}", tensors=1, seed=number), "m",
            fields={"metrics.auc": f"0.{90 + number}"},
        )  # fmt: skip
    registry.promote("m@production", 1)
    registry.promote("m@production", 2)
    registry.rollback("m@production", reason="errors")
    (now,) = registry.audit.at(limits.INTEGER_MAX, "m@production")
    assert (now.number, now.generation, now.choice) == (1, 2, 1)
    assert (now.in_force.reason, now.evidence.metrics) == ("errors", {"auc": "0.91"})
    assert now.move.committed.sequence == now.in_force.sequence - 1


def everything(control: AuditControl, query: AuditQuery, limit: int) -> list[int]:
    """Sequences, page by page."""
    found, after = [], 0
    while True:
        page = control.entries(query, after, limit)
        assert len(page.entries) <= limit
        found += [entry.sequence for entry in page.entries]
        if not page.next:
            return found
        assert page.next > after
        after = page.next


@pytest.mark.parametrize("steps_max", [3, limits.AUDIT_STEPS_MAX])
def test_filters(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps_max: int
) -> None:
    monkeypatch.setattr(limits, "AUDIT_STEPS_MAX", steps_max)
    for model in ("a", "b"):
        registry.push(make_model(tmp_path / model, tensors=1), model)
        registry.promote(f"{model}@production", 1)
        registry.metadata.annotate_model(model, {"notes": "x"})
    control = embedded(registry)
    with control.ledger.read() as txn:
        entries = [record.entry() for record in queries.log_records(txn, 0)]
    middle = entries[len(entries) // 2].time_ms
    for query in (
        AuditQuery(),
        AuditQuery(actor="tester"),
        AuditQuery(actor="test*"),
        AuditQuery(actor="test"),
        AuditQuery(kind="stage"),
        AuditQuery(kind="model.", since_ms=middle),
        AuditQuery(until_ms=middle),
        AuditQuery(since_ms=middle, until_ms=middle),
        AuditQuery(since_ms=limits.INTEGER_MAX),
    ):
        expected = [entry.sequence for entry in entries if query.wants(entry)]
        for limit in (1, 4, 1000):
            assert everything(control.audit, query, limit) == expected, query
    of_a = AuditQuery(model=ModelName("a"))
    expected = [entry.sequence for entry in entries if entry.subject.startswith("model/a")]
    assert everything(control.audit, of_a, 2) == expected
    with pytest.raises(NotFound):
        control.audit.entries(AuditQuery(model=ModelName("none")), 0, 10)


def test_models_page_by_page(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUDIT_MODELS_PER_PAGE", 2)
    files, names = make_model(tmp_path / "v", tensors=1), [f"m{number}" for number in range(5)]
    for name in names:
        registry.push(files, name)
        registry.promote(f"{name}@staging", 1)
    assert [one.model for one in registry.audit.at(limits.INTEGER_MAX)] == names
    page = embedded(registry).audit.served_at(limits.INTEGER_MAX, None, None, "m2")
    assert ([one.model for one in page.stages], page.next) == (["m3", "m4"], "m4")
