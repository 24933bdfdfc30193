"""Going on after entries of the log were lost.

registry.recovery.open_epoch(reason="restored from the backup of 14:00")
"""

from __future__ import annotations

from collections.abc import Callable

from registry_core.control.recovery import RecoveryControl, RecoveryState
from registry_core.errors import Stale
from registry_core.ledger.change import Change
from registry_core.trust.epoch import sign_epoch
from registry_core.trust.keys import Keyring

OWNER = "owner"
_TRIES = 10


class Recovery:
    """`Registry.recovery`."""

    def __init__(
        self, control: RecoveryControl, keys: Keyring, change: Callable[[str], Change]
    ) -> None:
        self._control = control
        self._keys = keys
        self._change = change

    def state(self) -> RecoveryState:
        return self._control.state()

    def open_epoch(self, *, reason: str = "") -> RecoveryState:
        """Keep the log as it is and go on from there, signed by the owner's key. Nodes that hold
        more of the log than was kept give that up and follow."""
        owner = self._keys.get(OWNER)
        for _ in range(_TRIES):
            try:
                envelope = sign_epoch(self._control.next_epoch(), owner)
                return self._control.open_epoch(envelope, self._change(reason))
            except Stale as error:
                stale = error
        raise stale
