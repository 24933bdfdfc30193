"""Fetching a version: decide, move, verify, store.

plan        pure: what to take from whom, given a view of the swarm
view        what a plan may depend on, peers and chunks in columns
placement   pure: which node claims which chunk from the origin, in even shares
pushes      pure: which chunks peers will push, and how long it pays to wait for them
patience    pure: how long the others may show no progress
settings    times and counts that a fetch goes by
roster      the nodes of a region as listed, shared by all who go by one list
neighbours  pure: whom to follow where there are too many to follow all
peers       whom a fetch follows, and the columns that a plan sees of them
swarm       the mutable state of one fetch, owned by its coordinator
source_state what is known of each source
blame       what a failure means for its source: wait, refuse, ban
sources     one chunk from a peer, the origin or the local cache, verified
runs        pure: attempts that one request to the origin serves
executor    the threads of a fetch: they do I/O and hand events back
follow      the peers that are followed, each in one of a few loops
hear_loop   one thread that follows many of them: what they hold, what they push
incoming    chunks that are pushed, verified and stored as they come
events      what the threads tell
fetcher     `Fetcher`: the coordinator's loop, and the public entry
documents   manifest, bundle and hint of a version, verified by digest
report      progress, the final report, complaints
errors      what a fetch raises

Import direction: fetch -> peer -> cache -> registry_core. Threads and blocking sockets only; an
event loop calls `fetch` with asyncio.to_thread.
"""
