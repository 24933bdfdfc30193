"""Which object of a backup has which key in an origin. Format: docs/FORMATS.md, "Backup".

    backup/<registry>/root.json
    backup/<registry>/<line>/<first>-<last>.seg     16 digits each

A *line* is one ledger's own series of segments, named at random when that ledger is first backed
up. A ledger that was restored begins another, so two that go different ways never mix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BACKUP = "backup"
_SEGMENT = re.compile(r"([0-9a-f]{16})/([0-9]{16})-([0-9]{16})\.seg")


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """Entries `first` to `last` of the log, in an object of so many bytes."""

    first: int
    last: int
    bytes: int = 0


def root_key(registry: str) -> str:
    return f"{BACKUP}/{registry}/root.json"


def registry_prefix(registry: str) -> str:
    return f"{BACKUP}/{registry}"


def segment_key(registry: str, line: str, segment: Segment) -> str:
    return f"{BACKUP}/{registry}/{line}/{segment.first:016}-{segment.last:016}.seg"


def parse_segment_key(registry: str, key: str, size: int) -> tuple[str, Segment] | None:
    """(line, segment), or None for what is no segment of this registry."""
    matched = _SEGMENT.fullmatch(key.removeprefix(f"{BACKUP}/{registry}/"))
    if matched is None or not 1 <= int(matched[2]) <= int(matched[3]):
        return None
    return matched[1], Segment(int(matched[2]), int(matched[3]), size)
