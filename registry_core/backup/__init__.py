"""The log, kept a second time in the origin, and coming back from there.

layout   which object has which key
segment  a piece of the log as an object: records, and a signed checkpoint at its end
line     one ledger's segments in an origin, as a source
writer   what the log has and the backup has not, uploaded; small segments joined to large ones
sources  where a log may come back from: a line, a ledger's or a replica's directory, a stream
gather   the union of what sources hold, verified, in an empty store
restore  a registry's directory made of it, whole or not at all

All else is derived from the log (`registry_core.ledger`), so nothing else is backed up, except
root.json. Private keys never are: keep them where keys are kept.
"""
