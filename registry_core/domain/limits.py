"""Every bound of registry_core in one place, with the relations between them asserted.

Bytes unless the name says otherwise. Bounds on what daemons hold live in `cachd.limits`.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# Names
NAME_CHARS_MAX = 128
PATH_BYTES_MAX = 1024
PATH_DEPTH_MAX = 32
TAG_KEY_CHARS_MAX = 128
TAG_VALUE_CHARS_MAX = 4096
TAGS_MAX = 64
NOTES_CHARS_MAX = 64 * KIB
REASON_CHARS_MAX = 1024
ACTOR_CHARS_MAX = 256

# Metadata
FILES_EXAMINED_MAX = 64
LINEAGE_CHARS_MAX = 1024
SCHEMA_BYTES_MAX = 64 * KIB
CHANGED_FIELDS_MAX = 128

# Chunks: fixed when the first version of a model is pushed, then kept along its line.
CHUNK_SMALL = 256 * KIB
CHUNK_DEFAULT = 4 * MIB
CHUNK_LARGE = 8 * MIB
CHUNK_MAX = CHUNK_LARGE
CHUNK_PART = 32 * KIB  # of a small version's chunk, verified before the rest is there
CHUNK_MARK = 8  # by so many bytes of a hash
SMALL_VERSION_MAX = 256 * MIB
LARGE_VERSION_MIN = 8 * GIB

# Packs
PACK_MAX = 64 * MIB
PACK_CHUNKS_MAX = 65_536

# Versions
FILES_MAX = 10_000
FILE_MAX = 1 << 50
CHUNKS_MAX = 1_000_000
MANIFEST_MAX = 128 * MIB
HINT_MAX = 256 * MIB
BUNDLE_MAX = 32 * MIB

# Tensor files
SAFETENSORS_HEADER_MAX = 100 * MIB  # the bound of the reference implementation
TENSORS_MAX = 1_000_000
GGUF_KV_MAX = 65_536
GGUF_STRING_MAX = 16 * MIB
GGUF_ARRAY_MAX = 16 * MIB  # items: vocabularies have hundreds of thousands
GGUF_HEADER_MAX = 256 * MIB

# Search
FILTER_CHARS_MAX = 4 * KIB
FILTER_TERMS_MAX = 32
FILTER_VALUES_MAX = 256
ORDER_FIELDS_MAX = 4
PAGE_TOKEN_CHARS_MAX = 4 * KIB
SEARCH_STEPS_MAX = 5_000
"""Candidates that one page looks at, so that no search holds up the others."""
SEARCH_STEP_BYTES = 4 * KIB
"""A candidate counts as one step, and one more for so many bytes of it."""
SEARCH_SORTED_MAX = 10_000
"""Matches that are put into an order that no index has."""
SEARCH_SORTED_STEPS_MAX = 100_000
"""Candidates that are looked at for it."""

# Events
EVENT_STEPS_MAX = 1_000
"""Entries that one reading of events looks at."""
CONSUMERS_MAX = 1_000

# Webhooks
WEBHOOKS_MAX = 100
WEBHOOK_URL_CHARS_MAX = 2_048
WEBHOOK_SECRET_BYTES_MIN, WEBHOOK_SECRET_BYTES_MAX = 24, 64  # of Standard Webhooks
WEBHOOK_SECRETS_MAX = 4
"""The one in force, and those that rotations left valid for WEBHOOK_SECRET_KEPT_MS."""
WEBHOOK_SECRET_KEPT_MS = 24 * 3600 * 1000
WEBHOOK_ATTEMPTS_MAX = 48
"""After so many failures a message is a dead letter."""
WEBHOOK_HISTORY_MAX = 100
"""Attempts that are remembered, per webhook."""
WEBHOOK_ERROR_CHARS_MAX = 256
DEAD_LETTERS_MAX = 1_000
"""A webhook with so many is disabled, and stays where it is in the log."""

# Requests
REQUEST_ID_CHARS_MAX = 128
REQUESTS_REPLAYED_MS = 24 * 3600 * 1000
STAGES_PER_REQUEST_MAX = 64
COMMITS_PER_BATCH_MAX = 64
"""Group commit: changes of as many callers share one transaction."""

# Proposals
PROPOSALS_PER_STAGE_MAX = 64

# Garbage
INTENT_MS_MAX = 24 * 3600 * 1000
"""A push that took longer than this is taken for dead."""
CONDEMNED_MS_MIN = 3600 * 1000
"""So long a condemned pack is left alone before it is deleted."""
GC_MARGIN_MS = 15 * 60 * 1000
"""How far the clocks of origin and ledger may be apart: what is younger than this is left alone."""
GC_PACKS_MAX = 100_000
"""Packs that one run condemns or deletes; the next goes on."""
GC_ORPHANS_MAX = 10_000
"""Deleted versions and dead pushes whose documents one run looks at."""
CONDEMNED_PER_ENTRY_MAX = 5_000

# Regions
REGIONS_MAX = 64
REGION_URL_CHARS_MAX = 2_048
REGION_OPTIONS_MAX = 32
REGION_OPTION_CHARS_MAX = 1_024
PREFETCHES_MAX = 1_000
"""Wishes that have not expired, pins among them, of all regions."""
PREFETCH_MS_MAX = 30 * 24 * 3600 * 1000
PIN_MS_MAX = 366 * 24 * 3600 * 1000
NO_END_MS = 253_402_300_799_000
"""The end of a pin that has none: the last second of the year 9999."""

# Log
ENTRY_BODY_MAX = 1 * MIB
ENTRIES_PER_STATE = 10_000
CHECKPOINT_MAX = 4 * KIB
BATCH_ENTRIES_MAX = 1_000

# Audit
AUDIT_STEPS_MAX = 20_000
"""Entries that are looked at for one page."""
AUDIT_MODELS_PER_PAGE = 100
CLOCK_MARGIN_MS = 15 * 60 * 1000
"""How far the times of neighbouring entries may lie in the wrong order: authorities have clocks."""

NOTES_EVERY = 256
"""Entries between checkpoints that a replica keeps for readers far behind."""

# Backup
SEGMENT_BYTES = 4 * MIB
"""A segment of the log that has so many is full."""
SEGMENTS_SMALL_MAX = 32
"""So many segments that are not full, and they are joined."""

# Trust
ENVELOPE_MAX = 256 * KIB
SIGNATURES_MAX = 64
POLICY_KEYS_MAX = 1_024
KEY_FILE_MAX = 64 * KIB

# Ledger
MAP_BYTES = 64 * GIB  # address space, not disk: the file grows as it is used
READERS_MAX = 512
PAGE_SIZE_MAX = 1_000

JSON_DEPTH_MAX = 16
INTEGER_MAX = (1 << 53) - 1  # exact in every JSON reader (RFC 8785, section 3.2.2.3)

assert CHUNK_SMALL < CHUNK_DEFAULT < CHUNK_LARGE == CHUNK_MAX
assert CHUNK_MAX <= PACK_MAX // 4, "a pack holds several of the largest chunks"
assert SMALL_VERSION_MAX < LARGE_VERSION_MIN
assert TAGS_MAX * (TAG_KEY_CHARS_MAX + TAG_VALUE_CHARS_MAX) * 2 < ENTRY_BODY_MAX
assert NOTES_CHARS_MAX * 4 + ENVELOPE_MAX < ENTRY_BODY_MAX
assert CONDEMNED_PER_ENTRY_MAX * 68 < ENTRY_BODY_MAX
assert REGION_URL_CHARS_MAX + REGION_OPTIONS_MAX * 2 * REGION_OPTION_CHARS_MAX < ENTRY_BODY_MAX // 4
assert GC_MARGIN_MS < CONDEMNED_MS_MIN < INTENT_MS_MAX
assert CHUNKS_MAX * 80 + SMALL_VERSION_MAX // CHUNK_PART * 2 * CHUNK_MARK <= MANIFEST_MAX
"""A chunk costs about 80 bytes of manifest."""
