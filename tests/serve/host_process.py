"""A host of its own, driven by JSON lines: `python -m tests.serve.host_process DIR`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict
from typing import Any

from cachd.serve.host import ServingHost
from cachd.serve.resident import ResidentVersion, Target
from tests.serve.rig import MODEL, STAGE


def answer(host: ServingHost, request: list[Any]) -> object:
    if request[0] == "observed":
        return asdict(host.observed(MODEL, STAGE))
    _, generation, choice, serve, keep = request
    received_ns = time.monotonic_ns()
    kept = ResidentVersion(*keep) if keep else None
    host.set_target(
        Target(MODEL, STAGE, generation, choice, ResidentVersion(*serve), kept, received_ns)
    )
    return "done"


async def main(runtime_dir: str) -> None:
    host = ServingHost(runtime_dir, grace_s=600, ready_timeout_s=30, page_slots=8)
    await host.start()
    print(json.dumps("started"))
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(answer(host, json.loads(line))))
    await host.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
