"""Loading a resident safetensors file into a worker, beside the library's own loaders.

A real host, and worker processes that attach to it. Each round is a fresh process that loads by
all systems in shuffled order, from page cache, and then reads every byte once; medians of the
rounds. Memory: workers are added until there are so many, each having read all; pages count in
proportion to who maps them (PSS).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench._units import size
from bench.hot_path import serve
from bench.load.weights import write_weights

SYSTEMS = ["torch_ours", "torch_load_file", "torch_private", "numpy_ours", "numpy_load_file"]


class Reader:
    """A worker process; `ask` it to load, or for its memory."""

    def __init__(self, socket: str, file: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.load.reader", socket, str(file)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._answer()

    def ask(self, request: str) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer: dict[str, float] = self._answer()
        return answer

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended with {self.process.wait()}")
        return json.loads(line)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def host(folder: Path, file_bytes: int, seed: int) -> Iterator[tuple[str, Path]]:
    """Socket of a host that has a version of one file in force, and the file, in page cache."""
    version = folder / "version"
    version.mkdir()
    file = version / "model.safetensors"
    write_weights(file, file_bytes, seed)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(str(folder / "run"), str(version), theirs))
    process.start()
    try:
        if not ours.poll(60):
            raise RuntimeError("the host did not start within 60 s")
        ours.recv()
        yield str(folder / "run" / "cachd.sock"), file
    finally:
        ours.close()
        theirs.close()
        process.join(10)
        process.kill()


def loads(socket: str, file: Path, rounds: int, rng: random.Random) -> dict[str, float]:
    taken: dict[str, list[dict[str, float]]] = {system: [] for system in SYSTEMS}
    for _ in range(rounds):
        with Reader(socket, file) as reader:
            for system in rng.sample(SYSTEMS, len(SYSTEMS)):
                taken[system].append(reader.ask(system))
    for library in ("torch", "numpy"):
        ours, theirs = (taken[f"{library}_{system}"] for system in ("ours", "load_file"))
        if {one["total"] for one in ours} != {one["total"] for one in theirs}:
            raise RuntimeError(f"{library} read other values by ours than by load_file")

    def median(system: str, *parts: str) -> float:
        return round(
            statistics.median(sum(one[part] for part in parts) for one in taken[system]), 2
        )

    def ratio(system: str, other: str) -> float:
        """How often ours fits into the other, median of the rounds."""
        pairs = zip(taken[system], taken[other], strict=True)
        return round(statistics.median(b["load_ms"] / a["load_ms"] for a, b in pairs), 1)

    names = {
        "load": "torch_ours",
        "load_file": "torch_load_file",
        "load_private": "torch_private",
        "numpy_load": "numpy_ours",
        "numpy_load_file": "numpy_load_file",
    }
    figures = {f"{name}_ms": median(system, "load_ms") for name, system in names.items()}
    figures |= {
        f"{name}_and_read_ms": median(system, "load_ms", "read_ms")
        for name, system in names.items()
    }
    return figures | {
        "times_faster_than_private": ratio("torch_ours", "torch_private"),
        "times_faster_than_load_file": ratio("torch_ours", "torch_load_file"),
        "numpy_times_faster_than_load_file": ratio("numpy_ours", "numpy_load_file"),
    }


def memory(socket: str, file: Path, counts: list[int], system: str) -> list[dict[str, float]]:
    """A row for each number of workers: the sums over all of them, in MB."""
    rows = []
    with ExitStack() as stack:
        readers: list[Reader] = []
        for count in counts:
            while len(readers) < count:
                readers.append(stack.enter_context(Reader(socket, file)))
                readers[-1].ask(system)
            seen = [reader.ask("memory") for reader in readers]
            parts = {
                part: round(sum(one[part] for one in seen), 1)
                for part in ("weights", "heap", "rest")
            }
            rows.append({"workers": count, **parts, "all": round(sum(parts.values()), 1)})
    return rows


def run(args: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="bench load", description=__doc__)
    parser.add_argument(
        "--size", type=size, default=size("1GiB"), help="of the file, for the times"
    )
    parser.add_argument("--memory-size", type=size, default=size("256MiB"), help="for the memory")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", default="1,2,4,8")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--dir", type=Path, help="where the files are written")
    options = parser.parse_args(args)
    counts = sorted(int(one) for one in options.workers.split(","))
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="cachd-load-", dir=options.dir) as scratch:
        for part in ("times", "memory"):
            (Path(scratch) / part).mkdir()
        with host(Path(scratch) / "times", options.size, options.seed) as (socket, file):
            figures |= loads(socket, file, options.rounds, random.Random(options.seed))
            figures["size_mb"] = round(file.stat().st_size / 2**20, 1)
            file.unlink()
        with host(Path(scratch) / "memory", options.memory_size, options.seed) as (socket, file):
            ours = memory(socket, file, counts, "torch_ours")
            private = memory(socket, file, counts, "torch_private")
            copy_mb = file.stat().st_size / 2**20
    return {
        "bench": "load",
        **figures,
        "pss_mb_by_workers": {str(row["workers"]): row["all"] for row in ours},
        "pss_mb_by_workers_private": {str(row["workers"]): row["all"] for row in private},
        "copy_mb": round(copy_mb, 1),
        "copies": round(max(row["weights"] for row in ours) / copy_mb, 3),
        "rows": [
            {"load": name, **row}
            for name, rows in (("ours", ours), ("private", private))
            for row in rows
        ],
        "rounds": options.rounds,
        "seed": options.seed,
    }
