"""The registry itself: what a client must know to work with it."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from cachd.authority.api.answers import answer
from cachd.authority.operations import Operation
from cachd.control import documents
from registry_core.embedded.control import EmbeddedControl


class RegistryApi:
    def __init__(self, control: EmbeddedControl, origin_options: dict[str, Any]) -> None:
        self._control = control
        self._origin_options = origin_options

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/v1/registry", self.registry,
                      "The registry: root of trust, policy, origin", documents.RegistryBody),
        ]  # fmt: skip

    async def registry(self, request: web.Request) -> web.StreamResponse:
        root, policy = self._control.root(), self._control.policy()
        return answer(
            documents.RegistryBody(
                root.registry,
                root.encoded.decode(),
                policy.encoded.decode(),
                self._control.origin_url(),
                self._origin_options,
            )
        )
