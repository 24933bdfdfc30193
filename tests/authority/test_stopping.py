"""An authority ends when it is told to, whatever happens at that moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cachd.authority.daemon import Authority
from cachd.listen import Address
from tests.events.deliverers import make_home


def test_news_that_comes_as_it_stops_does_not_keep_it(tmp_path: Path) -> None:
    """A task that is woken and cancelled at once has to end: `asyncio.wait_for` of Python 3.11
    returns what came instead, and the authority waited for that task for ever."""

    async def life(turns: int) -> None:
        authority = Authority(home, Address("127.0.0.1", 0), drain_s=0)
        await authority.start()
        await asyncio.sleep(0.05)  # its tasks have begun to wait
        authority._watch.notify()
        for _ in range(turns):
            await asyncio.sleep(0)
        ended, _ = await asyncio.wait([asyncio.create_task(authority.stop())], timeout=20)
        assert ended, "it stops"

    home = make_home(tmp_path / "registry", tmp_path)
    for turns in range(4):
        asyncio.run(life(turns))
