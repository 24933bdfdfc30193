"""JSON bodies."""

from __future__ import annotations

import msgspec
from aiohttp import web

_encode = msgspec.json.Encoder().encode


def answer(body: object, *, status: int = 200, **headers: str) -> web.Response:
    """`body` as JSON: a record, or builtins."""
    return web.Response(
        body=_encode(body), status=status, content_type="application/json", headers=headers
    )
