"""Errors as problem documents (RFC 9457); what nobody expected is a bare 500 and a log line."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from cachd.control.problems import CONTENT_TYPE, to_problem
from registry_core.errors import InvalidInput, NotFound, RegistryError

_log = structlog.get_logger("cachd.authority")


def problem_response(error: RegistryError, **extra: object) -> web.Response:
    """The answer for `error`; `extra` fields are added, or put in the place of its own."""
    problem = to_problem(error) | extra
    return web.Response(
        status=problem["status"], body=json.dumps(problem).encode(), content_type=CONTENT_TYPE
    )


@web.middleware
async def problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except RegistryError as error:
        return problem_response(error)
    except web.HTTPNotFound:
        return problem_response(NotFound(f"there is nothing at {request.path[:200]}"))
    except web.HTTPRequestEntityTooLarge:
        return problem_response(InvalidInput("the body is larger than this request may have"))
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
