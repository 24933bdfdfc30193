"""Sending the log: records beyond what the reader has, then the checkpoint that covers them.

The stream follows the log until the reader or the daemon goes. Each round takes a checkpoint and
sends what it covers, no more; a piece is read in a transaction of its own, so that a slow reader
holds none open, and ends with a checkpoint of its own, so that a reader far behind can apply piece
by piece. A reader that claims to have more than there is gets the checkpoint alone: evidence.
Every STREAM_HEARTBEAT_S at least, and behind every round, comes the age of what was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from aiohttp import web

from cachd.api.log_watch import LogWatch
from cachd.control.limits import STREAM_HEARTBEAT_S
from registry_core.domain import limits
from registry_core.errors import NotFound
from registry_core.ledger import log, queries
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.log_frames import (
    CHECKPOINT,
    CONTENT_TYPE,
    RECORD,
    encode_age,
    encode_frame,
)
from registry_core.ledger.store import Reader

_PIECE_BYTES = 256 * 1024


class SentLog(Protocol):
    """A log to send. The next piece beyond `after` are its frames up to a checkpoint, that
    checkpoint, and the last record's sequence. They end at `end` or before, or a little beyond."""

    def read_end(self) -> tuple[bytes | None, int]:
        """The newest checkpoint, and the size that it covers."""
        ...

    def piece(self, after: int, end: int, /) -> tuple[bytes, bytes, int]: ...

    def age_ms(self) -> int: ...


class OwnLog:
    """An authority's: it signs a checkpoint wherever a piece ends."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def read_end(self) -> tuple[bytes | None, int]:
        return _read_end(self._ledger)

    def piece(self, after: int, end: int, /) -> tuple[bytes, bytes, int]:
        with self._ledger.read() as txn:
            frames, last = _frames(txn, after, end, _PIECE_BYTES)
            return frames, self._ledger.checkpoint_at(txn, last), last

    def age_ms(self) -> int:
        return 0


class RelayedLog:
    """A replica's: pieces end where it has kept a checkpoint. `age_ms` is called on each round."""

    def __init__(self, ledger: Ledger, age_ms: Callable[[], int]) -> None:
        self._ledger = ledger
        self.age_ms = age_ms

    def read_end(self) -> tuple[bytes | None, int]:
        return _read_end(self._ledger)

    def piece(self, after: int, _end: int, /) -> tuple[bytes, bytes, int]:
        with self._ledger.read() as txn:
            kept = log.note_beyond(txn, after)
            newest = log.stored_checkpoint(txn) or b""
            last, note = kept if kept is not None else (log.log_size(txn), newest)
            return _frames(txn, after, last)[0], note, last


async def stream_log(
    request: web.Request, sent: SentLog, watch: LogWatch, *, after: int, follow: bool
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
    await response.prepare(request)
    seen = -1
    try:
        while not watch.closed:
            if watch.count != seen:
                seen = watch.count
                after = await _send_beyond(response, sent, after)
            await response.write(encode_age(sent.age_ms()))
            if not follow:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(STREAM_HEARTBEAT_S):
                    await watch.wait(seen)
        await response.write_eof()
    except ConnectionResetError:
        pass  # the reader has gone; it asks again from where it was
    return response


async def _send_beyond(response: web.StreamResponse, sent: SentLog, after: int) -> int:
    """Send what lies beyond `after`; the new end."""
    note, end = sent.read_end()
    if note is None:
        raise NotFound("the log has no checkpoint yet")
    while after < end:
        frames, between, after = sent.piece(after, end)
        covered = note if after == end else between
        await response.write(frames + encode_frame(CHECKPOINT, covered))
        if after >= end:
            return after
    await response.write(encode_frame(CHECKPOINT, note))
    return after


def _read_end(ledger: Ledger) -> tuple[bytes | None, int]:
    with ledger.read() as txn:
        return log.stored_checkpoint(txn), log.log_size(txn)


def _frames(
    txn: Reader, after: int, end: int, bytes_max: int = limits.INTEGER_MAX
) -> tuple[bytes, int]:
    """Frames of the records up to `end`, or until they are `bytes_max`; the last one's sequence.
    Entries never change, so it does not matter that the log may have grown meanwhile."""
    piece = bytearray()
    for record in queries.log_records(txn, after):
        if record.sequence > end or len(piece) >= bytes_max:
            break
        piece += encode_frame(RECORD, record.encode())
        after = record.sequence
    return bytes(piece), after
