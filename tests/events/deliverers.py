"""A registry with one model, and authorities that deliver its events, as processes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import registry_core
from cachd.control.remote import connect
from registry_core.registry import Registry
from registry_core.trust.keys import Keyring
from tests.models import make_model
from tests.system.api import Api

QUICK = {"retry_s_min": 0.02, "retry_factor": 2.0, "retry_s_max": 0.2, "attempts_max": 4,
         "timeout_s": 2.0, "retry_after_s_max": 1.0}  # fmt: skip
_START_S = 60.0


def make_home(home: Path, folder: Path, ledger: str = "") -> Path:
    """A registry with a model `m`, and none of its events to be delivered yet."""
    with registry_core.init(home, ledger=ledger) as registry:
        registry.push(make_model(folder / "v1", tensors=1), "m")
    return home


class Authority:
    """A process that can be killed and started again on its port."""

    def __init__(self, home: Path, nats: str = "", **settings: float) -> None:
        self._home, self._nats = home, nats
        self._settings = QUICK | settings
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.start()

    def start(self) -> None:
        words = [str(self._home), str(self._port), json.dumps(self._settings), self._nats]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.events.delivering_authority", *words],
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self._process.stdout is not None
        ready = select.select([self._process.stdout], [], [], _START_S)[0]
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self.kill()
            raise AssertionError(f"an authority did not start: {self.log.read_text()}")
        self.url = json.loads(line)["url"]
        self._port = int(self.url.rpartition(":")[2])

    @property
    def log(self) -> Path:
        return self._home.parent / f"authority-{id(self):x}.log"

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        if self._process is not None:
            self._end(signal.SIGTERM)

    def connect(self) -> Registry:
        return connect(self.url, Keyring(self._home / "keys"), "tester")

    def api(self) -> Api:
        return Api(self.url)

    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)
        self._process.send_signal(how)
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None


def say(registry: Registry, count: int, model: str = "m") -> None:
    """Make so many events about a model."""
    for number in range(count):
        registry.metadata.annotate_model(model, {"notes": f"note {number} {os.urandom(4).hex()}"})


def log_size(api: Api) -> int:
    return int(api.call("GET", "/v1/webhooks")[1]["log_entries"])


def add_webhook(api: Api, name: str, url: str, **more: Any) -> dict[str, Any]:
    status, made, _ = api.call("POST", "/v1/webhooks", {"name": name, "url": url} | more)
    assert status == 200, made
    return dict(made)


def webhook(api: Api, name: str) -> dict[str, Any]:
    return dict(api.call("GET", f"/v1/webhooks/{name}")[1])


def eventually(holds: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)
