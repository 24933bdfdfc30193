"""What a node's `GET /metrics` tells of its cache."""

from __future__ import annotations

from collections.abc import Callable

from cachd.cache.space import Space
from cachd.node.scrubber import Scrubber

Gauge = Callable[[str, str, Callable[[], float]], None]


def tell_cache(gauge: Gauge, space: Space, scrubber: Scrubber) -> None:
    state = scrubber.state
    gauge("cachd_cache_bytes", "Taken of the disk by the cache", space.used)
    gauge("cachd_cache_limit_bytes", "What the cache may take", lambda: space.limit() or 0)
    gauge("cachd_cache_promised_bytes", "Set aside for versions being fetched", space.promised)
    gauge("cachd_scrub_bytes", "Hashed again by scrubbing", lambda: state.bytes_read)
    gauge("cachd_scrub_passes", "Times that all was hashed again", lambda: state.passes)
    gauge("cachd_scrub_chunks_damaged", "Found damaged", lambda: state.chunks_damaged)
