"""Daemons at rest cost next to nothing: the bench says how much, this says that it stays small."""

from __future__ import annotations

import pytest

from bench import idle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def test_daemons_at_rest(capsys: pytest.CaptureFixture[str]) -> None:
    """The bar is 1 % and 120 MB; five times the first, because a busy machine counts our time
    coarsely."""
    cost = idle.run(["--seconds", "5"])
    with capsys.disabled():
        print(f"\nat rest: {cost}")
    for daemon in ("authority", "node"):
        assert cost[f"{daemon}_cpu_percent"] < 5, cost
        assert cost[f"{daemon}_rss_mb"] < 120, cost
