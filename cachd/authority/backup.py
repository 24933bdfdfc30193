"""The continuous backup: what was committed is in the origin within a second.

Woken by the log, it waits BACKUP_DEBOUNCE_S for more, then uploads in a thread; under load, every
BACKUP_EVERY_S. At idle nothing is
asked of the origin. A fault is retried with back-off and told: as `behind` and `lag_s` in the state
and in /metrics, and as a warning in the log while it lasts. Event loop only.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from cachd.api.log_watch import LogWatch
from cachd.control.documents import BackupBody
from cachd.control.limits import BACKUP_DEBOUNCE_S, BACKUP_EVERY_S, RETRY_S_MAX, RETRY_S_MIN
from registry_core.backup.writer import BackupWriter
from registry_core.errors import RegistryError

_FINISH_S = 3.0
_log = structlog.get_logger("cachd.authority")


class ContinuousBackup:
    def __init__(self, writer: BackupWriter, watch: LogWatch, *, wanted: bool) -> None:
        self._writer = writer
        self._watch = watch
        self._wanted = wanted
        self._error = ""
        self._uploading: asyncio.Future[int] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        if not self._wanted:
            return
        pause_s = RETRY_S_MIN
        while True:
            seen, began_s = self._watch.count, time.monotonic()
            try:
                self._uploading = self._start_upload()
                await asyncio.shield(self._uploading)
            except RegistryError as error:
                self._error = str(error)
                _log.warning("the log is not backed up", error=self._error, lag_s=self.lag_s())
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_S_MAX)
                continue
            self._error, pause_s = "", RETRY_S_MIN
            await self._watch.wait(seen)
            rest_s = began_s + BACKUP_EVERY_S - time.monotonic()
            await asyncio.sleep(max(BACKUP_DEBOUNCE_S, rest_s))

    def _start_upload(self) -> asyncio.Future[int]:
        """In a thread of its own, which an origin that hangs cannot make the daemon wait for."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()

        def tell(set_it: Callable[[Any], None], value: Any) -> None:
            if not done.done():
                set_it(value)

        def upload() -> None:
            try:
                said, value = done.set_result, self._writer.run_once()
            except Exception as error:
                said, value = done.set_exception, error  # type: ignore[assignment]  # either one
            with suppress(RuntimeError):  # the daemon has stopped
                loop.call_soon_threadsafe(tell, said, value)

        threading.Thread(target=upload, name="backup", daemon=True).start()
        return done

    async def finish(self) -> None:
        """After `run` was cancelled: let the upload that is under way end; it uses the ledger."""
        if self._uploading is not None:
            await asyncio.wait({self._uploading}, timeout=_FINISH_S)

    def state(self) -> BackupBody:
        behind, oldest_ms = self._writer.behind()
        lag_s = _age_s(oldest_ms) if behind else 0.0
        return BackupBody(self._wanted, self._writer.position, behind, lag_s, self._error)

    def lag_s(self) -> float:
        """Age of the oldest entry that is not backed up; 0 if all are."""
        behind, oldest_ms = self._writer.behind()
        return _age_s(oldest_ms) if behind and self._wanted else 0.0


def _age_s(time_ms: int) -> float:
    return max(0.0, time.time() - time_ms / 1000)
