"""What requests say: names, numbers, guards, who changes what. InvalidInput names what is wrong."""

from __future__ import annotations

import hashlib
import re
from typing import TypeVar

from aiohttp import web

from cachd.control import documents
from cachd.control.documents import ChangeBody
from registry_core.domain import limits
from registry_core.domain.identifiers import (
    Digest,
    ModelName,
    RegionName,
    StageName,
    VersionRef,
    parse_version_number,
)
from registry_core.errors import InvalidInput
from registry_core.ledger.change import Change

T = TypeVar("T")


def model_of(request: web.Request) -> ModelName:
    return ModelName.parse(request.match_info["model"])


def stage_of(request: web.Request) -> StageName:
    return StageName.parse(request.match_info["stage"])


def version_of(request: web.Request) -> VersionRef:
    """The version that the path names, by number or digest."""
    text = request.match_info["version"]
    if text.startswith("sha256:"):
        return VersionRef(model_of(request), digest=Digest.parse(text))
    return VersionRef(model_of(request), number=parse_version_number(text))


def region_of(request: web.Request) -> RegionName:
    return RegionName.parse(request.match_info["region"])


def push_of(request: web.Request) -> bytes:
    """The id of a push under way that the path names."""
    return parse_push(request.match_info["push"])


def parse_push(text: str) -> bytes:
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise InvalidInput(f"push {text!r:.80} is not 32 hex digits")
    return bytes.fromhex(text)


async def body_of(request: web.Request, kind: type[T]) -> T:
    return documents.decode(kind, await request.read(), "the body")


async def change_of(request: web.Request, body: ChangeBody) -> Change:
    """Who changes what. With an Idempotency-Key, the change is bound to all that was asked."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return Change(body.actor, body.reason, body.request_id)
    asked = hashlib.sha256(f"{request.method} {request.path_qs}\0".encode())
    asked.update(request.headers.get("If-Match", "").encode() + b"\0" + await request.read())
    return Change(body.actor, body.reason, key, asked.hexdigest())


def newest(request: web.Request) -> int:
    return whole_number(request, "newest", 1, limits.PAGE_SIZE_MAX, 100)


def whole_number(request: web.Request, name: str, low: int, high: int, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and low <= int(text) <= high):
        raise InvalidInput(f"query {name}={text!r:.40} is not a whole number of {low} to {high}")
    return int(text)
