"""A slow pass over all that is held, for ever: bit rot is found before it is needed, and mended.

Each file is read at a bounded rate and at idle I/O priority; between two files the pass pauses, so
that it takes about `period_s` however much there is. How far it is outlasts a restart. A damaged
file is no source any more at once; for versions that are kept its damaged chunks are fetched
again, and other versions that have it are evicted. Event loop only; reading runs in a thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import structlog

from cachd import limits
from cachd.cache.cache import Cache
from cachd.node.durable import replace_durably
from cachd.node.priority import read_when_idle
from cachd.node.residency import Residency
from registry_core.domain.identifiers import Digest
from registry_core.errors import RegistryError

_log = structlog.get_logger("cachd.node")


class ScrubState(msgspec.Struct):
    """As it is kept: the file looked at last, when the next one is due (Unix time), and counts
    since the node was set up."""

    after: str = ""
    due_s: float = 0.0
    passes: int = 0
    bytes_read: int = 0
    chunks_damaged: int = 0


class Scrubber:
    """`kept` is asked when damage is found; `on_change` is called after it."""

    def __init__(
        self,
        cache: Cache,
        residency: Residency,
        file: Path,
        *,
        period_s: float,
        kept: Callable[[], set[Digest]],
        on_change: Callable[[], None],
    ) -> None:
        self._cache = cache
        self._residency = residency
        self._file = file
        self._period_s = period_s
        self._kept = kept
        self._on_change = on_change
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(1, "scrub", read_when_idle)
        self._mending: set[Digest] = set()
        self.state = _read(file)

    async def run(self) -> None:
        try:
            while self._period_s > 0:
                await asyncio.sleep(self._pause_s())
                try:
                    looked = await self.step()
                except (RegistryError, OSError) as error:
                    _log.warning("scrubbing goes on later", error=str(error))
                    looked = False
                if not looked:
                    await asyncio.sleep(limits.SCRUB_RETRY_S)
        finally:
            self._stop.set()
            self._thread.shutdown(wait=False)

    async def step(self) -> bool:
        """Look at the next file, and mend what is damaged. False: there is nothing to look at."""
        await self._mend()
        files = self._cache.complete_files()
        root = _next(sorted(files), self.state)
        if root is None:
            return False
        loop = asyncio.get_running_loop()
        bad = await loop.run_in_executor(self._thread, self._cache.scrub, root, self._stop)
        share = files[root] / max(1, sum(files.values()))
        self.state.after, self.state.due_s = root.hex(), time.time() + self._period_s * share
        self.state.bytes_read += files[root]
        self.state.chunks_damaged += bad
        if bad:
            await self._damaged(root, bad)
        await asyncio.to_thread(replace_durably, self._file, msgspec.json.encode(self.state))
        return True

    def _pause_s(self) -> float:
        """Never beyond a period, whatever became of the clock, and soon if something is broken."""
        longest_s = limits.SCRUB_RETRY_S if self._mending else self._period_s
        return max(0.0, min(self.state.due_s - time.time(), longest_s))

    async def _damaged(self, root: bytes, bad: int) -> None:
        versions = {
            digest
            for digest, manifest in self._cache.versions().items()
            if any(file.chunk_root == root for file in manifest.files)
        }
        _log.error("bit rot", file=root.hex(), chunks=bad, versions=sorted(map(str, versions)))
        self._mending |= versions
        await self._mend()
        self._on_change()

    async def _mend(self) -> None:
        for digest in sorted(self._mending, key=str):
            try:
                if digest in self._kept():
                    await self._residency.mend(digest)
                else:
                    await self._residency.evict(digest)
            except (RegistryError, OSError) as error:
                _log.warning("not mended yet", digest=str(digest), error=str(error))
            else:
                _log.info("damage is mended", digest=str(digest))
                self._mending.discard(digest)


def _next(roots: list[bytes], state: ScrubState) -> bytes | None:
    """The file after the last one, in the order of roots; a new pass begins at the end."""
    after = bytes.fromhex(state.after)
    following = next((root for root in roots if root > after), None)
    if following is None and roots:
        state.passes += bool(after)
        return roots[0]
    return following


def _read(file: Path) -> ScrubState:
    """What was kept; a file that is lost or damaged means a pass from the beginning."""
    try:
        state = msgspec.json.decode(file.read_bytes(), type=ScrubState)
        bytes.fromhex(state.after)
    except (OSError, ValueError, msgspec.DecodeError):
        return ScrubState()
    return state
