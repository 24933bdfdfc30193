"""Everything true about models, as pure code: no I/O, no clock, no randomness.

identifiers   names and digests, one parser each
limits        every bound of the system and the relations between them
canonical     the one JSON encoding that is hashed and signed
chunking      where a file is cut (safetensors_layout, gguf_layout: at tensor boundaries)
manifest      a version: its files, their chunks, its identity
packs         how chunks lie in an origin: pack objects and the hint beside a manifest
move          a change of a stage as a statement to be signed
stage         what a stage is and how a move or a choice changes it
entry         log entries: body, subject tag, salt, leaf, frame
merkle        the RFC 6962 tree over leaves (the log, and the chunks of a file)
checkpoint    the text of a checkpoint (C2SP tlog-checkpoint)
policy        whose keys count for what
"""
