"""The guard of compare-and-swap over HTTP: a strong ETag per stage, asked back by If-Match."""

from __future__ import annotations

from aiohttp import web

from registry_core.domain.identifiers import Guard
from registry_core.errors import InvalidInput
from registry_core.ledger.records import StageRecord

NEVER_MOVED = Guard(0, 0)


def etag(stage: StageRecord) -> str:
    return f'"{stage.guard}"'


def find_guard(request: web.Request) -> Guard | None:
    """The `generation.choice` in If-Match; 0.0, or `If-None-Match: *`, stands for a stage without
    any move. None where the request has no guard: it depends on the stage whether that will do."""
    header = request.headers.get("If-Match")
    if header is None:
        return NEVER_MOVED if request.headers.get("If-None-Match") == "*" else None
    if len(header) < 2 or header[0] != '"' or header[-1] != '"':
        raise InvalidInput('If-Match must be one strong ETag such as "4.0"')
    return Guard.parse(header[1:-1])
