"""A node's cache: real files on disk, filled chunk by verified chunk, visible as whole versions.

layout      which file lies where, durable renames, removal of read-only trees
verifier    the only maker of `VerifiedChunk`
documents   manifest, bundle and hint of a version as files
index       in memory: which verified chunk lies at which place, which places want which chunk
storing     verified chunks on their way into files
clone       sharing a chunk's blocks with another file, where the filesystem can
partial     a file being filled, and the record of what it holds
adopt       what files that are not known yet soundly hold
publish     complete files become blobs, blobs become an immutable version directory
recovery    what a restart makes of whatever a crash left
quota       how much a cache may hold, as an operator says it
space       how much of the disk it uses, and what is set aside for versions being filled
eviction    which versions go when space is needed: pure
survey      what there is to evict, and what that frees
leftovers   files that the cache is done with while others still have names of them
audit       hash again what is on disk
scrub       the same past the page cache, slowly
salvage     keep what is sound of a damaged version
pace        how much of the time bulk work goes on beside requests
libc        mmap, madvise, mincore and sync_file_range, which Python lacks or runs under the GIL
cache       `Cache`: the thread-safe whole
errors      what the cache raises

Format: docs/FORMATS.md, "Cache". Imports nothing of cachd but `cachd.limits`.
"""
