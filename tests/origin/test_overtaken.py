"""A store that refuses conditions, as Swift does, and where another's write comes first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from registry_core.errors import OriginError
from registry_core.origin.store import Origin


class Store(ThreadingHTTPServer):
    """What a plain write leaves, and how it is answered."""

    left: bytes | None = b"theirs"
    status = 202
    stored: bytes | None = None


class Answers(BaseHTTPRequestHandler):
    server: Store
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["If-None-Match"]:
            return self._answer(501)
        self.server.stored = self.server.left
        return self._answer(self.server.status)

    def do_HEAD(self) -> None:
        self._answer(200 if self.server.stored is not None else 404, self.server.stored or b"")

    def do_GET(self) -> None:
        self.do_HEAD()

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if body:
            self.send_header("ETag", '"x"')
            self.send_header("Last-Modified", "Sat, 28 Nov 2026 12:00:00 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store() -> Iterator[Store]:
    server = Store(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def origin_at(store: Store) -> Origin:
    options = {
        "endpoint": f"http://127.0.0.1:{store.server_port}",
        "allow_http": "true",
        "region": "us-east-1",
        "access_key_id": "key",
        "secret_access_key": "secret",
    }
    return Origin.open("s3://models/team", options)


@pytest.mark.parametrize(("left", "won"), [(b"theirs", False), (b"ours!!", True)])
def test_what_is_there_in_the_end_tells_who_won(store: Store, left: bytes, won: bool) -> None:
    """The answer says neither: 202 without an ETag."""
    store.left = left
    assert origin_at(store).put_new("a/b", b"ours!!") is won


def test_a_fault_that_leaves_nothing_is_shown(store: Store) -> None:
    store.left, store.status = None, 403
    with pytest.raises(OriginError):
        origin_at(store).put_new("a/b", b"ours!!")
