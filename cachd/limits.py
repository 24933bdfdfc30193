"""Every bound on what the daemons hold, with the relations between them asserted.

Bytes unless the name says otherwise. Bounds of formats and documents are in
`registry_core.domain.limits`; those of serving in `cachd.serve`.
"""

from __future__ import annotations

from registry_core.domain import limits as domain

KIB = domain.KIB
MIB = domain.MIB

# Cache
HASH_SLICE = 256 * KIB  # fits a core's L2, and large enough that hashing releases the GIL
COPY_SLICE = 1 * MIB
BULK_REST_S_MAX = 1.0  # after one piece of bulk work: so soon it sees that it is to stop
DISK_THREADS = 2  # hashing what lies on disk, syncing files, populating
GAINED_MAX = 65_536  # chunks that were stored one by one, remembered to bring bitmaps up to date
OPEN_ATTEMPTS_MAX = 4  # a file can be published (renamed) between being found and being opened
CACHE_HIGH, CACHE_LOW = 0.9, 0.8  # watermarks, as shares of the quota
LEAVING_STEP = 4 * MIB  # of a file that gives way to another, cut at once
LEAVING_FILES_MAX = 64  # that give way at a time; each has a descriptor
DISK_KEPT_FREE = 0.02  # of the filesystem, whatever the quota says: others write there as well
DISK_BLOCK = 4 * KIB
FOLDER_ENTRY = 512  # of a file, in the folders that name it
EXTENTS_PER_BLOCK = 256
LAST_USE_STEP_S = 60.0  # how exactly the last use of a version is kept
SCRUB_BYTES_PER_S = 64 * MIB  # while a file is read
SCRUB_RETRY_S = 60.0  # between two attempts to mend what nobody could give

# Memory
MEASURE_S = 10.0  # between two looks at what is in memory
MEASURE_STEP = 64 * MIB  # looked at in one system call
MEASURE_STEPS_MAX = 1_024  # of one version; of larger ones a sample is looked at
MAPS_PER_VERSION_MAX = 1_024  # the kernel gives a process 65,530
RECLAIMED_SHARE = 0.001  # lacking, from which on pages are brought back
BRING_BACK_S_MAX = 300.0  # between two attempts, while the kernel takes pages again and again
MEMORY_REPORTED_MAX = 1_000  # versions in a node's report

# Peer protocol
REQUEST_PAYLOAD_MAX = 64
HAVE_BITMAP_MAX = (domain.CHUNKS_MAX + 7) // 8
MAPS_INTERVAL_S = 0.075  # between two maps to one follower, unless claims changed
MAPS_PER_S = 400  # to all followers together, unless claims changed
MAPS_PER_S_PUSHING = 10  # the same of a node that pushes: maps tell little more
MAPS_BYTES_PER_S = 1 * MIB  # to one follower: of huge versions they go more seldom
QUIET_S = 5.0  # a message at least so often, so that silence means trouble
SILENCE_S_MAX = 3 * QUIET_S

# Peer server
SERVER_CONNECTIONS_MAX = 512
SERVER_ACCEPTS_AT_ONCE = 32  # before those that were accepted are heard
NEWCOMER_SAYS_AT_ONCE = 32  # messages, before others are heard
SERVER_UPLOAD_SLOTS = 6  # chunks leaving at once; beyond it the answer is BUSY
SLOTS_LINK_BITS = 10_000_000_000  # a second, of the link that these slots are for
SERVER_IDLE_TIMEOUT_S = 60.0  # longer than a fetch pauses between two requests
SERVER_SEND_STEP = 256 * KIB
FOLLOWER_SAYS_AT_ONCE = 4 * KIB  # of its messages, taken in one step
FEED_SEND_BUFFER = 32 * KIB  # of the kernel, per follower: what waits there delays all that follows
FEED_SEGMENTS_MIN = 2  # in it, which Linux doubles: one alone waits for a delayed acknowledgement
SERVER_SEND_STEP_TIMEOUT_S = 10.0  # a reader slower than one step in this time is cut off
SERVER_WATCH_INTERVAL_S = 0.25

