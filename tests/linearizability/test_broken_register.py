"""The histories can fail: a register whose check and change are two steps is found out soon."""

from __future__ import annotations

import random

import pytest

from registry_core.domain.identifiers import Digest, ModelName, StageName
from registry_core.domain.move import VersionPoint
from registry_core.trust.keys import SigningKey
from tests.linearizability.checker import Violation, check_history
from tests.linearizability.histories import PROMOTERS, race
from tests.linearizability.promoters import Material
from tests.linearizability.stages_in_memory import StagesInMemory

HISTORIES = 10


@pytest.fixture(scope="module")
def material() -> Material:
    versions = {
        number: VersionPoint(number, Digest(bytes([number]) * 32)) for number in range(1, 6)
    }
    return Material(
        "ab" * 16, Digest(bytes(32)), ModelName("m"), versions, SigningKey.generate_p256()
    )


def violations(material: Material, rng: random.Random, *, atomic: bool) -> list[Violation]:
    """What the checker finds in one history of racing promoters."""
    stages = StagesInMemory(atomic=atomic)
    history = race([(stages, stages)] * PROMOTERS, material, [StageName("s")], rng)
    verdicts = check_history(history.operations).values()
    return [verdict for verdict in verdicts if isinstance(verdict, Violation)]


def test_a_register_that_checks_and_then_changes_is_caught(material: Material, seed: int) -> None:
    rng = random.Random(seed)
    found = next(filter(None, (violations(material, rng, atomic=False) for _ in range(HISTORIES))))
    print(found[0])
    assert "no order explains this answer" in str(found[0])


def test_the_same_register_in_one_step_passes(material: Material, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(HISTORIES):
        assert violations(material, rng, atomic=True) == []
