"""How long others may show no progress: learned from what this node waits for itself."""

from __future__ import annotations

from cachd.fetch.patience import Patience
from cachd.fetch.settings import FetchSettings

SETTINGS = FetchSettings(claim_timeout_s=5.0, stall_timeout_s=60.0)


def test_on_a_fast_link_it_is_the_least() -> None:
    patience = Patience(SETTINGS)
    assert patience.seconds(0.0) == 5.0
    for _ in range(20):
        patience.took(0.2)
    assert patience.seconds(0.1) == 5.0


def test_who_waits_long_itself_lets_others_wait() -> None:
    patience = Patience(SETTINGS)
    assert patience.seconds(4.0) == 8.0, "by the first chunk, which is still under way"
    for _ in range(40):
        patience.took(5.0)
    assert 10.0 < patience.seconds(0.0) < 12.0


def test_it_has_an_end() -> None:
    assert Patience(SETTINGS).seconds(1_000.0) == 30.0
