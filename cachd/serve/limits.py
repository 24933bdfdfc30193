"""Every bound of the local socket, the flip page, the client and the host; relations asserted.

Standard library only: inference processes import this.
"""

from __future__ import annotations

KIB = 1024

# Flip page
PAGE_SLOTS_DEFAULT = 1024
PAGE_SLOTS_MAX = 65_536
HANDLE_BITS = 24
HANDLE_MAX = (1 << HANDLE_BITS) - 1
FLIP_MAX = (1 << (64 - HANDLE_BITS)) - 1
RECORD_READS_MAX = 1_000  # of one word whose record does not fit it, before the page is damaged
SPLIT_WHOLE = 1_000  # a share of the requests is in per mille
SPLIT_READS_MAX = 100  # of a record whose split does not fit it, before it counts as having none
KEY_DIGITS_MAX = 1_000  # of a key that is a number, as decimal text

# Requests as workers tell of them
OBSERVED_S_MAX = 1e6  # what took longer counts as this
FOLD_AT = 128  # requests that pile up before they are counted, unless a second passes
TELL_EVERY_S = 1.0
VERSIONS_TOLD_MAX = 16  # in one message
REQUESTS_TOLD_MAX = 1 << 40  # in one message, per version and bucket
VERSIONS_COUNTED_MAX = 16  # of one stage, by the host

# Frames
FRAME_BYTES_MAX = 64 * KIB
FDS_PER_FRAME_MAX = 4
RECEIVE_BYTES = 64 * KIB
U64_MAX = (1 << 64) - 1

# Texts and lists in messages
NAME_CHARS_MAX = 128
DIGEST_CHARS_MAX = 128
PATH_CHARS_MAX = 4096
CLIENT_CHARS_MAX = 128
ERROR_CHARS_MAX = 2_000
FILES_LISTED_MAX = 10_000
HELD_MAX = 256

# Client
ATTACH_TIMEOUT_S = 60.0
RECONNECT_FIRST_S = 0.05
RECONNECT_MAX_S = 1.0
SEND_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0
LIST_DEPTH_MAX = 32

# Loaders; bounds of the registry where it has them
SAFETENSORS_HEADER_BYTES_MAX = 100 * 1024 * KIB
TENSORS_MAX = 1_000_000
TENSOR_DIMENSIONS_MAX = 64  # numpy's bound
INDEX_BYTES_MAX = SAFETENSORS_HEADER_BYTES_MAX
SHARDS_MAX = FILES_LISTED_MAX
U63_MAX = (1 << 63) - 1

# Host
WORKERS_MAX = 4096
ACCEPTS_PER_WAKE = 64
SEND_QUEUE_BYTES_MAX = 1024 * KIB
SEND_QUEUE_FRAMES_MAX = 256
ATTACH_DEADLINE_S = 10.0
READOPT_S = 30.0
EXPIRE_TICK_S = 0.25
HANDLES_PER_STAGE_MAX = 128
REJOIN_S = 2.0  # in which the workers of a host before this one have attached again
LATE_SLACK_S = 1.0  # before the daemon calls a worker late that has not said so itself
WORKER_DEATHS_MAX = 3  # ended while they loaded one version, before no other is told to load it
WORKERS_TOLD_MAX = 16  # single workers of a stage in a report
WORKER_ERROR_CHARS_MAX = 200
SOCKET_PATH_BYTES_MAX = 107  # sun_path, less its terminating zero
TABLE_BYTES_MAX = 256 * 1024 * KIB

assert PAGE_SLOTS_DEFAULT <= PAGE_SLOTS_MAX
assert SEND_QUEUE_BYTES_MAX >= 8 * FRAME_BYTES_MAX  # the longest frames of a late worker's start
assert HELD_MAX * (DIGEST_CHARS_MAX + 64) < FRAME_BYTES_MAX  # an attach frame always fits
assert HANDLES_PER_STAGE_MAX <= HELD_MAX  # whatever a worker may hold it can announce
assert SEND_QUEUE_FRAMES_MAX > 2 * HANDLES_PER_STAGE_MAX - 1  # a late worker's first burst fits
assert READOPT_S > 10 * RECONNECT_MAX_S  # a restarted host waits for its workers to come back
assert REJOIN_S > 1.5 * RECONNECT_MAX_S  # a pause is at most half as long again
assert LATE_SLACK_S > 2 * EXPIRE_TICK_S  # a worker's own word comes first
assert SPLIT_READS_MAX < RECORD_READS_MAX
assert SPLIT_WHOLE < 1 << 10  # a share fits the page's ten bits
assert VERSIONS_TOLD_MAX * 1_024 < FRAME_BYTES_MAX  # 31 buckets of 13 digits, and the rest
assert ERROR_CHARS_MAX * 12 < FRAME_BYTES_MAX  # even if JSON escapes every character twice
