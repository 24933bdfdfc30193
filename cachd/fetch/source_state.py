"""What the coordinator of a fetch knows of each source."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cachd.fetch.view import PeerState
from cachd.peer.bitmaps import Mask, Numbers
from cachd.peer.directory import PeerAddress


@dataclass(slots=True)
class SourceState:
    """What is known of the origin, the local cache, or a peer.

    `failures`: in a row. `refusals`: chunks that were damaged or not there, in all. `banned`: why
    it is not used any more in this fetch.
    """

    failures: int = 0
    refusals: int = 0
    busy: int = 0
    retry_at_s: float = 0.0
    banned: str = ""
    last_error: str = ""
    in_flight: int = 0
    bytes_given: int = 0


@dataclass(slots=True)
class PeerSourceState(SourceState):
    address: PeerAddress = field(kw_only=True)
    held: Mask = field(kw_only=True)
    state: PeerState = PeerState.UNKNOWN
    incarnation: int = 0
    claimed: Numbers = field(default_factory=lambda: np.zeros(0, np.intp))
    progressed_s: float = 0.0
    following: bool = False
    follow_at_s: float = 0.0
    follow_failures: int = 0

    @property
    def failing(self) -> bool:
        return self.failures > 0 or self.silent

    @property
    def silent(self) -> bool:
        """Whether it cannot be followed."""
        return self.follow_failures > 0

    def usable(self, failures_max: int) -> bool:
        """Neither banned nor given up."""
        return not self.banned and max(self.failures, self.follow_failures) < failures_max
