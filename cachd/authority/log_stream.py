"""Sending the log: records beyond what the reader has, then the checkpoint that covers them.

The stream follows the log until the reader or the daemon goes. Each round takes a checkpoint and
sends what it covers, no more; a piece is read in a transaction of its own, so that a slow reader
holds none open, and ends with a checkpoint of its own, so that a reader far behind can apply piece
by piece. A reader that claims to have more than there is gets the checkpoint alone: evidence.
"""

from __future__ import annotations

from aiohttp import web

from cachd.authority.log_watch import LogWatch
from registry_core.errors import NotFound
from registry_core.ledger import log, queries
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.log_frames import CHECKPOINT, CONTENT_TYPE, RECORD, encode_frame

_PIECE_BYTES = 256 * 1024


async def stream_log(
    request: web.Request, ledger: Ledger, watch: LogWatch, *, after: int, follow: bool
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
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
    while after < end:
        piece, after, between = _piece(ledger, after, end)
        await response.write(piece + encode_frame(CHECKPOINT, note if after == end else between))
        if after == end:
            return after
    await response.write(encode_frame(CHECKPOINT, note))
    return after


def _piece(ledger: Ledger, after: int, end: int) -> tuple[bytes, int, bytes]:
    """Frames of the next records up to `end`, the last one's sequence, and a checkpoint of just
    these. Entries never change, so it does not matter that the log may have grown meanwhile."""
    piece = bytearray()
    with ledger.read() as txn:
        for record in queries.log_records(txn, after):
            if record.sequence > end or len(piece) >= _PIECE_BYTES:
                break
            piece += encode_frame(RECORD, record.encode())
            after = record.sequence
        return bytes(piece), after, ledger.checkpoint_at(txn, after)
