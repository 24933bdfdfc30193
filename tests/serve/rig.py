"""What the tests of serving run: real hosts in threads and processes, real workers, real files."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from cachd.serve.flip_policy import FlipPolicy
from cachd.serve.flip_rules import FlipRules
from cachd.serve.host import ServingHost
from cachd.serve.resident import Observed, ResidentVersion, Target

T = TypeVar("T")
MODEL, STAGE = "minilm", "production"
DEADLINE_S = 20.0


def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Poll until the condition is true; its value."""
    end_s = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end_s:
            raise AssertionError(f"not within {deadline_s} s: {what} (last: {value!r})")
        threading.Event().wait(0.002)


def make_version(root: Path, number: int) -> ResidentVersion:
    """A version whose files say which version they are of."""
    digest = "sha256:" + hashlib.sha256(b"version %d" % number).hexdigest()
    directory = root / "versions" / str(number)
    (directory / "onnx").mkdir(parents=True)
    contents = {
        "digest.txt": digest.encode(),
        "number.txt": str(number).encode(),
        "onnx/weights.bin": number.to_bytes(4, "little") * 1024,
        "empty.txt": b"",
    }
    for name, data in contents.items():
        (directory / name).write_bytes(data)
    files = {name: len(data) for name, data in contents.items()}
    return ResidentVersion(number, digest, str(directory), files)


def target(
    generation: int,
    choice: int,
    serve: ResidentVersion,
    keep: ResidentVersion | None = None,
    *,
    model: str = MODEL,
    stage: str = STAGE,
) -> Target:
    return Target(model, stage, generation, choice, serve, keep, time.monotonic_ns())


def await_view(model: Any, **wanted: int) -> None:
    """Until `acquire()` gives a view with these attributes."""
    until(
        lambda: all(getattr(model.acquire(), name) == value for name, value in wanted.items()),
        f"a view of {wanted}",
    )


class HostThread:
    """A real host on an event loop of its own; `call` runs a function of it there."""

    def __init__(self, runtime_dir: Path, **options: Any) -> None:
        self.attached: list[tuple[str, str]] = []
        self.changes = 0
        self.clock_offset_s = 0.0
        options = {"grace_s": 600.0, "ready_timeout_s": 30.0, "page_slots": 8, **options}
        self.host = ServingHost(
            runtime_dir,
            on_attach=lambda model, stage: self.attached.append((model, stage)),
            on_change=self._count,
            clock=lambda: time.monotonic() + self.clock_offset_s,
            **options,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        try:
            self._await(self.host.start())
        except BaseException:
            self._end_loop()
            raise

    def _count(self) -> None:
        self.changes += 1

    def _await(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE_S)

    def call(self, function: Callable[[ServingHost], T]) -> T:
        async def run() -> T:
            return function(self.host)

        result: T = self._await(run())
        return result

    def set_target(self, wanted: Target) -> None:
        self.call(lambda host: host.set_target(wanted))

    def observed(self) -> Observed:
        return self.call(lambda host: host.observed(MODEL, STAGE))

    def await_flip(self, flip: int, workers: int = 1) -> Observed:
        """Until so many workers have switched to this flip."""

        def arrived() -> Observed | None:
            seen = self.observed()
            return seen if (seen.flip, seen.switched) == (flip, workers) else None

        seen: Observed = until(arrived, f"flip {flip} in {workers} workers")
        return seen

    def leased(self) -> set[str]:
        return self.call(lambda host: host.leased_digests())

    def held_by_workers(self) -> set[str]:
        """Versions that workers hold, as far as they have told the host."""

        def held(host: ServingHost) -> set[str]:
            rows = host._table.handles
            return {rows[one].digest for worker in host._connections for one in worker.leases}

        return self.call(held)

    def pass_time(self, seconds: float) -> None:
        """Let the clock of the host jump ahead, and let it look."""

        def jump(host: ServingHost) -> None:
            self.clock_offset_s += seconds  # on the loop: never in the middle of a flip
            host.expire(time.monotonic() + self.clock_offset_s)

        self.call(jump)

    def stop(self) -> None:
        self._await(self.host.stop())
        self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class LineProcess:
    """A child that answers JSON lines on its stdin with JSON lines on its stdout."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the process ended with {self.process.wait()}"
        return json.loads(line)

    def ask(self, request: object) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        return self.read()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


class Worker(LineProcess):
    """Does with versions what it is told (`obeying_process`)."""

    def __init__(self, socket_path: Path, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__("tests.serve.obeying_process", str(socket_path), str(folder))
        self.folder = folder
        self.pid = self.process.pid

    def tell(self, number: int, word: str) -> None:
        (self.folder / f"{number}.{word}").touch()

    def report(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask("report")
        return answer

    def serves(self) -> int:
        return int(self.report()["number"])

    def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(20) == 0


class HostProcess(LineProcess):
    """A host that can be killed."""

    def __init__(self, runtime_dir: Path) -> None:
        super().__init__("tests.serve.host_process", str(runtime_dir))
        assert self.read() == "started"

    def set_target(self, wanted: Target) -> None:
        keep = wanted.keep and _version(wanted.keep)
        fields = (wanted.generation, wanted.choice, _version(wanted.serve), keep)
        assert self.ask(["set_target", *fields]) == "done"

    def observed(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask(["observed"])
        return answer


class WorkerProcess(LineProcess):
    """A worker that acquires without pause in some threads and checks every view."""

    def __init__(self, socket_path: Path, threads: int = 1) -> None:
        super().__init__("tests.serve.worker_process", str(socket_path), str(threads))

    def report(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask("report")
        return answer


def _version(version: ResidentVersion) -> list[Any]:
    return [version.number, version.digest, version.path, version.files]


def by(policy: str, within_s: float = 30.0) -> Callable[[str, str], FlipRules]:
    return lambda _model, _stage: FlipRules(FlipPolicy.parse(policy), within_s)


def begin(host: HostThread, versions: list[ResidentVersion]) -> None:
    host.set_target(target(1, 0, versions[1]))


def promote(host: HostThread, versions: list[ResidentVersion], number: int = 2) -> None:
    host.set_target(target(number, 0, versions[number], versions[1]))


def await_state(host: HostThread, state: str, said: str = "") -> Any:
    def found() -> Any:
        seen = host.observed()
        return seen if seen.state == state and said in (seen.error or "") else None

    return until(found, f"{state} {said}")


def await_ready(host: HostThread, ready: int, workers: int) -> None:
    until(
        lambda: (o := host.observed()) and (o.ready, o.workers) == (ready, workers),
        f"{ready} of {workers} ready",
    )
