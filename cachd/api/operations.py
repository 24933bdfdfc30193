"""The table of operations: the routes and the OpenAPI document are both made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path. `guarded` ones require If-Match; `creates` ones may answer 201 as
    well; `query` is name -> meaning."""

    method: str
    path: str
    handler: Handler
    summary: str
    answer: type[msgspec.Struct] | None
    body: type[msgspec.Struct] | None = None
    query: tuple[tuple[str, str], ...] = ()
    guarded: bool = False
    creates: bool = False
    media_type: str = "application/json"
    streams: bool = False
    """Goes on for as long as the client stays."""

    @property
    def operation_id(self) -> str:
        name: str = self.handler.__name__
        return name
