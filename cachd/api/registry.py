"""The registry itself: what a client must know to work with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from cachd.api.answers import answer
from cachd.api.operations import Operation
from cachd.control import documents
from registry_core.embedded.control import EmbeddedControl


class RegistryApi:
    """`origin` gives the origin's URL and the options to open it with; it may have to ask."""

    def __init__(
        self, control: EmbeddedControl, origin: Callable[[], tuple[str, dict[str, Any]]]
    ) -> None:
        self._control = control
        self._origin = origin

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/v1/registry", self.registry,
                      "The registry: root of trust, policy, origin", documents.RegistryBody),
        ]  # fmt: skip

    async def registry(self, request: web.Request) -> web.StreamResponse:
        root, policy = self._control.root(), self._control.policy()
        url, options = await asyncio.to_thread(self._origin)
        return answer(
            documents.RegistryBody(
                root.registry,
                root.encoded.decode(),
                policy.encoded.decode(),
                url,
                options,
            )
        )
