"""The transactional store of all metadata: one log, the tables derived from it, compare-and-swap.

store        the transaction interface that every backend implements, and the tables
lmdb_store   the default backend; lmdb_care: what LMDB needs to be safe; writer_lock: one writer
records      what the tables hold
apply        how one log entry changes the tables, and when it may not (the only writer of tables)
log          appending to the log and its tree
ledger       commits: entries, tables and a signed checkpoint in one transaction
replica      the same tables, fed by somebody else's log
queries      reads
check        replays the log and compares
"""
