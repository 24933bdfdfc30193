"""Sending the log: records beyond what the reader has, then the checkpoint that covers them.

The stream follows the log until the reader or the daemon goes. Each round reads one consistent
view, so a checkpoint always covers exactly what was sent.
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
    while True:
        seen = watch.count
        after = await _send_beyond(response, ledger, after)
        if not follow:
            break
        await watch.wait(seen)
    await response.write_eof()
    return response


async def _send_beyond(response: web.StreamResponse, ledger: Ledger, after: int) -> int:
    """Send what lies beyond `after`; the new end."""
    with ledger.read() as txn:
        note = log.stored_checkpoint(txn)
        if note is None:
            raise NotFound("the log has no checkpoint yet")
        piece = bytearray()
        for record in queries.log_records(txn, after):
            piece += encode_frame(RECORD, record.encode())
            after = record.sequence
            if len(piece) >= _PIECE_BYTES:
                await response.write(bytes(piece))
                piece.clear()
        piece += encode_frame(CHECKPOINT, note)
        await response.write(bytes(piece))
    return after
