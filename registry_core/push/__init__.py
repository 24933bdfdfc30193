"""From a directory of files to a registered version.

scan      which files a directory holds, strictly
hashing   files -> chunks -> manifest
upload    chunks -> packs -> origin
announce  a push under way is known to gc
pipeline  the whole of it: scan, hash, deduplicate, upload, sign, register
"""
