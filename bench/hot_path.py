"""What a request pays to get its version: `acquire()` of a live attachment, in nanoseconds, alone
and while requests are split between two versions; and to tell how it went, by `observe()`.

A real host in a process of its own, a real attachment in this one. Each sample is a batch of
calls, divided; the loop around them is in the figure. `import_ms` is what importing the client
costs a worker. Beside it, in the same run and in shuffled
order: the call without `with`, a dict lookup and a pointer behind a lock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import repeat
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cachd.serve.client import Attached, View, attach
from cachd.serve.host import ServingHost
from cachd.serve.resident import ResidentVersion, Target

MODEL, SPLIT_MODEL, STAGE = "bench", "bench-split", "production"
KEY = "user-1234567"
BATCH = 20
_IMPORT = """
import time
began_s = time.process_time()
import cachd.serve.client
print(round((time.process_time() - began_s) * 1e3, 1))
"""


def serve(runtime_dir: str, version_dir: str, pipe: Connection) -> None:
    """The host's process until the pipe closes: one version in force, and two that each answer half
    of the requests."""

    async def run() -> None:
        host = ServingHost(runtime_dir, grace_s=600, ready_timeout_s=60)
        await host.start()
        version = ResidentVersion(1, "sha256:bench", version_dir)
        host.set_target(Target(MODEL, STAGE, 1, 0, version, None, time.monotonic_ns()))
        other = ResidentVersion(2, "sha256:other", version_dir)
        now_ns = time.monotonic_ns()
        host.set_target(Target(SPLIT_MODEL, STAGE, 2, 1, version, other, now_ns, split=500))
        pipe.send("serving")
        await asyncio.to_thread(pipe.poll, None)  # until the other end closes
        await host.stop()

    asyncio.run(run())


def in_with(model: Attached[int]) -> None:
    for _ in repeat(None, BATCH):
        with model.acquire() as view:
            view.value  # noqa: B018  # what every request does with it


def call_only(model: Attached[int]) -> None:
    acquire = model.acquire
    for _ in repeat(None, BATCH):
        acquire()


def with_key(model: Attached[int]) -> None:
    acquire = model.acquire
    for _ in repeat(None, BATCH):
        acquire(KEY)


def observe(view: View[int]) -> None:
    for _ in repeat(None, BATCH):
        view.observe(ok=True, seconds=0.012)


def dict_lookup(table: dict[str, int]) -> None:
    for _ in repeat(None, BATCH):
        table["bench@production"]


class LockedPointer:
    def __init__(self, value: int) -> None:
        self._value = value
        self._lock = threading.Lock()

    def get(self) -> int:
        with self._lock:
            return self._value


def locked_pointer(pointer: LockedPointer) -> None:
    for _ in repeat(None, BATCH):
        pointer.get()


def measure(
    model: Attached[int], split: Attached[int], batches: int, rng: random.Random
) -> dict[str, float]:
    subjects: list[tuple[str, Callable[[Any], None], Any]] = [
        ("acquire", in_with, model),
        ("acquire_call", call_only, model),
        ("acquire_key", with_key, model),
        ("split", call_only, split),
        ("split_key", with_key, split),
        ("observe", observe, model.acquire()),
        ("dict_lookup", dict_lookup, {"bench@production": 1}),
        ("locked_pointer", locked_pointer, LockedPointer(1)),
    ]
    samples: dict[str, list[float]] = {name: [] for name, _, _ in subjects}
    for _ in range(batches // 100):
        rng.shuffle(subjects)
        for name, function, argument in subjects:
            for _ in range(100):
                began_ns = time.perf_counter_ns()
                function(argument)
                samples[name].append((time.perf_counter_ns() - began_ns) / BATCH)
    figures: dict[str, float] = {}
    for name, taken in samples.items():
        figures[f"{name}_median_ns"] = round(statistics.median(taken), 1)
        figures[f"{name}_p99_ns"] = round(statistics.quantiles(taken, n=100)[98], 1)
    return figures


def import_ms(bytecode: Path) -> float:
    """CPU time of importing the client in a new interpreter, without site packages; best of ten."""
    command = [sys.executable, "-S", "-c", _IMPORT]
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "PYTHONPYCACHEPREFIX": str(bytecode),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has bytecode
    return min(
        float(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
        for _ in range(10)
    )


def run(args: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="bench hot_path", description=__doc__)
    parser.add_argument("--batches", type=int, default=20_000, help="batches of 20 calls each")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--json", action="store_true", help="accepted: the result is always JSON")
    options = parser.parse_args(args)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="cachd-bench-") as scratch:
        imported_ms = import_ms(Path(scratch) / "bytecode")
        version_dir = Path(scratch) / "version"
        version_dir.mkdir()
        ours, theirs = context.Pipe()
        runtime_dir = Path(scratch) / "run"
        host = context.Process(target=serve, args=(str(runtime_dir), str(version_dir), theirs))
        host.start()
        try:
            if not ours.poll(60):
                raise RuntimeError("the host did not start within 60 s")
            ours.recv()
            socket = str(runtime_dir / "cachd.sock")
            with (
                attach(MODEL, load=lambda version: version.number, socket=socket) as model,
                attach(SPLIT_MODEL, load=lambda version: version.number, socket=socket) as split,
            ):
                while {split.acquire().number for _ in range(100)} != {1, 2}:
                    time.sleep(0.01)  # both are being loaded
                # First to warm up the interpreter.
                measure(model, split, 2_000, random.Random(options.seed))
                figures = measure(model, split, options.batches, random.Random(options.seed))
        finally:
            ours.close()
            theirs.close()
            host.join(10)
            host.kill()
    return {
        "bench": "hot_path",
        **figures,
        "import_ms": imported_ms,
        "batches": options.batches,
        "calls_per_batch": BATCH,
        "seed": options.seed,
        "python": sys.version.split()[0],
    }


def main() -> None:
    print(json.dumps(run(sys.argv[1:])))


if __name__ == "__main__":
    main()
