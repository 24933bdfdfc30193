"""What leaves the disk, and when: versions that nobody needs, once their space is needed.

A version is needed while a stage names it, a worker leases it, it is coming, or its grace is not
over: grace begins when it stops being needed otherwise, and its last use outlasts a restart. What
is not needed stays as cache, so that going back to it is instant, until the rules of
`cachd.cache.eviction` choose it. Event loop only; deletion runs in a thread, one at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from cachd import limits
from cachd.cache.cache import Cache
from cachd.cache.errors import CacheError, CacheNoRoom
from cachd.cache.eviction import choose, to_free
from cachd.cache.survey import Survey
from cachd.node.residency import Residency
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest

_log = structlog.get_logger("cachd.node")


class Retention:
    """`wanted` and `leased` are asked at each look; `clock` is monotonic seconds."""

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
        self._evicting = asyncio.Lock()
        began_s, now_s = clock(), time.time()
        self._needed_at = {
            held.digest: began_s - max(0.0, now_s - held.used_s) for held in cache.survey().held
        }
        self._touched_at: dict[Digest, float] = {}

    async def run(self) -> None:
        while True:
            await asyncio.sleep(max(0.2, min(30.0, self._grace_s / 4)))
            await self.sweep()

    async def sweep(self) -> None:
        """Note what is used, and go down to the low watermark from above the high one."""
        self._note_use()
        try:
            await asyncio.to_thread(self._cache.tidy)
            async with self._evicting:
                await self._evict(0)
        except (CacheError, OSError) as error:
            _log.warning("the cache could not be tidied", error=str(error))

    async def make_room(self, manifest: Manifest) -> None:
        """Before a fetch: evict what the version needs, or CacheNoRoom saying what holds it."""
        async with self._evicting:
            coming = await asyncio.to_thread(self._cache.lacking_bytes, manifest)
            survey = await self._evict(coming)
            space, limit = self._cache.space, self._cache.space.limit()
            used = space.used() + space.promised()
            if coming and limit is not None and used + coming > limit:
                raise CacheNoRoom(
                    manifest.digest, coming, max(0, limit - used), limit, self._holding(survey)
                )

    def kept(self) -> set[Digest]:
        """What must not leave the disk now."""
        now, needed = self._clock(), self.needed()
        within_grace = {d for d, at in self._needed_at.items() if now - at < self._grace_s}
        return needed | within_grace

    def needed(self) -> set[Digest]:
        """The same, but for grace."""
        return self._wanted() | self._leased() | self._residency.coming()

    def _note_use(self) -> None:
        now = self._clock()
        for digest in self.needed():
            self._needed_at[digest] = now
            if (
                now - self._touched_at.get(digest, -limits.LAST_USE_STEP_S)
                >= limits.LAST_USE_STEP_S
            ):
                self._touched_at[digest] = now
                self._cache.touch(digest, time.time())
        for digest in self._cache.versions():
            self._needed_at.setdefault(digest, now)

    async def _evict(self, coming: int) -> Survey | None:
        """What was looked at, if anything had to be."""
        space = self._cache.space
        limit = space.limit()
        excess = to_free(space.used() + space.promised(), coming, limit) if limit is not None else 0
        if not excess:
            return None
        self._note_use()
        survey = await asyncio.to_thread(self._cache.survey)
        least = space.used() + space.promised() + coming - limit if coming and limit else 0
        for digest in choose(survey.held, self.kept(), survey.freed_by, excess, least):
            if digest not in self.kept():  # a stage may name it since
                before = space.used()
                await self._residency.evict(digest, gives_way=coming > 0)
                self._needed_at.pop(digest, None)
                self._touched_at.pop(digest, None)
                _log.info("version evicted", digest=str(digest), freed=before - space.used())
        if survey.outside:
            _log.warning("files are linked from outside the cache: to evict them frees nothing",
                         bytes=survey.outside)  # fmt: skip
        return survey

    def _holding(self, survey: Survey | None) -> str:
        """What holds the space, in words."""
        if survey is None:
            return ""
        kept, space = self.kept(), self._cache.space
        roots = {root for held in survey.held if held.digest in kept for root in held.files}
        held = sum(space.file_bytes(root) for root in roots)
        parts = [f"{held:,} are of versions that are resident, leased, desired or within grace"]
        if survey.outside:
            parts.append(f"{survey.outside:,} of files linked from outside the cache")
        if space.promised():
            parts.append(f"{space.promised():,} set aside for what is being fetched")
        return f" ({'; '.join(parts)})"