# Peer client
CONNECT_TIMEOUT_S = 2.0
RECEIVE_TIMEOUT_S = 2.0  # one system call
RECEIVE_STEP = 256 * KIB  # for which a receiving thread is woken
PROGRESS_WINDOW_S = 5.0
PROGRESS_BYTES_MIN = 256 * KIB  # per window of a transfer under way; less where many share the link
PROGRESS_TRANSFERS = 4  # under way at once from which on they share what so many would need
PROGRESS_STEP = 16 * KIB  # of a chunk, with which a peer shows that it moves
DOCUMENT_STAGGER_S = 0.1  # with no answer for so long, another source is asked as well
DOCUMENT_PEERS_FIRST = 8  # before the origin
DOCUMENT_STEP = 1 * MIB  # memory grows with what has arrived, not with what was announced

# Limits of a node's rate
RATE_BITS_MIN = 1_000_000  # a second
RATE_STEP_S = 0.02  # of the limit, moved at once
RATE_BURST_S = 0.05  # that may be caught up with after a pause
TRANSFER_BYTES_PER_S_MIN = 125_000  # the share of each transfer under way
TRANSFER_WAIT_S = 0.1  # for such a share, between two looks at what else there is to do

# Fetch
FETCH_THREADS = 4
FETCH_THREADS_MAX = 64
ORIGIN_AT_ONCE = 12  # chunks that a region asks its origin for at once, shared by its nodes
ORIGIN_RUN_BYTES = 4 * MIB  # neighbours in a pack, in one request of a node that fetches alone
ORIGIN_RUN_S = 0.1  # by which it may take longer than one for a chunk, where others may join
CROWD_FETCH_THREADS = SERVER_UPLOAD_SLOTS  # where chunks are asked for: as many in as out
CROWD_PER_PEER = 1  # chunks asked of one peer at once there, so that each goes to many
CROWD_RUN_CHUNKS = 8  # neighbours that one node claims, one after the other
CROWD_ORIGIN_FIRST = 48  # as ORIGIN_AT_ONCE, at first: six runs, as none has much to pass on
CROWD_ORIGIN_AT_ONCE = 96  # and later: what nobody is seen to have, since news of it takes hops
CLAIM_PASSED_CHUNKS = 256  # later ones seen, before another node claims a chunk
OUTSTANDING_MAX = 64 * MIB
ENDGAME_CHUNKS = 8  # lacking at most, where those that are late are asked of a second peer too
PASSING_ON_NODES = 24  # from which on chunks are passed on as they come: a whole one takes long
FIRST_PUSH_WAIT_S = 1.0  # for all peers to be connected, where chunks are passed on as they come
AHEAD_CHUNKS = 0.7  # of its share that a node has brought more than others have on average
AHEAD_WAIT_SHARE = 0.35  # of what its last chunk took to come: for so long they may catch up
HELP_CHUNKS_MIN = 3  # that a node is behind by, before another takes one of its share
NEWS_S_PER_NODE, NEWS_S_MAX = 0.0006, 0.02  # for which what peers tell is taken together
REPLAYED_CHUNKS = 48  # pushed before a follower came, and to it as well
SLOW_BY_CHUNKS = 2  # behind the middle follower: jitter, where all are as fast, is less
PUSH_STANDSTILL_S = 3.0  # not kept step with is whose chunk takes longer, and unusually long
HEAR_LOOPS = 2  # threads that take what peers push: one verifies about 8 Gbit/s
PUSHES_AT_ONCE = 64  # chunks coming in by push that have a buffer each; others wait
QUEUED_PER_THREAD = 2  # so that a thread finds its next chunk without waiting for the coordinator
PEERS_MAX = 64  # beyond it a node follows some of its peers only
PLAN_WINDOW_CHUNKS = 4_096  # the planner looks at a random sample of this many missing chunks
CONNECTIONS_PER_THREAD_MAX = 16
COMPLAINTS_MAX = 256
SERVER_UPLOAD_SLOTS_MAX = (
    OUTSTANDING_MAX // domain.CHUNK_DEFAULT
)  # by link: a crowd asks for as many
ORIGIN_REFUSED_MAX = 16  # damaged chunks after which an origin is not asked any more

