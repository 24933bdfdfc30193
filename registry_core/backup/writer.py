"""Uploading what the log has and the backup has not.

Each upload is a segment of its own, so that what was committed is in the origin after one request.
When SEGMENTS_SMALL_MAX of them have gathered behind the last full one they are joined: the larger
one first, then the small ones go. So at every moment the backup is complete up to the last upload,
and a crash leaves at most segments that others cover. Two writers of one ledger write the same.

Threads: one caller at a time.
"""

from __future__ import annotations

import secrets
from contextlib import suppress

from registry_core.backup.layout import Segment, root_key, segment_key
from registry_core.backup.line import find_lines
from registry_core.backup.segment import encode_segment
from registry_core.domain import limits
from registry_core.domain.entry import LogRecord
from registry_core.domain.policy import Root
from registry_core.errors import NotFound
from registry_core.ledger import log, queries
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.log_frames import RECORD, encode_frame
from registry_core.ledger.store import Reader, Table
from registry_core.origin.store import Origin

_LINE = b"backup_line"


class BackupWriter:
    """Of one writable ledger into one origin. `position` is the last entry that is backed up."""

    def __init__(self, ledger: Ledger, root: Root, origin: Origin) -> None:
        self._ledger = ledger
        self._root = root
        self._origin = origin
        self._line = ""
        self._small: list[Segment] = []  # behind the last full one
        self.position = 0

    def run_once(self) -> int:
        """Upload all there is now; the new position."""
        if not self._line:
            self._begin()
        while self._upload(self.position + 1):
            pass
        if len(self._small) > limits.SEGMENTS_SMALL_MAX:
            self._join()
        return self.position

    def behind(self) -> tuple[int, int]:
        """Entries that are not backed up, and the time in Unix ms of the oldest of them."""
        with self._ledger.read() as txn:
            missing = log.log_size(txn) - self.position
            if missing <= 0:
                return 0, 0
            return missing, queries.log_record(txn, self.position + 1).entry().time_ms

    def _begin(self) -> None:
        """Go on with this ledger's line, unless what is there is not of this log."""
        self._origin.put_new(root_key(self._root.registry), self._root.encoded)
        name = self._named_line()
        line = find_lines(self._origin, self._root.registry).get(name)
        covered = line.cover() if line is not None and line.agrees_with(self._ledger) else []
        if line is not None and not covered:
            name = ""  # of another history of this registry: leave it as it is
        self._line = name or self._name_line(than=line.line if line is not None else "")
        self.position = covered[-1].last if covered else 0
        for segment in covered:
            self._note(segment)
        if line is not None and covered:
            for segment in line.segments:
                if segment not in covered:
                    self._delete(segment)

    def _upload(self, first: int) -> Segment | None:
        """Entries from `first` on, as many as fit into one segment."""
        with self._ledger.read() as txn:
            records = _piece(txn, first)
            if not records:
                return None
            note = self._ledger.checkpoint_at(txn, records[-1].sequence)
        data = encode_segment(records, note)
        made = Segment(first, records[-1].sequence, len(data))
        self._origin.put(segment_key(self._root.registry, self._line, made), data)
        if made.last > self.position:
            self.position = made.last
            self._note(made)
        return made

    def _join(self) -> None:
        joined, first, small = [], self._small[0].first, self._small
        while first <= self.position and (made := self._upload(first)) is not None:
            joined.append(made)
            first = made.last + 1
        self._small = []
        for segment in joined:
            self._note(segment)
        for segment in small:
            if segment not in joined:
                self._delete(segment)

    def _note(self, segment: Segment) -> None:
        full = segment.bytes >= limits.SEGMENT_BYTES
        self._small = [] if full else [*self._small, segment]

    def _delete(self, segment: Segment) -> None:
        with suppress(NotFound):
            self._origin.delete(segment_key(self._root.registry, self._line, segment))

    def _named_line(self) -> str:
        with self._ledger.read() as txn:
            return (txn.get(Table.META, _LINE) or b"").decode()

    def _name_line(self, than: str) -> str:
        """Another one `than` that; what another writer of this ledger has named since, if any."""
        made = secrets.token_hex(8)
        with self._ledger.store.write() as txn:
            known = (txn.get(Table.META, _LINE) or b"").decode()
            if known not in ("", than):
                return known
            txn.put(Table.META, _LINE, made.encode())
        return made


def _piece(txn: Reader, first: int) -> list[LogRecord]:
    taken, size = [], 0
    for record in queries.log_records(txn, first - 1):
        taken.append(record)
        size += len(encode_frame(RECORD, record.encode()))
        if size >= limits.SEGMENT_BYTES:
            break
    return taken
