"""Operations as one application: routes, bounds, health, metrics and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version as package_version

from aiohttp import web
from aiohttp.typedefs import Middleware

from cachd.api.metrics import Metrics
from cachd.api.middleware import Bounds
from cachd.api.openapi import openapi_document
from cachd.api.operations import Operation
from cachd.control.limits import REQUEST_BODY_MAX


def make_application(
    operations: Sequence[Operation],
    metrics: Metrics,
    not_ready: Callable[[], str],
    *outer: Middleware,
) -> web.Application:
    """`not_ready` says why no requests should be sent here, empty if they should. `outer`
    middlewares lie around those that bound every request."""
    bounds = Bounds(metrics, frozenset(one.path for one in operations if one.streams))
    app = web.Application(
        middlewares=[*outer, bounds.middleware()], client_max_size=REQUEST_BODY_MAX
    )
    for operation in operations:
        app.router.add_route(operation.method, operation.path, operation.handler)
    document = openapi_document(operations, package_version("cachd"))

    async def ready(_: web.Request) -> web.Response:
        why = not_ready()
        return web.Response(status=503 if why else 200, text=f"{why or 'ready'}\n")

    app.router.add_get("/openapi.json", lambda _: _answer(web.json_response(document)))
    app.router.add_get("/healthz", lambda _: _answer(web.Response(text="ok\n")))
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", metrics.serve)
    return app


async def _answer(response: web.Response) -> web.Response:
    return response
