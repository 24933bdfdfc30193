"""Windows of a transfer."""

from __future__ import annotations

from cachd.peer.progress_window import ProgressWindow


def test_each_window_counts_what_came_within_it() -> None:
    window = ProgressWindow(5.0, 100.0)
    assert window.brought(105.0, 700) is None, "it goes on"
    assert window.brought(105.1, 700) == 700
    assert window.brought(110.0, 900) is None
    assert window.brought(110.2, 900) == 200


def test_time_that_this_side_took_does_not_count() -> None:
    window = ProgressWindow(5.0, 100.0)
    window.held_up(3.0)
    assert window.brought(107.9, 10) is None
    assert window.brought(108.1, 10) == 10
