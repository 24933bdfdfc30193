"""The log as a stream of frames."""

from __future__ import annotations

from aiohttp import web

from cachd.api.log_stream import SentLog, stream_log
from cachd.api.log_watch import LogWatch
from cachd.api.operations import Operation
from cachd.api.parsing import whole_number
from registry_core.domain import limits
from registry_core.ledger import log_frames


class LogApi:
    def __init__(self, sent: SentLog, watch: LogWatch) -> None:
        self._sent = sent
        self._watch = watch

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/v1/log", self.log,
                      "The log from a position on, as a stream of frames", None,
                      query=(("after", "last sequence that is held already, default 0"),
                             ("follow", "1 (default): go on as the log grows; 0: end")),
                      media_type=log_frames.CONTENT_TYPE, streams=True),
        ]  # fmt: skip

    async def log(self, request: web.Request) -> web.StreamResponse:
        after = whole_number(request, "after", 0, limits.INTEGER_MAX, 0)
        follow = whole_number(request, "follow", 0, 1, 1) == 1
        return await stream_log(request, self._sent, self._watch, after=after, follow=follow)
