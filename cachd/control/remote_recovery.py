"""Recovery over HTTP: see `registry_core.control.recovery`."""

from __future__ import annotations

from collections.abc import Callable

from cachd.control import documents
from cachd.control.calls import Calls
from registry_core.control.recovery import RecoveryState
from registry_core.domain.epoch import Epoch
from registry_core.domain.policy import Root
from registry_core.ledger.change import Change
from registry_core.trust.dsse import Envelope


class RemoteRecovery:
    def __init__(self, calls: Calls, root: Callable[[], Root]) -> None:
        self._calls = calls
        self._root = root

    def state(self) -> RecoveryState:
        return self._calls.get(RecoveryState, "/v1/epoch")

    def next_epoch(self) -> Epoch:
        now = self.state()
        return Epoch(self._root().registry, now.epoch + 1, now.size, bytes.fromhex(now.root))

    def open_epoch(self, envelope: Envelope, change: Change) -> RecoveryState:
        body = documents.EnvelopeBody(envelope.to_json(), documents.ChangeBody.of(change))
        return self._calls.change("POST", RecoveryState, "/v1/epoch", body, change)
