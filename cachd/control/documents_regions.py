"""JSON bodies about regions, what their origins hold, and what their nodes are to bring."""

from __future__ import annotations

import msgspec

from cachd.control.documents import ChangeBody
from registry_core.ledger.records import CopyRecord, PrefetchRecord, RegionRecord


class RegionsBody(msgspec.Struct):
    """`home` is the region that is pushed to; its origin is that of `/v1/registry`."""

    home: str
    others: list[RegionRecord]


class RegionBody(msgspec.Struct, forbid_unknown_fields=True):
    """Where a region's origin is. No credentials: they come from the environment."""

    url: str
    change: ChangeBody
    options: dict[str, str] = {}


class CopiesBody(msgspec.Struct):
    """Versions that origins hold, besides that of the home region."""

    copies: list[CopyRecord]


class CopyBody(msgspec.Struct, forbid_unknown_fields=True):
    """`push`: the copying, as it was announced before it began; this ends it."""

    push: str
    change: ChangeBody


class PrefetchBody(msgspec.Struct, forbid_unknown_fields=True):
    """`regions`: names, or `*` for every one. `keep_ms`: nodes keep the version for so long."""

    regions: list[str]
    keep_ms: int
    change: ChangeBody


class PrefetchesBody(msgspec.Struct):
    prefetches: list[PrefetchRecord]


class PinBody(msgspec.Struct, forbid_unknown_fields=True):
    """`regions`: names, or `*` for every one. `keep_ms`: for so long; null: until unpinned."""

    regions: list[str]
    change: ChangeBody
    keep_ms: int | None = None


class PinsBody(msgspec.Struct):
    pins: list[PrefetchRecord]
