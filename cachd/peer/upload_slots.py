"""How many chunks a node gives as answers at once, by the speed of its link. Pure.

Six up to 10 Gbit/s, where that was measured (ADR 11): fewer leave links idle, and with more each
chunk takes longer, so that it is passed on later. Six on 10 Gbit/s are 20 ms for a chunk of 4 MiB,
the most that a unit should take, and that share of the link is kept above. It ends where as many
chunks coming in at once, which is what a crowd asks for, would be more than may be in memory.
"""

from __future__ import annotations

from cachd import limits
from cachd.peer.rate import Rate


def slots_for(speed: Rate | None) -> int:
    """None: nobody knows, which is taken as no more than 10 Gbit/s."""
    if speed is None:
        return limits.SERVER_UPLOAD_SLOTS
    fair = speed.bits_per_s * limits.SERVER_UPLOAD_SLOTS // limits.SLOTS_LINK_BITS
    return max(limits.SERVER_UPLOAD_SLOTS, min(fair, limits.SERVER_UPLOAD_SLOTS_MAX))
