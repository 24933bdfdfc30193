"""Under the servers that people run: gunicorn's prefork, uvicorn's workers. No request fails."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cachd.serve.resident import ResidentVersion
from tests.serve.rig import HostThread, target, until

Versions = list[ResidentVersion]
ROOT = Path(__file__).parents[2]
Serve = Callable[..., "Server"]

WSGI = """
import os
from cachd.serve.client import attach

model = None

def attach_here():
    global model
    model = attach("minilm", load=lambda version: bytes(version.buffer("number.txt")).decode())

def app(environ, start_response):
    try:
        with model.acquire() as v:
            said, status = f"{os.getpid()} {v.number} {v.value}", "200 OK"
    except Exception as error:
        said, status = f"{type(error).__name__}: {error}", "500 Server Error"
    start_response(status, [("Content-Type", "text/plain")])
    return [said.encode()]
"""
AT_IMPORT = WSGI + "\nattach_here()\n"
POST_FORK = """
def post_fork(server, worker):
    import application
    application.attach_here()
"""
ASGI = """
import asyncio, os
from cachd.serve.client import aattach

class App:
    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        with self.model.acquire() as v:
            await asyncio.sleep(0)
            said = f"{os.getpid()} {v.number} {v.value}"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": said.encode()})

    async def live(self, receive, send):
        await receive()
        load = lambda version: bytes(version.buffer("number.txt")).decode()
        async with aattach("minilm", load=load) as self.model:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

app = App()
"""


class Server:
    """A server process on a Unix socket; `log` is what it has written."""

    def __init__(self, folder: Path, listen: str, command: list[str], cachd_socket: Path) -> None:
        self._listen = listen
        self._log = folder / "server.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdout=log, stderr=log, cwd=folder, start_new_session=True,
                env={
                    **os.environ,
                    "CACHD_SOCKET": str(cachd_socket),
                    "PYTHONPATH": f"{folder}:{ROOT}",
                },
            )  # fmt: skip

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def get(self) -> tuple[int, str]:
        """Over a connection of its own, so that any worker may answer."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(20)
        try:
            connection.sock.connect(self._listen)
            connection.request("GET", "/", headers={"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def await_answers(self) -> None:
        def answers() -> bool:
            assert self.process.poll() is None, self.log()
            try:
                return bool(self.get())
            except OSError:
                return False

        until(answers, "the server", 60)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


@pytest.fixture
def serve(tmp_path: Path, runtime_dir: Path) -> Iterator[Serve]:
    with tempfile.TemporaryDirectory(prefix="cachd-web-") as short:  # socket paths have a limit
        started: list[Server] = []

        def start(application: str, *command: str, config: str = "") -> Server:
            (tmp_path / "application.py").write_text(application, encoding="utf-8")
            (tmp_path / "gunicorn.conf.py").write_text(config, encoding="utf-8")
            listen = f"{short}/web"
            words = [word.format(listen=listen) for word in command]
            started.append(Server(tmp_path, listen, words, runtime_dir / "cachd.sock"))
            started[-1].await_answers()
            return started[-1]

        yield start
        for one in started:
            if one.process.poll() is None:
                one.stop()


GUNICORN = ("gunicorn", "--workers", "2", "--bind", "unix:{listen}", "application:app")
UVICORN = ("uvicorn", "--workers", "2", "--uds", "{listen}", "application:app")


@pytest.mark.parametrize(
    ("application", "command", "config"),
    [
        pytest.param(AT_IMPORT, GUNICORN, "", id="gunicorn, attached at import in each worker"),
        pytest.param(WSGI, (*GUNICORN, "--preload"), POST_FORK, id="gunicorn --preload, post_fork"),
        pytest.param(ASGI, UVICORN, "", id="uvicorn, aattach in lifespan"),
    ],
)
def test_flips_under_requests(
    host: HostThread, versions: Versions, serve: Serve,
    application: str, command: tuple[str, ...], config: str,
) -> None:  # fmt: skip
    host.set_target(target(1, 0, versions[1]))
    server = serve(application, *command, config=config)
    host.await_flip(1, workers=2)
    answers: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                answers.append(server.get())
            except OSError as error:
                answers.append((0, repr(error)))
                return

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        for generation in range(2, 6):
            serving, keep = versions[generation % 2 + 1], versions[(generation + 1) % 2 + 1]
            host.set_target(target(generation, 0, serving, keep))
            host.await_flip(generation, workers=2)
        seen = len(answers)
        until(lambda: len({said.split()[0] for _, said in answers[seen:]}) >= 2, "both workers")
    finally:
        stop.set()
        for asker in askers:
            asker.join()
    assert [one for one in answers if one[0] != 200] == []
    for _, said in answers:
        _, number, value = said.split()
        assert number == value
    server.stop()
    until(lambda: host.observed().workers == 0, "the end of the leases")


def test_attached_before_the_fork_it_says_what_to_do(
    host: HostThread, versions: Versions, serve: Serve
) -> None:
    host.set_target(target(1, 0, versions[1]))
    server = serve(AT_IMPORT, *GUNICORN, "--preload")
    status, said = server.get()
    assert status == 500
    assert "ForkedAfterAttach: process" in said
    assert "attach in the worker, after the fork (gunicorn: post_fork or no --preload" in said
    assert host.observed().workers == 1  # the master's own, which is as it should be
