"""Sending the log: records beyond what the reader has, then the checkpoint that covers them.

The stream follows the log until the reader or the daemon goes. Each round takes a checkpoint and
sends what it covers, no more; a piece is read in a transaction of its own, so that a slow reader
holds none open.
"""

from __future__ import annotations

from aiohttp import web

from cachd.authority.log_watch import LogWatch
from cachd.control.log_frames import CHECKPOINT, CONTENT_TYPE, RECORD, encode_frame
from registry_core.errors import InvalidInput, NotFound
from registry_core.ledger import log, queries
from registry_core.ledger.ledger import Ledger

_PIECE_BYTES = 256 * 1024


async def stream_log(
    request: web.Request, ledger: Ledger, watch: LogWatch, *, after: int, follow: bool
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
    with ledger.read() as txn:
        size = log.log_size(txn)
    if after > size:
        raise InvalidInput(f"the log has {size} entries: nothing lies after {after}")
    await response.prepare(request)
    seen = -1
    try:
        while not watch.closed:
            seen = watch.count
            after = await _send_beyond(response, ledger, after)
            if not follow:
                break
            await watch.wait(seen)
        await response.write_eof()
    except ConnectionResetError:
        pass  # the reader has gone; it asks again from where it was
    return response


async def _send_beyond(response: web.StreamResponse, ledger: Ledger, after: int) -> int:
    """Send what lies beyond `after`; the new end."""
    with ledger.read() as txn:
        note, end = log.stored_checkpoint(txn), log.log_size(txn)
    if note is None:
        raise NotFound("the log has no checkpoint yet")
    while True:
        piece, after = _piece(ledger, after, end)
        if after >= end or not piece:
            break
        await response.write(piece)
    await response.write(piece + encode_frame(CHECKPOINT, note))
    return after


def _piece(ledger: Ledger, after: int, end: int) -> tuple[bytes, int]:
    """Frames of the next records up to `end`, and the last one's sequence. Entries never change,
    so it does not matter that the log may have grown since `end` was read."""
    piece = bytearray()
    with ledger.read() as txn:
        for record in queries.log_records(txn, after):
            if record.sequence > end or len(piece) >= _PIECE_BYTES:
                break
            piece += encode_frame(RECORD, record.encode())
            after = record.sequence
    return bytes(piece), after
