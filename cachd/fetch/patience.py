"""How long others may show no progress before a node does their part: learned. Pure.

Who waits for the origin has nothing to show meanwhile, and where many nodes share a slow link to it
a chunk takes each of them long. What a node's own chunks take from there, and the one under way has
taken already, tells how long that is; taking over too early makes a chunk enter the region twice,
and being pushed to all twice.
"""

from __future__ import annotations

from cachd.fetch.settings import FetchSettings
from cachd.peer.usual import UsualTime

_FACTOR = 2.0


class Patience:
    """From the settings' `claim_timeout_s` to their `patience_s_max`."""

    def __init__(self, settings: FetchSettings) -> None:
        self._least_s = settings.claim_timeout_s
        self._most_s = settings.patience_s_max
        self._from_origin = UsualTime()

    def took(self, seconds: float) -> None:
        """A chunk came from the origin."""
        self._from_origin.took(seconds)

    def seconds(self, waiting_s: float) -> float:
        """`waiting_s`: for so long the origin has been asked for a chunk that has not come."""
        usual_s = max(self._from_origin.most_s or 0.0, waiting_s)
        return min(self._most_s, max(self._least_s, _FACTOR * usual_s))
