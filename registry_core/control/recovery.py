"""What there is to ask after a disaster, and so that none becomes one."""

from __future__ import annotations

from typing import Protocol

import msgspec

from registry_core.domain.epoch import Epoch
from registry_core.ledger.change import Change
from registry_core.trust.dsse import Envelope


class RecoveryState(msgspec.Struct, frozen=True):
    """Of the ledger: its `epoch`; what is `lost`, empty if nothing is known to be; `size` and
    `root` (hex) of the log, which opening an epoch now would keep."""

    epoch: int
    lost: str
    size: int
    root: str


class RecoveryControl(Protocol):
    def state(self) -> RecoveryState: ...

    def next_epoch(self) -> Epoch:
        """What the owners must sign to keep the log as it is now, and go on."""
        ...

    def open_epoch(self, envelope: Envelope, change: Change) -> RecoveryState:
        """Stale if the log has grown since it was signed."""
        ...
