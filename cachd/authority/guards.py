"""The guard of compare-and-swap over HTTP: a strong ETag per stage, asked back by If-Match."""

from __future__ import annotations

from aiohttp import web

from registry_core.domain.identifiers import Guard
from registry_core.errors import GuardMissing, InvalidInput
from registry_core.ledger.records import StageRecord


def etag(stage: StageRecord) -> str:
    return f'"{stage.guard}"'


def require_guard(request: web.Request) -> Guard:
    """The `generation.choice` in If-Match; 0.0 stands for a stage without any move."""
    header = request.headers.get("If-Match")
    if header is None:
        raise GuardMissing(
            "this change needs a guard: read the stage and send its ETag as If-Match "
            '("0.0" for a stage without any move)'
        )
    if len(header) < 2 or header[0] != '"' or header[-1] != '"':
        raise InvalidInput('If-Match must be one strong ETag such as "4.0"')
    return Guard.parse(header[1:-1])
