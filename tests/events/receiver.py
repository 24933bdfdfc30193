"""A real receiver of webhooks on loopback: writes down what it gets, answers what it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook

Reply = tuple[int, dict[str, str]] | str
"""A status and headers, or `hang` (until the receiver is closed) or `close` (without an answer)."""
OK: Reply = (200, {})


@dataclass(frozen=True)
class Got:
    headers: dict[str, str]
    body: bytes
    at_s: float

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    @property
    def sequence(self) -> int:
        return int(self.event["data"]["sequence"])

    def verified(self, secret: str) -> dict[str, Any]:
        """The event, by the stock library; it raises if the signature is wrong."""
        event: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return event


class Receiver:
    """`reply` decides on each request, in its thread."""

    def __init__(self, reply: Callable[[Got], Reply] = lambda got: OK) -> None:
        self.reply = reply
        self.got: list[Got] = []
        self._closed = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def sequences(self) -> list[int]:
        return [one.sequence for one in list(self.got)]

    def wait(self, count: int, within_s: float = 30.0) -> list[Got]:
        deadline = time.monotonic() + within_s
        while len(self.got) < count:
            assert time.monotonic() < deadline, f"{len(self.got)} of {count} requests came"
            time.sleep(0.01)
        return list(self.got)

    def close(self) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                got = Got(dict(self.headers.items()), body, time.monotonic())
                reply = receiver.reply(got)
                receiver.got.append(got)
                if isinstance(reply, str):
                    if reply == "hang":
                        receiver._closed.wait()
                    self.close_connection = True
                    return
                status, headers = reply
                self.send_response(status)
                for name, value in (headers | {"Content-Length": "0"}).items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as inherited
                """Nothing on the test's standard error."""

        return Handler


def in_turn(*replies: Reply) -> Callable[[Got], Reply]:
    """The next one for each request; the last one from then on."""
    left = list(replies)
    return lambda got: left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def receiving(reply: Callable[[Got], Reply] = lambda got: OK) -> Iterator[Receiver]:
    receiver = Receiver(reply)
    try:
        yield receiver
    finally:
        receiver.close()
