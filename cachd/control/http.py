"""A small blocking HTTP client: one kept connection per thread, deadlines, bounded answers."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from cachd.control.problems import CONTENT_TYPE, AuthorityUnavailable, from_problem
from registry_core.errors import InvalidInput

_ANSWER_BYTES_MAX = 256 * 1024 * 1024
_READ_BYTES = 64 * 1024


class HttpClient:
    """Requests to one authority, e.g. `http://127.0.0.1:7420`. Thread-safe."""

    def __init__(self, url: str, *, timeout_s: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise InvalidInput(f"{url!r:.200} is not the URL of an authority, http://HOST:PORT")
        self.url = url.rstrip("/")
        self._host, self._port = parts.hostname, parts.port or 80
        self._timeout_s = timeout_s
        self._local = threading.local()

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> bytes:
        """The body of a 2xx answer; any other becomes the error that its problem tells of."""
        sent = {"Content-Type": "application/json"} | dict(headers or {})
        if method == "GET" and getattr(self._local, "connection", None) is not None:
            try:
                return self._exchange(method, path, body, sent, fresh=False)
            except ConnectionError:
                pass  # the server had closed the kept connection; a GET may be asked again
        try:
            return self._exchange(method, path, body, sent, fresh=True)
        except (http.client.HTTPException, OSError) as error:
            raise self._unavailable(error) from error

    def _exchange(
        self, method: str, path: str, body: bytes, headers: dict[str, str], *, fresh: bool
    ) -> bytes:
        connection = self._connection(fresh=fresh)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read(_ANSWER_BYTES_MAX)
        except (http.client.HTTPException, OSError):
            connection.close()
            raise
        return _require_success(answer, data)

    def stream(self, path: str) -> Iterator[bytes]:
        """Pieces of a streamed answer, on a connection of its own, until the server ends it."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status != 200:
                _require_success(answer, answer.read(_READ_BYTES))
            while data := answer.read1(_READ_BYTES):
                yield data
        except (http.client.HTTPException, OSError) as error:
            raise self._unavailable(error) from error
        finally:
            connection.close()

    def close(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()

    def _connection(self, *, fresh: bool) -> http.client.HTTPConnection:
        connection = getattr(self._local, "connection", None)
        if connection is None or fresh:
            if connection is not None:
                connection.close()
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
            self._local.connection = connection
        return connection

    def _unavailable(self, error: Exception) -> AuthorityUnavailable:
        return AuthorityUnavailable(
            f"the authority at {self.url} does not answer ({error}): is `cachd authority` running?"
        )


def _require_success(answer: http.client.HTTPResponse, data: bytes) -> bytes:
    if 200 <= answer.status < 300:
        return data
    problem: dict[str, Any] = {}
    if answer.headers.get_content_type() == CONTENT_TYPE:
        problem = json.loads(data)
    raise from_problem({"detail": f"the authority answered {answer.status}"} | problem)
