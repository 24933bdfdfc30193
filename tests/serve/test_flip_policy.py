from __future__ import annotations

import pytest

from cachd.serve.flip_policy import Verdict, Workers, decide


@pytest.mark.parametrize(
    ("workers", "was_in_force", "had_workers", "overdue", "verdict"),
    [
        (Workers(0, 0, 0), False, False, False, "flip"),  # nobody to wait for
        (Workers(0, 0, 0), False, True, False, "wait"),  # they died over it
        (Workers(0, 0, 0), False, True, True, "flip"),
        (Workers(4, 4, 0), False, True, False, "flip"),
        (Workers(4, 3, 0), False, True, False, "wait"),
        (Workers(4, 1, 0), False, True, True, "flip"),  # slow ones no longer hold it back
        (Workers(4, 0, 0), False, True, True, "wait"),  # nobody has loaded it
        (Workers(4, 3, 1), False, True, False, "load-failed"),
        (Workers(4, 3, 1), False, True, True, "load-failed"),
        (Workers(4, 0, 1), True, True, False, "flip"),  # rollback waits for nobody
        (Workers(4, 0, 0), True, True, False, "flip"),
    ],
)
def test_decide(
    workers: Workers, was_in_force: bool, had_workers: bool, overdue: bool, verdict: Verdict
) -> None:
    found = decide(workers, was_in_force=was_in_force, had_workers=had_workers, overdue=overdue)
    assert found == verdict
