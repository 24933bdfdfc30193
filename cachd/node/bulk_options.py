"""What an operator says of a node's bulk path and of its pace, and what follows from its link."""

from __future__ import annotations

from cachd.listen import Address
from cachd.peer.bulk_path import BulkPath
from cachd.peer.congestion import CongestionControl
from cachd.peer.link_speed import link_speed
from cachd.peer.throttle import Throttle
from cachd.peer.upload_slots import slots_for
from registry_core.errors import InvalidInput


def bulk_path(
    listen: Address,
    *,
    max_upload: str | None,
    max_download: str | None,
    upload_slots: int | None,
    congestion_control: str,
) -> BulkPath:
    """As they are typed. `upload_slots` None: by the link that `listen` is on, or the limit on
    upload where that is less. InvalidInput says what is wrong."""
    upload = Throttle.parse(max_upload)
    speeds = [speed for speed in (link_speed(listen.host), upload.rate) if speed is not None]
    return BulkPath(
        upload=upload,
        download=Throttle.parse(max_download),
        upload_slots=upload_slots or slots_for(min(speeds, default=None)),
        congestion=CongestionControl.parse(congestion_control),
    )


def parse_share(text: str) -> float:
    """`20%` as it is typed: 0.2. InvalidInput."""
    digits, percent, rest = text.partition("%")
    if percent and not rest and digits.isascii() and digits.isdigit() and 1 <= int(digits) <= 100:
        return int(digits) / 100
    raise InvalidInput(
        f"--bulk-share {text!r:.40} is no share of the time: write 1% to 100%, for example 20%"
    )
