"""From a directory of files to a registered version.

scan      which files a directory holds, strictly
hashing   files -> chunks -> manifest
upload    chunks -> packs -> origin
pipeline  the whole of it: scan, hash, deduplicate, upload, sign, register
"""
