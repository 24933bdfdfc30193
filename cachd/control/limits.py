"""Bounds of the control API and of what daemons tell each other, with their relations."""

from __future__ import annotations

MIB = 1024 * 1024

REQUEST_BODY_MAX = 4 * MIB
NODES_MAX = 10_000
WRITERS_MAX = 32
"""Changes that wait for the disk at once; they share commits."""
REQUEST_S_MAX = 30.0
"""A request whose body or answer takes longer is cut off; streams are not meant."""
REQUESTS_AT_ONCE_MAX = 1_024
STREAMS_MAX = 4_096
REQUESTS_PER_SECOND = 1_000.0
REQUESTS_BURST = 5_000.0
"""Of one client address: far above what a deploy pipeline does, far below what would hurt."""
CLIENTS_REMEMBERED_MAX = 20_000
POLL_S_MAX = 25
"""The longest wait of a long poll; below what a request may take."""
EVENTS_PER_BATCH = 100
HEARTBEAT_S = 15.0
STREAM_HEARTBEAT_S = 5.0
"""The log's stream says at least so often that it is alive, and how old it is."""
STREAM_STALLED_S = 10.0
"""A reader of a stream that takes nothing for this long is cut off; it can go on where it was."""
CHECKPOINT_IDLE_S = 60.0
"""The authority signs a fresh checkpoint after this long without a change."""

REPORT_INTERVAL_S = 5.0
REPORT_DEBOUNCE_S = 0.02
ROSTER_SWEEP_MS = 1_000  # between two looks at who has fallen silent
EXCHANGE_S = 2.0
"""How often authorities that share a store hand on what nodes told them."""
FORGOTTEN_AFTER_MS = 3_600_000
SILENT_AFTER_MS = 15_000
"""A node that was not heard of for this long is no source of chunks and shown as silent."""
TOLD_LATELY_S = 15.0
"""After so long without an authority, what is found elsewhere says better where a node is."""

LOG_POLL_S = 0.05
"""How often an authority looks for what the others have written, where there are others."""

STREAM_IDLE_S_MAX = 20.0
"""A log stream that says nothing at all for this long is taken for dead."""
RELAY_AGAIN_S = 60.0
"""So long a node follows an authority before it tries its relay again."""
TTL_S_MIN, TTL_S_MAX, TTL_S_DEFAULT = 30.0, 300.0, 60.0
"""A replica that has heard nothing for its TTL answers on, and says that it is stale."""
SCRUB_DAYS_DEFAULT = 14.0
STREAM_BUFFER_MAX = 512 * MIB
PREVIEW_ENTRIES_MAX = 16
"""Batches up to this size are looked at on the event loop before the disk has them."""
RECONNECT_S_MIN, RECONNECT_S_MAX = 0.05, 2.0
RETRY_S_MIN, RETRY_S_MAX = 0.2, 10.0

BACKUP_DEBOUNCE_S, BACKUP_EVERY_S = 0.05, 0.5
"""What is committed within so long of another goes into one upload; and uploads begin no oftener
than that, so that their syncs do not slow down commits on the same disk."""

GC_POLL_S = 0.2
"""How often a client asks how far gc is."""
NODES_KNOWN_AFTER_S = 2 * REPORT_INTERVAL_S
"""An authority that has been up for so long has heard from every node that is alive."""
VERSIONS_HELD_MAX = 10_000
"""Of a node's report: versions that it holds without serving them."""

STAGES_PER_NODE_MAX = 10_000
BRINGS_MAX = 4
"""Versions that a node fetches or verifies at once; others wait their turn."""

READY_TIMEOUT_S_MIN, READY_TIMEOUT_S_MAX = 0.1, 86_400.0
WARM_SPREAD_S_MAX = 3_600.0
LOAD_AT_ONCE_MAX = 4_096
WORKERS_PER_REPORT_MAX = 512
"""Single workers in a node's report, over all of its stages."""

assert POLL_S_MAX < REQUEST_S_MAX
assert SILENT_AFTER_MS >= 3 * REPORT_INTERVAL_S * 1000, "two lost reports do not silence a node"
assert STREAM_IDLE_S_MAX > 3 * STREAM_HEARTBEAT_S