# Discovery
DNS_TTL_S_MIN, DNS_TTL_S_MAX = 5.0, 300.0  # an answer counts for its TTL, within these
DNS_NOTHING_TTL_S_MAX = 30.0  # so long one that there is nothing, since that may change soon
DNS_LOOKUP_S_MAX = 5.0  # SRV, TXT and addresses together
DNS_RETRY_S = 5.0  # while DNS is away
DNS_TARGETS_MAX = 1_024  # of one name; what is beyond is left out
DNS_UDP_BYTES_MAX = 1_232  # that fit any path (RFC 9715); longer answers come over TCP
ADDRESSES_PER_ENTRY_MAX = 16
NAMES_ASKED_AT_ONCE = 16
MDNS_TTL_S = 120  # RFC 6762, section 10: of records that name a host
MDNS_LOOK_S = 10.0  # between two looks for records that ran out
MDNS_ASK_S = 3.0  # a node that does not answer for so long is gone
MDNS_ASK_AGAIN_S_MAX = 300.0  # as long as its name is still announced by a record
MDNS_NAMES_MAX = 1_024
MDNS_NAME_BYTES_MAX = 63  # one label (RFC 1035)
LEFT_OUT_REMEMBERED_MAX = 4_096  # entries that were logged

assert DNS_TTL_S_MIN < DNS_NOTHING_TTL_S_MAX < DNS_TTL_S_MAX
assert MDNS_ASK_S < MDNS_LOOK_S < MDNS_TTL_S
assert MEASURE_S < BRING_BACK_S_MAX
assert 0 < CACHE_LOW < CACHE_HIGH < 1
assert PEERS_MAX < 256, "the planner counts holders in bytes"
assert HASH_SLICE <= domain.CHUNK_DEFAULT
assert domain.CHUNK_MAX * 2 <= OUTSTANDING_MAX, "at least two of the largest chunks travel at once"
assert SERVER_SEND_STEP_TIMEOUT_S > PROGRESS_WINDOW_S, "the reader gives up first and says why"
assert SERVER_IDLE_TIMEOUT_S > PROGRESS_WINDOW_S
assert RECEIVE_TIMEOUT_S < PROGRESS_WINDOW_S
assert FETCH_THREADS <= SERVER_UPLOAD_SLOTS <= SERVER_UPLOAD_SLOTS_MAX <= FETCH_THREADS_MAX
assert FETCH_THREADS * ORIGIN_RUN_BYTES * QUEUED_PER_THREAD <= OUTSTANDING_MAX
assert CROWD_ORIGIN_FIRST <= CROWD_ORIGIN_AT_ONCE < CLAIM_PASSED_CHUNKS
assert SERVER_WATCH_INTERVAL_S < SERVER_SEND_STEP_TIMEOUT_S
assert RATE_BITS_MIN >= 8 * TRANSFER_BYTES_PER_S_MIN, "there is room for one transfer"
assert RATE_STEP_S <= RATE_BURST_S, "a step does not wait for itself"
assert 2 * PROGRESS_BYTES_MIN < TRANSFER_BYTES_PER_S_MIN * PROGRESS_WINDOW_S, "not taken for dead"
assert 2 * SERVER_SEND_STEP < TRANSFER_BYTES_PER_S_MIN * SERVER_SEND_STEP_TIMEOUT_S, "nor by these"
assert TRANSFER_WAIT_S < QUIET_S
