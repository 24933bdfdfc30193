"""Recorded histories are linearizable per stage, kills and all, and the log says the same."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachctl.target import Settings
from cachctl.verification import verify_embedded
from cachd.control.remote import connect
from registry_core.push.progress import silent
from registry_core.trust.keys import Keyring
from tests.linearizability.checker import Violation, check_history
from tests.linearizability.histories import History, Recording
from tests.linearizability.homes import HOMES, MODEL, fill
from tests.linearizability.killed_authority import KilledAuthority
from tests.linearizability.log_check import check_against_log
from tests.linearizability.promoters import Material
from tests.linearizability.stage_register import Read

HISTORIES = int(os.environ.get("CACHD_HISTORIES") or 24)
BATCHES = max(1, HISTORIES // 50)


@pytest.fixture(params=sorted(HOMES))
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Recording]:
    """On a registry over each backend; afterwards it must be sound from end to end."""
    with HOMES[request.param](tmp_path) as home:
        fill(home, tmp_path)
        with KilledAuthority(home, tmp_path / "authority.log") as authority:
            with connect(authority.url, Keyring(home / "keys"), "tester") as registry:
                material = Material.of(registry, MODEL, Keyring(home / "keys"))
            yield Recording(authority, material)
        settings = Settings(registry=str(home))
        assert verify_embedded(settings, deep=True, progress=silent).problems == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_histories_are_linearizable(recording: Recording, batch: int, seed: int) -> None:
    told: Counter[str] = Counter()
    for number in range(HISTORIES // BATCHES):
        rng = random.Random(f"{seed} {batch} {number}")
        history = recording.record(f"history-{number}", rng)
        assert problems(history) == [], f"history {number}"
        told.update(outcomes(history))
    print(dict(told))
    for outcome in ("Is", "Stale", "Conflict", "Unknown", "Unknown, and made"):
        assert told[outcome] > HISTORIES // BATCHES // 16, f"hardly ever {outcome}"


def problems(history: History) -> list[str]:
    """By the search and by the log."""
    verdicts = check_history(history.operations).values()
    found = [str(verdict) for verdict in verdicts if isinstance(verdict, Violation)]
    for stage in history.stages:
        upon = [one for one in history.operations if one.stage == stage.text]
        found += check_against_log(upon, history.logged[stage.text])
    return found


def outcomes(history: History) -> Iterator[str]:
    """What became of each change."""
    made = {change.request for logged in history.logged.values() for change in logged}
    for operation in history.operations:
        if not isinstance(operation.asked, Read):
            late = not operation.known and operation.request in made
            yield type(operation.answer).__name__ + (", and made" if late else "")
