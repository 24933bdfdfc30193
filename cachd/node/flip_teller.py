"""What the host does, in the node's log and its `GET /metrics`. Event loop only."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from cachd.node.read_api import ReadApi
from cachd.serve.flip_events import FlipEvent, HeldBack, LoadedBy, PutInForce

_log = structlog.get_logger("cachd.node")
_BUCKETS_S = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)


class FlipTeller:
    """`on_event` is the host's; `count_at` adds the figures of an API, if there is one."""

    def __init__(self) -> None:
        self._flip: Callable[[str], None] = _nowhere
        self._held_back: Callable[[str], None] = _nowhere
        self._loaded: Callable[[float], None] = _nowhere

    def count_at(self, api: ReadApi, held_back: Callable[[], float]) -> None:
        self._flip = api.counter("cachd_flips", "Versions put in force", "stage")
        self._held_back = api.counter(
            "cachd_flips_held_back", "Versions kept out of force for a reason, once each", "reason"
        )
        self._loaded = api.histogram(
            "cachd_prepare_seconds",
            "From PREPARE until a worker had loaded and warmed the version",
            _BUCKETS_S,
        )
        api.gauge("cachd_stages_held_back", "Stages whose version is kept out now", held_back)

    def on_event(self, event: FlipEvent) -> None:
        if isinstance(event, PutInForce):
            self._flip(event.stage)
            _log.info("flip", stage=f"{event.model}@{event.stage}", version=event.number)
        elif isinstance(event, HeldBack):
            self._held_back(event.reason)
            _log.warning(
                "flip held back", stage=f"{event.model}@{event.stage}", version=event.number,
                reason=event.reason, why=event.why,
            )  # fmt: skip
        elif isinstance(event, LoadedBy):
            self._loaded(event.seconds)


def _nowhere(_value: object) -> None:
    return
