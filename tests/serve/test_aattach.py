"""Attaching from an event loop: it runs on meanwhile, and a cancelled one leaves nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cachd.serve.client import AttachTimeout, Closed, LoadFailed, Version, aattach
from cachd.serve.resident import ResidentVersion
from tests.serve.rig import MODEL, HostThread, target, until

Versions = list[ResidentVersion]


def number_of(version: Version) -> int:
    return version.number


@pytest.fixture
def socket(runtime_dir: Path) -> str:
    return str(runtime_dir / "cachd.sock")


async def until_not(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while condition():  # noqa: ASYNC110  # what it waits for happens in other threads
            await asyncio.sleep(0.001)


async def ticks(count: list[int]) -> None:
    while True:
        count[0] += 1
        await asyncio.sleep(0.001)


def test_the_loop_runs_on_while_it_loads(host: HostThread, versions: Versions, socket: str) -> None:
    loading, go_on = threading.Event(), threading.Event()

    def load(version: Version) -> int:
        loading.set()
        assert go_on.wait(20)
        return version.number

    async def serve() -> None:
        count = [0]
        ticking = asyncio.create_task(ticks(count))
        attaching = asyncio.create_task(once(load))
        await until_not(lambda: not loading.is_set())
        begun = count[0]
        await until_not(lambda: count[0] < begun + 20)
        assert not attaching.done()
        go_on.set()
        model = await attaching
        assert model.acquire().value == 1
        model.close()
        ticking.cancel()

    async def once(load: Any) -> Any:
        return await aattach(MODEL, load=load, socket=socket)

    host.set_target(target(1, 0, versions[1]))
    asyncio.run(serve())


def test_async_with_flips_and_closes(host: HostThread, versions: Versions, socket: str) -> None:
    async def serve() -> None:
        async with aattach(MODEL, load=number_of, socket=socket) as model:
            held = model.acquire()
            host.set_target(target(2, 0, versions[2], versions[1]))
            await until_not(lambda: model.acquire().value != 2)
            await asyncio.gather(*(request(model) for _ in range(50)))
            assert held.value == 1  # a request that spans calls goes on with what it began with
        with pytest.raises(Closed):
            model.acquire()

    async def request(model: Any) -> None:
        with model.acquire() as v:
            await asyncio.sleep(0)
            assert v.value == v.number == 2

    host.set_target(target(1, 0, versions[1]))
    asyncio.run(serve())
    until(lambda: host.observed().workers == 0, "the end of the lease")


@pytest.mark.parametrize("moment", ["at once", "while it waits", "while it loads"])
def test_cancelled_it_leaves_nothing(
    host: HostThread, versions: Versions, socket: str, moment: str
) -> None:
    loading, go_on = threading.Event(), threading.Event()

    def load(version: Version) -> int:
        loading.set()
        go_on.wait(20)
        return version.number

    async def serve() -> None:
        attaching = asyncio.ensure_future(awaited(load))
        if moment == "while it waits":
            await until_not(lambda: host.observed().workers == 0)
        elif moment == "while it loads":
            await until_not(lambda: not loading.is_set())
        else:
            await asyncio.sleep(0)
        attaching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attaching

    async def awaited(load: Any) -> None:
        await aattach(MODEL, load=load, socket=socket)

    if moment != "while it waits":
        host.set_target(target(1, 0, versions[1]))
    before = threading.active_count()
    asyncio.run(serve())
    until(lambda: host.observed().workers == 0, "the end of the lease")
    go_on.set()
    until(lambda: threading.active_count() <= before, "the end of its threads")


def test_time_out_and_failure_are_raised(host: HostThread, versions: Versions, socket: str) -> None:
    def fail(version: Version) -> int:
        raise ValueError(f"no GPU for {version.number}")

    async def serve() -> None:
        with pytest.raises(AttachTimeout, match="nothing to serve yet"):
            await aattach(MODEL, load=number_of, socket=socket, timeout_s=0.05)
        host.set_target(target(1, 0, versions[1]))
        with pytest.raises(LoadFailed, match="no GPU for 1"):
            async with aattach(MODEL, load=fail, socket=socket):
                raise AssertionError("attached")
        async with asyncio.timeout(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await aattach("other", load=number_of, socket=socket)

    asyncio.run(serve())
    until(lambda: host.observed().workers == 0, "the end of the leases")


def test_several_models_and_stages_in_one_process(
    host: HostThread, versions: Versions, socket: str
) -> None:
    async def serve() -> None:
        first, second, third = await asyncio.gather(
            once(MODEL, "production"), once("other", "production"), once(MODEL, "staging")
        )
        assert [one.acquire().value for one in (first, second, third)] == [1, 2, 3]
        host.set_target(target(2, 0, versions[4], versions[1]))
        await until_not(lambda: first.acquire().value != 4)
        assert [one.acquire().value for one in (first, second, third)] == [4, 2, 3]
        for one in (first, second, third):
            one.close()

    async def once(model: str, stage: str) -> Any:
        return await aattach(model, stage=stage, load=number_of, socket=socket)

    host.set_target(target(1, 0, versions[1]))
    host.set_target(target(1, 0, versions[2], model="other"))
    host.set_target(target(1, 0, versions[3], stage="staging"))
    asyncio.run(serve())
