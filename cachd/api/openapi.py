"""The OpenAPI 3.1 document, made from the table of operations and the types of the bodies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from cachd.api.operations import Operation
from cachd.control.problems import CONTENT_TYPE

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what went wrong and what to do next"},
        "code": {"type": "string", "description": "which error exactly; stable"},
        "expected": {"type": "string"},
        "actual": {"type": "string"},
    },
}


def openapi_document(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    kinds = {kind for op in operations for kind in (op.answer, op.body) if kind is not None}
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(
        ordered, ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, Any] = {}
    for op in operations:
        paths.setdefault(op.path, {})[op.method.lower()] = _describe(op)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cachd control API",
            "version": version,
            "description": "Models, versions, stages and the log of a registry.",
        },
        "paths": paths,
        "components": {"schemas": components | {"Problem": _PROBLEM}},
    }


def _describe(op: Operation) -> dict[str, Any]:
    done = {"description": "done", "content": {op.media_type: {"schema": _ref(op.answer)}}}
    described: dict[str, Any] = {
        "operationId": op.operation_id,
        "summary": op.summary,
        "parameters": _parameters(op),
        "responses": {
            "200": done,
            "default": {
                "description": "refused or failed (RFC 9457)",
                "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    }
    if op.creates:
        described["responses"]["201"] = done
    if op.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref(op.body)}},
        }
    return described


def _parameters(op: Operation) -> list[dict[str, Any]]:
    text = {"type": "string"}
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": text}
        for name in re.findall(r"\{(\w+)\}", op.path)
    ]
    found += [
        {"name": name, "in": "query", "description": meaning, "schema": text}
        for name, meaning in op.query
    ]
    if op.guarded:
        meaning = "the stage's ETag that the change was decided on; 428 without, 412 when stale"
        found.append(
            {
                "name": "If-Match",
                "in": "header",
                "required": True,
                "description": meaning,
                "schema": text,
            }
        )
    return found


def _ref(kind: type[msgspec.Struct] | None) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"} if kind is not None else {}
