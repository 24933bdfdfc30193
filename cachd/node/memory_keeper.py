"""What is in memory on this host: admitted, held while somebody needs it, measured, let go.

A version takes memory from `admit` on, before its bytes are brought, so that several at once do not
exceed the budget together. What nobody needs any more (its grace over, its workers gone) is let go:
its pages stay in the page cache as long as nobody else wants them, and coming back takes no
transfer, but it must be admitted and hashed again. Every MEASURE_S the kernel is asked what is in
memory; pages that it took from a version that is needed are brought back, hashed.

Event loop only, but for `hold`, which runs in the thread that brings the version.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import structlog

from cachd import limits
from cachd.cache.niceness import yield_to_others
from cachd.cache.pace import UNPACED, Pace
from cachd.control.reports import VersionInMemory
from cachd.memory import admission, machine
from cachd.memory.admission import InMemory, Room, Verdict
from cachd.memory.budget import budget_bytes, pages_of
from cachd.memory.errors import MemoryNoRoom, size_text
from cachd.memory.fill import fill
from cachd.memory.form import Form
from cachd.memory.held import Held, Measured
from cachd.memory.locking import LockMemory
from cachd.memory.settings import MemorySettings
from cachd.memory.standing import Standing
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest
from registry_core.errors import RegistryError

_log = structlog.get_logger("cachd.node")
_TURNS = 4  # of letting versions go for one that comes


@dataclass(frozen=True, slots=True)
class Claims:
    """What is asked at each look. `wanted`: versions that stages are to serve, and their bytes,
    whether they are here or not. `in_use`: what workers hold, whatever anybody says."""

    standings: Mapping[Digest, Standing]
    wanted: Mapping[Digest, int]
    in_use: frozenset[Digest]


@dataclass(slots=True)
class _Version:
    model: str
    manifest: Manifest
    files: dict[bytes, int]
    since_s: float
    held: Held | None = None
    measured: Measured = field(default_factory=lambda: Measured(0, 0))
    bring_back_s: float = 0.0
    pause_s: float = limits.MEASURE_S
    unlocked: bool = False
    """It was warm for a while: its pages are not looked after."""


class MemoryKeeper:
    """`claims` is asked at each look; `let_go` tells workers to drop a version in grace;
    `on_damaged` mends files that turned out damaged; `on_change`: the report may differ."""

    def __init__(
        self,
        settings: MemorySettings,
        form: Form,
        *,
        claims: Callable[[], Claims],
        let_go: Callable[[Digest], None],
        on_damaged: Callable[[Digest, list[str]], Coroutine[None, None, None]],
        on_change: Callable[[], None],
        clock: Callable[[], float],
        rng: Random,
        pace: Pace = UNPACED,
    ) -> None:
        self._pace = pace
        self._settings = settings
        self._form = form
        self._lock = LockMemory.NEVER if form.unswappable else settings.lock
        self._claims = claims
        self._let_go = let_go
        self._on_damaged = on_damaged
        self._on_change = on_change
        self._clock = clock
        self._rng = rng
        self._versions: dict[Digest, _Version] = {}
        self._leaving: dict[Digest, asyncio.Event] = {}
        self._thread = ThreadPoolExecutor(1, "memory", yield_to_others)
        self._stop = threading.Event()
        self._freed = asyncio.Event()
        self._nudged = asyncio.Event()
        self._waiting = 0
        self.bytes_brought_back = 0
        self.budget = budget_bytes(settings.budget, machine.look())
        """Bytes that versions may take, as the machine or the control group was looked at last."""

    # Looking

    def path_of(self, digest: Digest) -> Path | None:
        """Where programs find a version that is in memory, verified."""
        version = self._versions.get(digest)
        return version.held.folder if version is not None and version.held is not None else None

    def digests(self) -> set[Digest]:
        return {digest for digest, one in self._versions.items() if one.held is not None}

    def age_s(self, digest: Digest) -> float:
        """Since it came; infinite for what is not here, or was to give way."""
        version = self._versions.get(digest)
        return self._clock() - version.since_s if version is not None else math.inf

    def used(self) -> int:
        return admission.total(self._in_memory({}))

    def locked(self) -> int:
        """Bytes that cannot be reclaimed."""
        return sum(self._locked_of(one) for one in self._versions.values())

    def there(self) -> int:
        """Bytes in memory, as measured last; a file of several versions counts in each."""
        return sum(int(one.manifest.size * one.measured.share) for one in self._measured())

    def reports(self) -> list[VersionInMemory]:
        claims = self._claims()
        return [
            VersionInMemory(
                one.model, str(digest), claims.standings.get(digest, Standing.SPARE).text,
                one.manifest.size, int(one.manifest.size * one.measured.share),
                self._locked_of(one),
            )
            for digest, one in self._versions.items()
            if one.held is not None
        ][: limits.MEMORY_REPORTED_MAX]  # fmt: skip

    # Coming

    async def admit(self, manifest: Manifest, model: str) -> None:
        """Before its bytes are brought. MemoryNoRoom: it does not fit now."""
        digest = manifest.digest
        while (leaving := self._leaving.get(digest)) is not None:
            await leaving.wait()
        for _ in range(_TURNS):
            if digest in self._versions:
                return
            await self._sweep()
            room = self._room()
            claims = self._claims()
            verdict = self._judge(manifest, room, claims)
            if verdict.fits or digest in claims.in_use:
                if not verdict.fits:
                    _log.warning(
                        "workers hold a version beyond the memory budget",
                        digest=str(digest), needs=verdict.needs, free=verdict.free,
                    )  # fmt: skip
                files = pages_of(manifest)
                self._versions[digest] = _Version(model, manifest, files, self._clock())
                return
            if not verdict.give_way:
                break
            for victim in verdict.give_way:
                await self._give_up(victim, manifest)
        raise MemoryNoRoom(verdict.needs, verdict.free, room.budget, self._why(claims))

    def hold(
        self, manifest: Manifest, published: Path, cancel: threading.Event, *, fresh: bool
    ) -> list[str]:
        """In a thread: all of an admitted version in memory, hashed on its way unless it is `fresh`
        from a fetch. The paths that are damaged, if any: then it is not held."""
        placed = self._form.place(manifest, published, cancel, self._pace)
        if placed.damaged or cancel.is_set():
            return list(placed.damaged)
        held = Held(placed.folder, manifest)
        hashed = placed.adopted or not (fresh or placed.hashed)
        try:
            filled = fill(held, manifest, cancel, lock=self._lock, hashed=hashed, pace=self._pace)
        except BaseException:
            held.close()
            raise
        version = self._versions.get(manifest.digest)
        if filled.damaged or cancel.is_set() or version is None:
            held.close()
            if placed.adopted and filled.damaged:  # the copy, not what it was made of
                self._form.drop(manifest.digest)
                return self.hold(manifest, published, cancel, fresh=fresh)
            return filled.damaged
        if filled.refused:
            _log.info("version may be reclaimed: its pages could not be locked",
                      digest=str(manifest.digest), why=filled.refused)  # fmt: skip
        before, version.held = version.held, held
        version.measured = held.measure(self._rng)
        if before is not None:  # mended; the thread that looks may be looking at it
            self._thread.submit(before.close)
        return []

    def settle(self, digest: Digest) -> None:
        """Nobody brings it any more: what it was admitted for is free, unless it is here."""
        version = self._versions.get(digest)
        if version is not None and version.held is None:
            del self._versions[digest]
            self._tell_freed()

    async def pause(self, seconds: float) -> None:
        """So long, or until memory is free."""
        self._waiting += 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._freed.wait()
        finally:
            self._waiting -= 1

    # Leaving

    async def release(self, digest: Digest) -> None:
        """Let go of a version that nobody needs. Whoever wants it meanwhile gets it after that."""
        version = self._versions.pop(digest, None)
        if version is None or version.held is None:
            return
        gone = self._leaving[digest] = asyncio.Event()
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._thread, self._drop, digest, version.held
            )
        finally:
            self._leaving.pop(digest, None)
            gone.set()
            self._tell_freed()
            self._on_change()

    def _drop(self, digest: Digest, held: Held) -> None:
        held.close()
        self._form.drop(digest)

    async def _sweep(self) -> None:
        """Let go of what is spare."""
        claims = self._claims()
        for digest in self.digests():
            if not claims.standings.get(digest, Standing.SPARE):
                _log.info("version is let go of: nobody needs it", digest=str(digest))
                await self.release(digest)

    async def _give_up(self, digest: Digest, coming: Manifest) -> None:
        """It gives way for another: at once, or when the last worker has dropped it."""
        standing = self._claims().standings.get(digest, Standing.SPARE)
        _log.info("version gives way", digest=str(digest), standing=standing.text,
                  coming=str(coming.digest))  # fmt: skip
        if digest in self._versions:
            self._versions[digest].since_s = -math.inf
        self._let_go(digest)
        if self._claims().standings.get(digest, Standing.SPARE) <= Standing.PREFETCHED:
            await self.release(digest)

    def nudge(self) -> None:
        """Something may be free: look, if anybody waits for it."""
        if self._waiting:
            self._nudged.set()

    def _tell_freed(self) -> None:
        freed, self._freed = self._freed, asyncio.Event()
        freed.set()

    # Judging

    def _room(self) -> Room:
        memory = machine.look()
        self.budget = budget_bytes(self._settings.budget, memory)
        return Room(self.budget, memory.available)

    def _judge(self, manifest: Manifest, room: Room, claims: Claims) -> Verdict:
        standing = claims.standings.get(manifest.digest, Standing.PREFETCHED)
        coming = InMemory(manifest.digest, standing, pages_of(manifest))
        present = self._in_memory(claims.standings)
        if standing < Standing.NEEDED:  # what is to be served goes first, wherever it is
            present += [
                InMemory(digest, Standing.NEEDED, {digest.raw: size})
                for digest, size in claims.wanted.items()
                if digest not in self._versions
            ]
        return admission.admit(coming, present, room, self._settings.policy)

    def _in_memory(self, standings: Mapping[Digest, Standing]) -> list[InMemory]:
        return [
            InMemory(digest, standings.get(digest, Standing.NEEDED), one.files, one.since_s)
            for digest, one in self._versions.items()
        ]

    def _why(self, claims: Claims) -> str:
        """What takes the memory, in words."""
        taken: dict[str, list[InMemory]] = {}
        for one in self._in_memory(claims.standings):
            taken.setdefault(one.standing.text, []).append(one)
        parts = [f"{size_text(admission.total(those))} {name}" for name, those in taken.items()]
        held = f" (taken: {', '.join(parts)})" if parts else ""
        return (
            f"{held}. It comes when memory is released, or with a larger --memory-budget, more "
            "memory, or another --memory-policy"
        )

    def _locked_of(self, version: _Version) -> int:
        if version.held is None:
            return 0
        return version.held.bytes if self._form.unswappable else version.held.locked_bytes

    # Measuring

    async def run(self) -> None:
        """Until cancelled."""
        await self.look()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limits.MEASURE_S):
                    while True:
                        await self._nudged.wait()
                        self._nudged.clear()
                        await self._sweep()
            await self.look()

    async def look(self) -> None:
        """Let go of what is spare, measure the rest, and bring back what is lacking."""
        await self._sweep()
        await self._drop_left()
        self._room()
        loop = asyncio.get_running_loop()
        for digest in self.digests():
            version = self._versions.get(digest)
            if version is None or version.held is None:
                continue
            warm = self._claims().standings.get(digest, Standing.SPARE) <= Standing.WARM
            try:
                if warm and not version.unlocked:
                    version.unlocked = True
                    await loop.run_in_executor(self._thread, version.held.unlock)
                version.measured = await loop.run_in_executor(
                    self._thread, version.held.measure, self._rng
                )
                if not warm:
                    await self._bring_back(digest, version, version.held)
            except (RegistryError, OSError) as error:
                _log.warning("memory of a version not looked at", error=str(error))

    async def _drop_left(self) -> None:
        """Copies that an earlier daemon made, and that nobody needs now."""
        loop = asyncio.get_running_loop()
        known = await loop.run_in_executor(self._thread, self._form.known)
        for digest in known - self._versions.keys() - self._claims().standings.keys():
            await loop.run_in_executor(self._thread, self._form.drop, digest)

    async def _bring_back(self, digest: Digest, version: _Version, held: Held) -> None:
        """What the kernel took, if there is memory for it; ever more seldom, if it takes it again
        and again."""
        lacking, now_s = 1 - version.measured.share, self._clock()
        if lacking <= limits.RECLAIMED_SHARE and not version.unlocked:
            version.pause_s = limits.MEASURE_S
            return
        if now_s < version.bring_back_s:
            return
        wanted = int(version.manifest.size * lacking)
        if lacking > limits.RECLAIMED_SHARE:
            _log.warning("pages of a version were reclaimed", digest=str(digest), bytes=wanted)
        version.bring_back_s = now_s + version.pause_s
        version.pause_s = min(2 * version.pause_s, limits.BRING_BACK_S_MAX)
        if self._room().available < wanted:
            return
        loop = asyncio.get_running_loop()
        filled = await loop.run_in_executor(
            self._thread,
            lambda: fill(
                held,
                version.manifest,
                self._stop,
                lock=self._lock,
                hashed=True,
                missing_only=not version.unlocked,
                pace=self._pace,
            ),
        )
        version.unlocked = False
        self.bytes_brought_back += filled.bytes_brought
        version.measured = await loop.run_in_executor(self._thread, held.measure, self._rng)
        if filled.damaged and self._versions.get(digest) is version:
            await self._on_damaged(digest, filled.damaged)
        self._on_change()

    def _measured(self) -> list[_Version]:
        return [one for one in self._versions.values() if one.held is not None]

    def stop(self, *, in_use: bool) -> None:
        """After all work has ended. `in_use`: workers go on with what is in memory."""
        self._stop.set()
        self._thread.shutdown()
        for version in self._measured():
            if version.held is not None:
                version.held.close()
        self._form.close(in_use=in_use)
