"""The whole log of an authority, or of a node, as it is now."""

from __future__ import annotations

from collections.abc import Iterator

from cachd.control.http import HttpClient
from registry_core.domain.entry import LogRecord
from registry_core.errors import NotFound
from registry_core.ledger.log_frames import CHECKPOINT, RECORD, FrameParser


class LogDownload:
    """Iterate the records, once; `note` is then the signed checkpoint that covers them."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._note = b""

    def __iter__(self) -> Iterator[LogRecord]:
        parser = FrameParser()
        for piece in self._client.stream("/v1/log?after=0&follow=0"):
            for frame in parser.feed(piece):
                if frame.kind == CHECKPOINT:
                    self._note = frame.payload
                elif frame.kind == RECORD:
                    yield LogRecord.decode(frame.payload)

    def note(self) -> bytes:
        if not self._note:
            raise NotFound(f"the log of {self._client.url} ended without a checkpoint")
        return self._note
