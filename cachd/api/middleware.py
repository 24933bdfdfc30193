"""Around every request: bounds, timing, and errors as problem documents (RFC 9457)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from cachd.api.admission import RateLimit
from cachd.api.metrics import Metrics
from cachd.control.limits import (
    REQUEST_S_MAX,
    REQUESTS_AT_ONCE_MAX,
    REQUESTS_BURST,
    REQUESTS_PER_SECOND,
    STREAMS_MAX,
)
from cachd.control.problems import CONTENT_TYPE, Busy, to_problem
from registry_core.errors import InvalidInput, NotFound, RegistryError

_log = structlog.get_logger("cachd.authority")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_RETRY_S = "1"


def problem_response(error: RegistryError, **extra: object) -> web.Response:
    """The answer for `error`; `extra` fields are added, or put in the place of its own."""
    problem = to_problem(error) | extra
    return web.Response(
        status=problem["status"], body=json.dumps(problem).encode(), content_type=CONTENT_TYPE
    )


class Bounds:
    """`streams` are the paths (templates) whose answers have no end."""

    def __init__(self, metrics: Metrics, streams: frozenset[str]) -> None:
        self._metrics = metrics
        self._streams = streams
        self._rate = RateLimit(REQUESTS_PER_SECOND, REQUESTS_BURST)
        self._running = self._streaming = 0

    def middleware(self) -> Middleware:
        @web.middleware
        async def bounded(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._handle(request, handler)

        return bounded

    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "none"
        wait_s = self._rate.wait_s(request.remote or "", time.monotonic())
        if wait_s:
            return self._refuse("rate", "too many requests from this address", 429, str(wait_s))
        if route in self._streams:
            return await self._stream(request, handler)
        if self._running >= REQUESTS_AT_ONCE_MAX:
            return self._refuse("busy", "the authority has all it can handle", 503, _RETRY_S)
        began_s = time.perf_counter()
        self._running += 1
        try:
            answer = await _within_time(request, handler)
        finally:
            self._running -= 1
        self._metrics.observe(request.method, route, answer.status, began_s)
        return answer

    async def _stream(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._streaming >= STREAMS_MAX:
            return self._refuse("streams", "too many streams: follow a relay instead", 503, "5")
        self._streaming += 1
        self._metrics.streams.inc()
        try:
            return await _answered(request, handler)
        finally:
            self._streaming -= 1
            self._metrics.streams.dec()

    def _refuse(self, reason: str, said: str, status: int, retry_s: str) -> web.Response:
        self._metrics.refused.labels(reason).inc()
        refusal = problem_response(Busy(f"{said}: try again in {retry_s} s"), status=status)
        refusal.headers["Retry-After"] = retry_s
        return refusal


async def _within_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        async with asyncio.timeout(REQUEST_S_MAX):
            return await _answered(request, handler)
    except TimeoutError:
        said = f"the request took longer than {REQUEST_S_MAX:.0f} s; a change that it asked for may"
        return problem_response(
            Busy(f"{said} still be made: repeat it with the same Idempotency-Key")
        )


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The handler's answer, or its error as a problem. What nobody expected is a bare 500."""
    try:
        return await handler(request)
    except RegistryError as error:
        return problem_response(error)
    except web.HTTPNotFound:
        return problem_response(NotFound(f"there is nothing at {request.path[:200]}"))
    except web.HTTPRequestEntityTooLarge:
        return problem_response(
            InvalidInput("the body is larger than this request may have"), status=413
        )
    except web.HTTPMethodNotAllowed as error:
        problem = InvalidInput(f"{request.method} is not for {request.path[:200]}")
        answer = problem_response(problem, status=error.status)
        answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except web.HTTPException:
        raise
    except Exception:
        _log.exception("request failed", method=request.method, path=request.path)
        return problem_response(RegistryError("the authority failed; its log says where"))
