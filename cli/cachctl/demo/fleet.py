"""Authority, nodes and workers as processes. Every wait has a deadline; everything is stopped at
the end, however it ends."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from cachctl.demo.interruptions import uninterrupted
from registry_core.errors import RegistryError

START_S = 30.0
_LOG_TAIL = 2000


class DemoFailed(RegistryError):
    """Something did not happen in time; the message ends with what the process last said."""

    code = "demo_failed"


class Fleet:
    """Processes by name. A context manager: leaving it stops all of them.

    Logs are in `folder`, the workers' sockets in `runtime`, whose path is to be short. `services`:
    each leads a session, as what a service manager starts does.
    """

    def __init__(
        self, folder: Path, runtime: Path | None = None, *, services: bool = False
    ) -> None:
        self._folder = folder
        self._runtime = runtime or folder
        self._services = services
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _close(process)

    def start_daemon(
        self, name: str, *words: str, env: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Start a `cachd` command; what its ready line says."""
        process = self._start(name, ["-m", "cachd.main", *words], env or {})
        if process.stdout is None or not select.select([process.stdout], [], [], START_S)[0]:
            raise DemoFailed(f"{name} was not ready within {START_S} s{self.tail(name)}")
        line = process.stdout.readline()
        if not line:
            raise DemoFailed(f"{name} ended before it was ready{self.tail(name)}")
        ready: dict[str, Any] = json.loads(line)
        return ready

    def worker_socket(self, name: str) -> Path:
        """Where a worker answers."""
        return self._runtime / f"{name}.sock"

    def start_worker(self, name: str, node_socket: str, model: str, stage: str) -> Path:
        """Start an inference process; the socket it will answer on."""
        path = self.worker_socket(name)
        path.unlink(missing_ok=True)
        self.start_program(
            name, "-m", "cachctl.demo.worker", model, stage, str(path),
            env={"CACHD_SOCKET": node_socket},
        )  # fmt: skip
        return path

    def start_program(self, name: str, *words: str, env: dict[str, str]) -> None:
        """Start a Python program that nobody waits for."""
        self._start(name, list(words), env)

    def wait_for_worker(self, name: str) -> None:
        path = str(self.worker_socket(name))

        def answers() -> bool:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                return probe.connect_ex(path) == 0

        self.wait(answers, f"{name} answers", name)

    def kill(self, name: str) -> None:
        """SIGKILL: no goodbye."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()
        _close(process)

    def ended(self) -> list[str]:
        """Processes that are gone though nobody stopped or killed them."""
        return [
            f"{name} ended by itself (exit status {process.returncode}){self.tail(name)}"
            for name, process in self._processes.items()
            if process.poll() is not None
        ]

    def wait(
        self, holds: Callable[[], bool], what: str, about: str, within_s: float = 30.0
    ) -> None:
        """Until `holds`; a process that ended meanwhile is told of at once."""
        deadline = time.monotonic() + within_s
        while not holds():
            ended = about in self._processes and self._processes[about].poll() is not None
            if ended or time.monotonic() > deadline:
                how = "the process ended" if ended else f"not within {within_s:.0f} s"
                raise DemoFailed(f"waiting until {what}: {how}{self.tail(about)}")
            time.sleep(0.01)

    def tail(self, name: str) -> str:
        log = self._folder / f"{name}.log"
        text = log.read_text(errors="replace")[-_LOG_TAIL:] if log.exists() else ""
        return f"; {name} last said:\n{text}" if text else ""

    def _start(self, name: str, words: list[str], env: dict[str, str]) -> subprocess.Popen[str]:
        path = self._folder / f"{name}.log"
        with path.open("a", encoding="utf-8") as log, uninterrupted():
            process = subprocess.Popen(  # noqa: S603  # our own interpreter, our own modules
                [sys.executable, *words],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | env,
                start_new_session=self._services,
            )
            self._processes[name] = process
        return process


def _close(process: subprocess.Popen[str]) -> None:
    if process.stdout is not None:
        process.stdout.close()
