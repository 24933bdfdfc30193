"""How much a transfer brings in each window of time. Pure."""

from __future__ import annotations


class ProgressWindow:
    """Windows of so many `seconds`, from `now_s` on."""

    def __init__(self, seconds: float, now_s: float) -> None:
        self.seconds = seconds
        self._began_s = now_s
        self._filled = 0

    def held_up(self, seconds: float) -> None:
        """For so long this side took nothing."""
        self._began_s += seconds

    def ended(self, now_s: float) -> bool:
        """`brought` would tell."""
        return now_s - self._began_s > self.seconds

    def brought(self, now_s: float, filled: int) -> int | None:
        """How many of the bytes that are there by now came within the window that has just ended;
        None while it goes on."""
        if not self.ended(now_s):
            return None
        brought = filled - self._filled
        self._began_s, self._filled = now_s, filled
        return brought
