"""Versions that this node is to bring before they are needed, and keeps until a wish for them ends.

What is wished is in the log, so a node that restarts, or joins late, brings it as well. A wish that
ends while its version is being fetched ends the fetch. Event loop only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from random import Random

import structlog

from cachd.control.limits import RETRY_S_MAX, RETRY_S_MIN
from cachd.control.reports import PrefetchReport
from cachd.node.desired import Wish
from cachd.node.residency import Residency
from registry_core.domain.identifiers import Digest
from registry_core.errors import IntegrityError, RegistryError, Unauthorized

_log = structlog.get_logger("cachd.node")


class Prefetcher:
    """`want` says all that is wished; each wish has a task in `group`."""

    def __init__(self, residency: Residency, group: asyncio.TaskGroup, rng: Random) -> None:
        self._residency = residency
        self._group = group
        self._rng = rng
        self._wishes: dict[Digest, Wish] = {}
        self._tasks: dict[Digest, asyncio.Task[None]] = {}
        self._trouble: dict[Digest, tuple[str, str]] = {}

    def want(self, wishes: Mapping[Digest, Wish]) -> None:
        self._wishes = dict(wishes)
        for digest in [one for one in self._tasks if one not in wishes]:
            self._tasks.pop(digest).cancel()
            self._trouble.pop(digest, None)
        for digest in self.wanted():
            task = self._tasks.get(digest)
            if task is None or (task.done() and self._residency.path_of(digest) is None):
                self._tasks[digest] = self._group.create_task(
                    self._bring(digest), name=f"prefetch {digest}"
                )

    def wanted(self) -> set[Digest]:
        """Versions of wishes that have not ended."""
        return {digest for digest, wish in self._wishes.items() if _left_s(wish) > 0}

    def pinned(self) -> set[Digest]:
        """Of these, those that stay in memory whatever else needs that."""
        return {digest for digest in self.wanted() if self._wishes[digest].pinned}

    def reports(self) -> list[PrefetchReport]:
        return [self._report(digest) for digest in sorted(self.wanted())]

    def _report(self, digest: Digest) -> PrefetchReport:
        version, arrival = self._wishes[digest].version, self._residency.arrival(digest)
        state, detail = self._trouble.get(digest) or (arrival.state, "")
        if self._residency.path_of(digest) is not None:
            state, detail = "resident", ""
        return PrefetchReport(
            version.model, version.number, str(digest), state, detail,
            arrival.bytes_done, arrival.bytes_total,
        )  # fmt: skip

    async def _bring(self, digest: Digest) -> None:
        """Retry until the version is here, or the wish for it has ended."""
        pause_s = RETRY_S_MIN
        while digest in self.wanted():
            wish = self._wishes[digest]
            try:
                async with asyncio.timeout(_left_s(wish)):
                    await self._residency.bring(wish.version)
                self._trouble.pop(digest, None)
                return
            except (IntegrityError, Unauthorized) as error:
                self._trouble[digest] = ("refused", str(error))
            except (RegistryError, OSError) as error:
                self._trouble[digest] = ("waiting", str(error))
            _log.warning(
                "version is not prefetched yet", model=wish.version.model,
                version=wish.version.number, why=self._trouble[digest][1],
            )  # fmt: skip
            await self._residency.pause(pause_s * (0.5 + self._rng.random()))
            pause_s = min(pause_s * 2, RETRY_S_MAX)


def _left_s(wish: Wish) -> float:
    return wish.until_ms / 1000 - time.time()
