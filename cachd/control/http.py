"""A small blocking HTTP client: one kept connection per thread, deadlines, bounded answers.

Given several authorities, it goes on to the next when one does not answer. What may be asked again
(reads, and changes that carry an Idempotency-Key) is asked again for RETRY_S, so that an authority
that restarts or hands over is not noticed.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cachd.control.problems import CONTENT_TYPE, AuthorityUnavailable, from_problem
from registry_core.errors import InvalidInput

RETRY_S = 10.0
_PAUSE_S_MIN, _PAUSE_S_MAX = 0.05, 1.0
_AGAIN = frozenset({429, 503})
_ANSWER_BYTES_MAX = 256 * 1024 * 1024
_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Address:
    host: str
    port: int


@dataclass(slots=True)
class _Answer:
    status: int
    data: bytes
    headers: http.client.HTTPMessage


class HttpClient:
    """Requests to the authorities at `url`: one, or several with commas between. Thread-safe."""

    def __init__(self, url: str, *, timeout_s: float = 30.0, retry_s: float = RETRY_S) -> None:
        self.url = url.rstrip("/")
        self._addresses = [_address(one.strip()) for one in url.split(",")]
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._current = 0  # index of the address that answered last; threads may race for it
        self._ever_answered = False
        self._local = threading.local()

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> bytes:
        """The body of a 2xx answer; any other becomes the error that its problem tells of."""
        sent = {"Content-Type": "application/json"} | dict(headers or {})
        repeatable = method == "GET" or "Idempotency-Key" in sent
        deadline_s, pause_s = time.monotonic() + self._retry_s, _PAUSE_S_MIN
        attempts = 0
        while True:
            attempts += 1
            try:
                answer = self._exchange(method, path, body, sent)
                failure, self._ever_answered = None, True
            except (http.client.HTTPException, OSError) as error:
                answer, failure = None, error
            if answer is not None and answer.status not in _AGAIN:
                return _require_success(answer)
            over = time.monotonic() + pause_s > deadline_s
            if not self._ever_answered and attempts >= len(self._addresses):
                over = True  # most likely the address is wrong, or nothing was started yet
            if over or not (repeatable or _never_sent(failure)):
                if answer is not None:
                    return _require_success(answer)
                raise self._unavailable(failure) from failure
            self._current = (self._current + 1) % len(self._addresses)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_S_MAX)

    def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> _Answer:
        address = self._addresses[self._current]
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        fresh = kept is None or self._local.address != address
        connection = self._connect(address) if fresh or kept is None else kept
        try:
            return self._ask(connection, method, path, body, headers)
        except ConnectionError:
            if fresh or method != "GET":
                raise
        # the server had closed the kept connection; a GET may be asked again at once
        return self._ask(self._connect(address), method, path, body, headers)

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes,
        headers: dict[str, str],
    ) -> _Answer:
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read(_ANSWER_BYTES_MAX)
            if answer.length:  # `read` with a bound does not notice that the rest never came
                raise http.client.IncompleteRead(data, answer.length)
            return _Answer(answer.status, data, answer.headers)
        except (http.client.HTTPException, OSError):
            self.close()
            raise

    def stream(self, path: str) -> Iterator[bytes]:
        """Pieces of a streamed answer, on a connection of its own, until the server ends it."""
        address = self._addresses[self._current]
        connection = http.client.HTTPConnection(address.host, address.port, timeout=self._timeout_s)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status != 200:
                data = answer.read(_READ_BYTES)
                _require_success(_Answer(answer.status, data, answer.headers))
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
            self._local.connection = None

    def _connect(self, address: _Address) -> http.client.HTTPConnection:
        self.close()
        connection = http.client.HTTPConnection(address.host, address.port, timeout=self._timeout_s)
        self._local.connection, self._local.address = connection, address
        return connection

    def _unavailable(self, error: Exception | None) -> AuthorityUnavailable:
        return AuthorityUnavailable(
            f"the authority at {self.url} does not answer ({error}): is `cachd authority` running?"
        )


def _address(url: str) -> _Address:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise InvalidInput(f"{url!r:.200} is not the URL of an authority, http://HOST:PORT")
    return _Address(parts.hostname, parts.port or 80)


def _never_sent(failure: Exception | None) -> bool:
    """Whether nobody can have acted on the request."""
    return failure is None or isinstance(failure, ConnectionRefusedError)


def _require_success(answer: _Answer) -> bytes:
    if 200 <= answer.status < 300:
        return answer.data
    problem: dict[str, Any] = {}
    if answer.headers.get_content_type() == CONTENT_TYPE:
        problem = json.loads(answer.data)
    raise from_problem({"detail": f"the authority answered {answer.status}"} | problem)
