"""How the bulk bytes of one node travel: what its peer server and its fetches share."""

from __future__ import annotations

from dataclasses import dataclass

from cachd import limits
from cachd.peer.throttle import UNLIMITED, Throttle


@dataclass(frozen=True, slots=True)
class BulkPath:
    """`upload` and `download` limit all connections of the node together. `upload_slots`: chunks
    leaving at once as answers."""

    upload: Throttle = UNLIMITED
    download: Throttle = UNLIMITED
    upload_slots: int = limits.SERVER_UPLOAD_SLOTS


UNBOUNDED = BulkPath()
