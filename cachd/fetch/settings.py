"""Times and counts that a fetch goes by. Bounds on what it holds are in cachd.limits."""

from __future__ import annotations

from dataclasses import dataclass

from cachd import limits
from cachd.cache.niceness import BULK_NICENESS


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """Seconds, unless the name says otherwise. The defaults suit a LAN."""

    threads: int = limits.FETCH_THREADS
    crowd_threads: int = limits.CROWD_FETCH_THREADS
    """The same where chunks are asked for rather than pushed: as many as a node gives at once."""
    store_threads: int = limits.FETCH_THREADS_MAX
    """How many of them copy, hash and write at once; the others wait for bytes from elsewhere."""
    niceness: int = BULK_NICENESS
    """Workers serving requests on this host go first."""
    progress_s: float = 0.5
    """Between two calls of `on_progress`: what it wakes goes before the workers of a host."""
    peers_refresh_s: float = 1.0
    first_contact_s: float = 0.3
    """Before it asks the origin, a node waits for each peer's first answer, for this long after the
    last one that came."""
    first_contact_s_max: float = 1.0
    """But no longer than this, also where none came: a node that takes the silence of peers that
    begin as it does for absence claims what they claim too."""
    expected_s: float = 0.5
    """A peer that answers but does not know the version yet is taken to begin within this time,
    because a fleet is told of a version at about the same moment."""
    claim_timeout_s: float = 5.0
    """A node that made no progress for this long is not waited for any more; longer where chunks
    take long to come from the origin, as many share its link."""
    late_factor: float = 3.0
    hedge_s: float = 0.05
    """A push is late when it takes `late_factor` times as long as nine in ten have taken, and this
    much more. To ask sooner costs more than it saves: links are full, and most come soon."""
    stall_timeout_s: float = 60.0
    """Nothing stored for this long: the fetch fails."""
    backoff_first_s: float = 0.1
    backoff_max_s: float = 5.0
    busy_first_s: float = 0.02
    busy_max_s: float = 0.04
    """About as long as a chunk takes: in a crowd a slot of a busy peer is free again so soon."""
    peer_failures_max: int = 5
    origin_failures_max: int = 6

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= limits.FETCH_THREADS_MAX:
            raise ValueError(f"threads is 1 to {limits.FETCH_THREADS_MAX}, not {self.threads}")
        if not 1 <= self.crowd_threads <= limits.FETCH_THREADS_MAX:
            raise ValueError(
                f"crowd_threads is 1 to {limits.FETCH_THREADS_MAX}, not {self.crowd_threads}"
            )
        if self.store_threads < 1:
            raise ValueError(f"store_threads is at least 1, not {self.store_threads}")
        if self.first_contact_s > self.first_contact_s_max:
            raise ValueError("first_contact_s must not be above first_contact_s_max")
        if not self.first_contact_s <= self.expected_s < self.claim_timeout_s:
            raise ValueError("expected: first_contact_s <= expected_s < claim_timeout_s")
        if self.claim_timeout_s >= self.stall_timeout_s:
            raise ValueError("claim_timeout_s must be below stall_timeout_s, or no claim passes on")

    @property
    def patience_s_max(self) -> float:
        """The longest that a node without progress is waited for."""
        return max(self.claim_timeout_s, self.stall_timeout_s / 2)

    def backoff_s(self, failures: int) -> float:
        return float(min(self.backoff_max_s, self.backoff_first_s * 2 ** min(failures, 16)))

    def busy_s(self, times: int) -> float:
        return float(min(self.busy_max_s, self.busy_first_s * 2 ** min(times, 16)))
