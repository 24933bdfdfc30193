"""The daemon on a serving host.

config         what a node is told at start
durable        small files that survive a crash whole
priority       who goes first on a busy host
subscriptions  which stages it serves
follower       the stream of the log into the local replica
desired        what the replica says the node should serve (pure over a transaction)
residency      bringing a version here: documents, signature, chunks, directory, memory
stage_driver   one stage: from desired to served
prefetcher     versions to have before they are needed
controller     all stages; one task per stage, all owned by the daemon's task group
waiting        why a stage serves nothing here, in words (pure over a transaction)
allow_uid      whose processes may attach, as the option says it
repository     directories for Triton and TF Serving
retention      what leaves the disk, and when
scrubber       a slow pass over all that is held, which mends what has rotted
cache_figures  what /metrics tells of the cache
finders        peers found in DNS and on the local network
peer_book      all peers that are known, each once
peers_api      what the read API tells of them
reporter       telling the authority what is served; learning who the peers are
daemon         start, run, stop
"""
