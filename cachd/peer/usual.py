"""How long something usually takes, learned as TCP learns how long an answer takes. Pure.

Smoothed mean and mean deviation (Jacobson, "Congestion Avoidance and Control", 1988; RFC 6298):
what takes longer than the mean and four deviations is unusual.
"""

from __future__ import annotations

_MEAN_GAIN, _DEVIATION_GAIN, _DEVIATIONS = 1 / 8, 1 / 4, 4


class UsualTime:
    """`most_s`: as long as it may take and be nothing unusual; None before it was seen once."""

    def __init__(self) -> None:
        self._mean_s = self._deviation_s = 0.0
        self.most_s: float | None = None

    def took(self, seconds: float) -> None:
        if self.most_s is None:
            self._mean_s, self._deviation_s = seconds, seconds / 2
        else:
            off_s = abs(seconds - self._mean_s)
            self._deviation_s += _DEVIATION_GAIN * (off_s - self._deviation_s)
            self._mean_s += _MEAN_GAIN * (seconds - self._mean_s)
        self.most_s = self._mean_s + _DEVIATIONS * self._deviation_s
