"""A thousand clients that read what they should serve, 3,000 reads a minute in all, while stages
move: what the authority's CPU does meanwhile. Each client has a connection of its own."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import aiohttp

from bench.registry.cachd_system import CachdSystem
from bench.registry.in_process import STAGE, percentiles
from bench.registry.systems import Size

CLIENTS, READS_PER_MINUTE, SECONDS = 1_000, 3_000, 20.0
_TICKS = os.sysconf("SC_CLK_TCK")


def deploy_window(system: CachdSystem, size: Size, rng: random.Random) -> dict[str, float]:
    before_s, began_s = _cpu_s(system.pid), time.monotonic()
    taken = asyncio.run(_window(system, size, rng))
    seconds = time.monotonic() - began_s
    latency = percentiles(taken, 1e3)
    return {
        "window_reads": len(taken),
        "window_clients": CLIENTS,
        "window_read_p95_ms": latency[95],
        "window_authority_cpu_percent": round(100 * (_cpu_s(system.pid) - before_s) / seconds, 1),
    }


async def _window(system: CachdSystem, size: Size, rng: random.Random) -> list[float]:
    taken: list[float] = []
    pace_s = 60.0 * CLIENTS / READS_PER_MINUTE
    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            first_s = rng.random() * pace_s
            name = size.name(rng.randrange(size.models))
            group.create_task(_client(session, system.url, name, first_s, pace_s, taken))
        group.create_task(_deploy(system, size, rng))
    return taken


async def _client(
    session: aiohttp.ClientSession, url: str, name: str, first_s: float, pace_s: float,
    taken: list[float],
) -> None:  # fmt: skip
    end_s = time.monotonic() + SECONDS
    await asyncio.sleep(first_s)
    while time.monotonic() < end_s:
        began_s = time.perf_counter()
        async with session.get(f"{url}/v1/resolve?ref={name}@{STAGE}") as answer:
            answer.raise_for_status()
            await answer.read()
        taken.append(time.perf_counter() - began_s)
        await asyncio.sleep(pace_s)


async def _deploy(system: CachdSystem, size: Size, rng: random.Random) -> None:
    """A promote a second."""
    for _ in range(int(SECONDS)):
        model = size.name(rng.randrange(size.models))
        await asyncio.to_thread(_promote, system, model, size)
        await asyncio.sleep(1)


def _promote(system: CachdSystem, model: str, size: Size) -> None:
    system.prepare_stage(model, system.read(model) % size.versions + 1)
    system.set_stage(model, 0)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
