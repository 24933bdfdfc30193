"""Epochs: what of the log was lost, and going on after it."""

from __future__ import annotations

from aiohttp import web

from cachd.api.answers import answer
from cachd.api.operations import Operation
from cachd.api.parsing import body_of, change_of
from cachd.api.writes import Writes
from cachd.control.documents import EnvelopeBody
from registry_core.control.recovery import RecoveryState
from registry_core.embedded.control import EmbeddedControl
from registry_core.trust.dsse import Envelope


class EpochApi:
    def __init__(self, control: EmbeddedControl, writes: Writes) -> None:
        self._recovery = control.recovery
        self._writes = writes

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/v1/epoch", self.state,
                      "The log's epoch, what of it was lost, and what a new epoch would keep",
                      RecoveryState),
            Operation("POST", "/v1/epoch", self.open_epoch,
                      "Go on after a loss: an epoch, signed by the owners", RecoveryState,
                      EnvelopeBody),
        ]  # fmt: skip

    async def state(self, request: web.Request) -> web.StreamResponse:
        return answer(self._recovery.state())

    async def open_epoch(self, request: web.Request) -> web.StreamResponse:
        body = await body_of(request, EnvelopeBody)
        envelope = Envelope.from_json(body.envelope)
        change = await change_of(request, body.change)
        return answer(await self._writes.run(lambda: self._recovery.open_epoch(envelope, change)))
