"""What may leave the disk: versions that no stage names, no worker leases, and whose grace is over.

A version that stops being wanted keeps its grace from that moment. After a restart grace begins
anew, which errs on the side of keeping. Event loop only; deletion runs in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from cachd.cache.cache import Cache
from cachd.node.residency import Residency
from registry_core.domain.identifiers import Digest

_log = structlog.get_logger("cachd.node")


class Retention:
    """`wanted` and `leased` are asked at each sweep; `clock` is monotonic seconds."""

    def __init__(
        self,
        cache: Cache,
        residency: Residency,
        *,
        wanted: Callable[[], set[Digest]],
        leased: Callable[[], set[Digest]],
        grace_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._cache = cache
        self._residency = residency
        self._wanted = wanted
        self._leased = leased
        self._grace_s = grace_s
        self._clock = clock
        self._needed_at: dict[Digest, float] = {}

    async def run(self) -> None:
        while True:
            await asyncio.sleep(max(0.2, min(30.0, self._grace_s / 4)))
            await self.sweep()

    async def sweep(self) -> None:
        now = self._clock()
        needed = self._wanted() | self._leased() | self._residency.coming()
        for digest in list(self._cache.versions()):
            if digest in needed:
                self._needed_at[digest] = now
            elif now - self._needed_at.setdefault(digest, now) >= self._grace_s:
                self._residency.forget(digest)
                await asyncio.to_thread(self._cache.drop, digest)
                self._needed_at.pop(digest, None)
                _log.info("version dropped", digest=str(digest))
