"""What is asked of both systems, and the one HTTP client that asks."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass
from typing import Any, Protocol

TEAMS = 50
"""Versions carry a tag `team`; a search asks for one of so many values."""


@dataclass(frozen=True)
class Size:
    """What both systems are filled with. Version v of model m is of team (m + v) % TEAMS."""

    models: int
    versions: int

    @property
    def total(self) -> int:
        return self.models * self.versions

    def name(self, model: int) -> str:
        return f"model-{model:05}"

    def team(self, model: int, version: int) -> str:
        return f"team-{(model + version) % TEAMS}"


class System(Protocol):
    """A server that is filled and running. Each method is one HTTP request, and fails loudly."""

    name: str
    pid: int

    def read(self, model: str) -> int:
        """The number of the version that `production` of a model means."""
        ...

    def create_version(self, model: str) -> int:
        """Register a further version, whose files are in their place already."""
        ...

    def set_stage(self, model: str, version: int) -> bool:
        """Point `production` at a version, if it still is what this client read last.
        False: somebody else was faster, and this server noticed."""
        ...

    def search(self, team: str) -> int:
        """How many versions of a team the first page of at most 100 has."""
        ...


class Client:
    """JSON over a kept connection per thread."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._local = threading.local()

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
            self._local.connection = connection
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(
            method, path, data, {"Content-Type": "application/json"} | (headers or {})
        )
        answer = connection.getresponse()
        data = answer.read()
        is_json = answer.headers.get_content_subtype().endswith("json")
        return answer.status, json.loads(data) if is_json and data else None

    def expect(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The body of a 2xx answer."""
        status, answer = self.call(method, path, body, headers)
        if not 200 <= status < 300:
            raise RuntimeError(f"{method} {path} answered {status}: {str(answer)[:500]}")
        return answer

    def wait_for(self, path: str, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while True:
            try:
                if self.call("GET", path)[0] == 200:
                    return
            except (OSError, http.client.HTTPException, ValueError):
                self._local.connection = None
            if time.monotonic() > deadline:
                raise RuntimeError(f"port {self._port} does not answer")
            time.sleep(0.05)
