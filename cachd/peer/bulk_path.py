"""How the bulk bytes of one node travel: what its peer server and its fetches share."""

from __future__ import annotations

from dataclasses import dataclass

from cachd import limits
from cachd.peer.congestion import KERNELS_CHOICE, CongestionControl
from cachd.peer.throttle import UNLIMITED, Throttle


@dataclass(frozen=True, slots=True)
class BulkPath:
    """`upload` and `download` limit all connections of the node together. `upload_slots`: chunks
    leaving at once as answers. `congestion`: TCP's, of connections between peers."""

    upload: Throttle = UNLIMITED
    download: Throttle = UNLIMITED
    upload_slots: int = limits.SERVER_UPLOAD_SLOTS
    congestion: CongestionControl = KERNELS_CHOICE

    def described(self) -> dict[str, object]:
        """For one line of a log."""
        return {
            "max_upload": str(self.upload.rate or "none"),
            "max_download": str(self.download.rate or "none"),
            "upload_slots": self.upload_slots,
            "congestion_control": self.congestion.used(),
            "set_by": "--congestion-control" if self.congestion.name else "kernel",
        }


UNBOUNDED = BulkPath()
