"""The registry: in process, and over HTTP side by side with an MLflow server.

in_process     what a read and a durable promote cost an embedding program, beside a raw fdatasync
systems        what is asked of both systems, by one HTTP client
cachd_system   a cachd authority
mlflow_system  an MLflow server on sqlite
floor          what any registry of these parts pays for a write over HTTP
measure        reads, writes and searches of both, in turns
races          sixteen promoters at once: lost updates and double winners
deploy_window  a thousand clients that read while a rollout goes on
restore        a lost authority comes back from its backup

Both servers run on this machine at the same time, hold the same models and versions, and are asked
by the same client over kept connections, in rows of one kind whose order is shuffled in each of
eight rounds; so what else the machine does disturbs both. Durability: cachd syncs its ledger at
each write; so does MLflow's sqlite, by its defaults. `python -m bench registry --json`.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path
from typing import Any

from bench.registry import in_process


def run(args: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="bench registry", description=__doc__)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--versions", type=int, default=10, help="of each model, at least 2")
    parser.add_argument("--large", type=int, default=100, help="versions per model, large")
    parser.add_argument("--reads", type=int, default=50_000, help="in process")
    parser.add_argument("--promotes", type=int, default=1_000, help="in process")
    parser.add_argument("--requests", type=int, default=400, help="of each kind, over HTTP")
    parser.add_argument("--dir", help="where everything lies: the disk that is measured")
    parser.add_argument("--only", choices=["in-process", "http", "restore"], help="a part of it")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args(args)
    if options.models < 1 or options.versions < 2 or min(options.reads, options.promotes) < 100:
        parser.error("needs a model, two versions, a hundred reads and promotes")
    figures: dict[str, Any] = {"bench": "registry"}
    with tempfile.TemporaryDirectory(prefix="cachd-bench-", dir=options.dir) as scratch:
        folder = Path(scratch)
        if options.only in (None, "restore"):
            from bench.registry import restore

            figures |= restore.run(folder / "restore", options.models, options.versions)
        if options.only in (None, "in-process"):
            figures |= in_process.run(folder / "in-process", options)
        if options.only in (None, "http"):
            from bench.registry import measure

            figures |= measure.run(folder / "http", options)
    return figures | {"models": options.models, "seed": options.seed}
