"""Runs of gc at the authority: one at a time, in a thread of their own.

`start` and `state` are called on the event loop; the thread tells how far it is by replacing one
record. A run whose authority is stopped ends between two steps, and the next one goes on.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Collection

import msgspec
import structlog

from cachd.api.log_watch import LogWatch
from cachd.control.documents_garbage import GcRunBody
from cachd.control.limits import NODES_KNOWN_AFTER_S
from registry_core.domain.identifiers import Digest
from registry_core.embedded.control import EmbeddedControl
from registry_core.errors import Conflict, NotFound, RegistryError
from registry_core.garbage.collect import collect_garbage
from registry_core.ledger.change import Change
from registry_core.origin.store import Origin

_log = structlog.get_logger("cachd.authority")
_replace = msgspec.structs.replace
Held = Callable[[], Collection[Digest]]


class GcRuns:
    """`held` says which versions nodes still hold, on the event loop."""

    def __init__(
        self, control: EmbeddedControl, origin: Origin, held: Held, watch: LogWatch
    ) -> None:
        self._control = control
        self._origin = origin
        self._held = held
        self._watch = watch
        self._began_s = time.monotonic()
        self._cancel = threading.Event()
        self._thread: threading.Thread | None = None
        self._run: GcRunBody | None = None
        self._key = ""

    def start(self, change: Change, *, dry_run: bool) -> GcRunBody:
        """Begin a run. Asked again under the same key: the run that it began."""
        if self._run is not None and change.body and change.request_id == self._key:
            return self._run
        if self._run is not None and self._run.state == "running":
            raise Conflict("gc is running: `GET /v1/gc` says how far it is")
        self._run = GcRunBody(uuid.uuid4().hex, "running", dry_run)
        self._key = change.request_id
        work = (self._run, change, asyncio.get_running_loop())
        self._thread = threading.Thread(target=self._work, args=work, name="gc", daemon=True)
        self._thread.start()
        return self._run

    def state(self) -> GcRunBody:
        if self._run is None:
            raise NotFound("gc did not run since this authority started: POST /v1/gc runs it")
        return self._run

    def close(self) -> None:
        """Let a run end at its next step, and wait for it."""
        self._cancel.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self, run: GcRunBody, change: Change, loop: asyncio.AbstractEventLoop) -> None:
        def tell(phase: str, done: int, total: int) -> None:
            if self._run is not None and self._run.phase != phase:
                loop.call_soon_threadsafe(self._watch.notify)
            self._run = _replace(run, phase=phase, done=done, total=total)

        try:
            self._wait_for_nodes(dry_run=run.dry_run)
            report = collect_garbage(
                self._control,
                self._origin,
                Change(change.actor, change.reason, run.run),
                dry_run=run.dry_run,
                protected=asyncio.run_coroutine_threadsafe(self._ask_held(), loop).result(),
                progress=tell,
                cancel=self._cancel,
            )
            self._run = _replace(run, state="done", report=report)
        except RegistryError as error:
            _log.warning("gc failed", error=str(error))
            self._run = _replace(run, state="failed", code=error.code, detail=str(error))
        except Exception:
            _log.exception("gc failed")
            detail = "gc failed; the authority's log says where"
            self._run = _replace(run, state="failed", code="registry_error", detail=detail)
        finally:
            loop.call_soon_threadsafe(self._watch.notify)

    async def _ask_held(self) -> Collection[Digest]:
        return self._held()

    def _wait_for_nodes(self, *, dry_run: bool) -> None:
        """An authority that has just started has not heard yet of what nodes hold."""
        if not dry_run and self._control.garbage.has_condemned():
            self._cancel.wait(max(0.0, self._began_s + NODES_KNOWN_AFTER_S - time.monotonic()))
