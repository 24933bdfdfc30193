"""A node's cache: real files on disk, filled chunk by verified chunk, visible as whole versions.

layout      which file lies where, durable renames, removal of read-only trees
verifier    the only maker of `VerifiedChunk`
documents   manifest, bundle and hint of a version as files
index       in memory: which verified chunk lies at which place, which places want which chunk
partial     a file being filled, and the record of what it holds
publish     complete files become blobs, blobs become an immutable version directory
recovery    what a restart makes of whatever a crash left
audit       hash again what is on disk
libc        mmap, madvise, mincore and sync_file_range, which Python lacks or runs under the GIL
populate    bring a version's bytes into memory, verified or not, and measure how much is there
cache       `Cache`: the thread-safe whole
errors      what the cache raises

Format: docs/FORMATS.md, "Cache". Imports nothing of cachd but `cachd.limits`.
"""
