"""A caller of the control API that holds every answer against the OpenAPI document."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import jsonschema

CHANGE = {"actor": "tester", "reason": "r", "request_id": "1"}


class Api:
    """Calls the authority and holds every answer against the document."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.document = self.call("GET", "/openapi.json", check=False)[1]
        self.called: set[tuple[str, str]] = set()

    def call(
        self, method: str, path: str, body: Any = None, *, match: str = "",
        headers: dict[str, str] | None = None, check: bool = True,
    ) -> tuple[int, Any, dict[str, str]]:  # fmt: skip
        headers = ({"If-Match": f'"{match}"'} if match else {}) | (headers or {})
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body else None
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, raw, got = answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            status, raw, got = error.code, error.read(), dict(error.headers)
        document = json.loads(raw) if "json" in got["Content-Type"] else raw
        if check:
            self._check(method, path.partition("?")[0], status, document, got)
        return status, document, got

    def _check(
        self, method: str, path: str, status: int, answer: Any, headers: dict[str, str]
    ) -> None:
        template = next(one for one in self.document["paths"] if matches(one, path))
        self.called.add((method, template))
        responses = self.document["paths"][template][method.lower()]["responses"]
        said = responses[str(status) if status < 300 else "default"]["content"]
        media, schema = next(iter(said.items()))
        assert headers["Content-Type"].partition(";")[0] == media
        if "json" in media and schema["schema"]:
            jsonschema.validate(
                answer, schema["schema"] | {"components": self.document["components"]}
            )
        if status >= 300:
            assert answer["status"] == status


def matches(template: str, path: str) -> bool:
    parts, others = template.split("/"), path.split("/")
    return len(parts) == len(others) and all(
        part.startswith("{") or part == other for part, other in zip(parts, others, strict=True)
    )
