"""A piece of the log as an object: the frames of the log's stream, records in order and then a
signed checkpoint of exactly the log up to the last of them. Format: docs/FORMATS.md, "Backup"."""

from __future__ import annotations

from collections.abc import Sequence

from registry_core.backup.layout import Segment
from registry_core.domain import limits
from registry_core.domain.entry import LogRecord
from registry_core.errors import IntegrityError, InvalidInput
from registry_core.ledger.log_frames import CHECKPOINT, RECORD, FrameParser, encode_frame

SEGMENT_MAX = limits.SEGMENT_BYTES + limits.ENTRY_BODY_MAX + limits.CHECKPOINT_MAX + 4 * limits.KIB
"""One record and the checkpoint may come on top, each with a head."""


def encode_segment(records: Sequence[LogRecord], note: bytes) -> bytes:
    frames = [encode_frame(RECORD, record.encode()) for record in records]
    return b"".join([*frames, encode_frame(CHECKPOINT, note)])


def decode_segment(data: bytes, segment: Segment) -> tuple[list[LogRecord], bytes]:
    """Records and checkpoint, unverified. IntegrityError if it is not shaped like `segment`."""
    records: list[LogRecord] = []
    parser = FrameParser()
    try:
        for frame in parser.feed(data):
            if frame.kind == CHECKPOINT:
                _require_range(records, segment)
                return records, frame.payload
            if frame.kind == RECORD:
                records.append(LogRecord.decode(frame.payload))
    except InvalidInput as error:
        raise IntegrityError(
            f"segment {segment.first}-{segment.last} is damaged: {error}"
        ) from error
    raise IntegrityError(f"segment {segment.first}-{segment.last} ends early")


def _require_range(records: list[LogRecord], segment: Segment) -> None:
    if [record.sequence for record in records] != list(range(segment.first, segment.last + 1)):
        raise IntegrityError(f"segment {segment.first}-{segment.last} holds other entries")
